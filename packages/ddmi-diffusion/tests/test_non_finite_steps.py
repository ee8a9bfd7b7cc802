"""Steps whose loss or gradient is not finite: left out, up to as many in a row as are allowed."""

from __future__ import annotations

import logging
import re
import signal
from pathlib import Path
from typing import Any

import pytest
import tiny_training as tiny
import torch
from torch import Tensor

from ddmi_diffusion import (
    NonFiniteLossError,
    Objective,
    Trainer,
    TrainingInterrupted,
    latest_checkpoint,
    load_checkpoint,
)


class Holed(tiny.Regression):  # type: ignore[name-defined, misc]
    """Its loss is not a number at some steps."""

    holes: tuple[int, ...] = ()

    def forward(self, batch: Any, *, step: int, rng: Any) -> dict[str, Any]:
        result = super().forward(batch, step=step, rng=rng)
        return result | ({"loss": result["loss"] * float("nan")} if step in self.holes else {})


def holed(run: Path, *holes: int, **changes: Any) -> Trainer:
    judge = tiny.Judge()
    model = Holed(dropout=0.2, judge=judge.net)
    model.holes = holes
    config = tiny.config(non_finite_steps=2, **changes)
    return Trainer(model, tiny.Points(), tiny.collate, config, run, discriminator=judge)


def test_a_step_that_is_not_finite_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trainer = holed(tmp_path, 3, 9)
    seen: dict[int, dict[str, Tensor]] = {}

    def watch(done: int, own: Trainer) -> None:
        assert own.ema is not None
        assert own._judge is not None
        state = {**own._model.weights(), **own._model.optimizer_state(), **own._judge.weights()}
        seen[done] = {name: one.clone() for name, one in (state | own.ema.state_dict()).items()}

    trainer.callback = watch
    with caplog.at_level(logging.WARNING, logger="ddmi"):
        metrics = trainer.fit()
    assert metrics["loss"] > 0
    assert caplog.text.count("the step is left out") == 2
    for done in (3, 9):
        assert all(torch.equal(one, seen[done + 1][name]) for name, one in seen[done].items())
        assert not all(torch.equal(one, seen[done + 2][name]) for name, one in seen[done].items())


def test_steps_in_a_row_that_are_not_finite_end_the_training_also_over_a_resumption(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteLossError, match=r"step 7: the gradient norm is nan .* the last good checkpoint"):
        holed(tmp_path / "whole", 3, 6, 7).fit()
    stop_after = tmp_path / "stopped"
    trainer = holed(stop_after, 4, 5)  # a checkpoint lies between them
    trainer.callback = lambda done, _: signal.raise_signal(signal.SIGTERM) if done == 4 else None
    with pytest.raises(TrainingInterrupted, match="step 5"):
        trainer.fit()
    with pytest.raises(NonFiniteLossError, match="step 5: "):
        holed(stop_after, 4, 5).fit(resume=True)


def test_a_run_with_holes_is_resumed_bit_for_bit(tmp_path: Path) -> None:
    holed(tmp_path / "whole", 3, 9).fit()
    trainer = holed(tmp_path / "parts", 3, 9)
    trainer.callback = lambda done, _: signal.raise_signal(signal.SIGTERM) if done == 10 else None
    with pytest.raises(TrainingInterrupted):
        trainer.fit()
    holed(tmp_path / "parts", 3, 9).fit(resume=True)
    tiny.assert_same_bits(tmp_path / "whole", tmp_path / "parts")


class Bursting(Objective):
    """A slope that is learned until it is above a limit, from where on its loss is not a number."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = torch.nn.Parameter(torch.zeros(()))

    def forward(self, batch: Any, *, step: int, rng: Any) -> dict[str, Any]:
        loss = (self.slope - 2).square()
        return {"loss": loss * (float("nan") if float(self.slope.detach()) > 0.5 else 1.0)}


@pytest.mark.parametrize("allowed", [1, 4])
def test_weights_that_have_burst_do_not_take_the_place_of_good_ones(tmp_path: Path, allowed: int) -> None:
    def make() -> Trainer:
        config = tiny.config(
            steps=30, save_every=1, keep=1, learning_rate=0.2, warmup=1, ema_decay=0.0, non_finite_steps=allowed
        )
        return Trainer(Bursting(), tiny.Points(), tiny.collate, config, tmp_path)

    with pytest.raises(NonFiniteLossError, match="the last good checkpoint .* is kept") as raised:
        make().fit()
    (kept,) = re.findall(r"checkpoint (\S+) is kept", str(raised.value))
    tensors, _ = load_checkpoint(Path(kept))
    assert float(tensors["model"]["slope"]) <= 0.5, "weights from which one can go on"
    assert latest_checkpoint(tmp_path / "checkpoints") != Path(kept), "the burst ones are there, too, and known as such"


def test_a_training_without_a_finite_step_fails(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteLossError, match="no step had a finite loss and gradient"):
        Trainer(
            tiny.Regression(nan_at=0), tiny.Points(), tiny.collate, tiny.config(steps=1, non_finite_steps=9), tmp_path
        ).fit()
    assert latest_checkpoint(tmp_path / "checkpoints") is None


class TornJudge(tiny.Judge):  # type: ignore[name-defined, misc]
    def forward(self, batch: Any, *, step: int, rng: Any) -> dict[str, Any]:
        result = super().forward(batch, step=step, rng=rng)
        return result | {"loss": result["loss"] * (float("nan") if step == 2 else 1.0)}


def test_the_average_follows_the_model_where_only_the_judge_leaves_a_step_out(tmp_path: Path) -> None:
    judge = TornJudge()
    config = tiny.config(non_finite_steps=2, ema_every=1)
    trainer = Trainer(
        tiny.Regression(judge=judge.net), tiny.Points(), tiny.collate, config, tmp_path, discriminator=judge
    )
    averages: dict[int, Tensor] = {}

    def watch(done: int, own: Trainer) -> None:
        assert own.ema is not None
        averages[done] = torch.cat([one.flatten().clone() for one in own.ema.state_dict().values()])

    trainer.callback = watch
    trainer.fit()
    assert not torch.equal(averages[2], averages[3])
