"""Losses of held-out items: what they are, that they change nothing, and that they end a training where asked."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny_training as tiny
import torch
from torch import Tensor, nn

from ddmi_diffusion import CheckpointError, HeldOut, StepRandom, Trainer
from ddmi_diffusion.checkpoint import checkpoint_directories, latest_checkpoint, load_checkpoint


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Turning(tiny.Regression):  # type: ignore[misc]
    """Something beside the loss that is lowest after eight steps."""

    def forward(self, batch: Any, *, step: int, rng: StepRandom) -> dict[str, Any]:
        return {**super().forward(batch, step=step, rng=rng), "gap": abs(step - 7.0)}


def trainer(run: Path, objective: nn.Module | None = None, watch: str = "loss", **changes: Any) -> Trainer:
    held_out = HeldOut(tiny.Points(), watch=watch, most=11)
    objective = objective or tiny.Regression()
    return Trainer(objective, tiny.Points(), tiny.collate, tiny.config(**changes), run, held_out=held_out)


def measured(run: Path) -> dict[int, dict[str, float]]:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {row["step"]: row for row in rows if any(key.startswith("held_out/") for key in row)}


def weights(run: Path) -> dict[str, Tensor]:
    path = latest_checkpoint(run / "checkpoints")
    assert path is not None
    return load_checkpoint(path)[0]["model"]


def test_it_is_the_mean_over_held_out_items_by_the_averaged_weights(tmp_path: Path) -> None:
    one = trainer(tmp_path, validate_every=4)
    returned = one.fit()
    rows = measured(tmp_path)
    assert list(rows) == [3, 7, 11, 13]  # after 4, 8, 12, and the last
    assert returned["held_out/loss"] == rows[13]["held_out/loss"]
    one.load_average()
    points, total = tiny.Points(), 0.0
    for number, positions in enumerate((range(8), range(8, 11))):
        drawn, rng = (StepRandom(0, number, list(positions), stream=stream) for stream in (3, 4))
        batch = tiny.collate([points[i * 37 // 11] for i in positions], drawn)
        with torch.no_grad():
            total += len(positions) * float(one.objective.eval()(batch, step=13, rng=rng)["loss"])
    assert rows[13]["held_out/loss"] == pytest.approx(total / 11, rel=1e-6)
    assert rows[13]["held_out/scale"] == 1.5


def test_measuring_changes_no_weight(tmp_path: Path) -> None:
    for name, every in (("with", 3), ("without", 0)):
        trainer(tmp_path / name, tiny.Regression(dropout=0.2), validate_every=every).fit()
    one, other = weights(tmp_path / "with"), weights(tmp_path / "without")
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_patience_ends_a_training_with_the_weights_of_the_lowest(tmp_path: Path) -> None:
    at_eight: dict[str, Tensor] = {}

    def keep(_: int, module: nn.Module) -> None:
        at_eight.update({name: value.clone() for name, value in module.state_dict().items()})

    one = trainer(tmp_path, Turning(), "gap", validate_every=2, patience=2)
    one.milestones = {8: keep}
    one.fit()
    assert list(measured(tmp_path)) == [1, 3, 5, 7, 9, 11]
    one.load_average()
    assert all(torch.equal(value, at_eight[name]) for name, value in one.objective.state_dict().items())
    # a run that has ended goes on only where more patience is asked for
    again = trainer(tmp_path, Turning(), "gap", validate_every=2, patience=2)
    again.fit(resume=True)
    again.load_average()
    assert all(torch.equal(value, at_eight[name]) for name, value in again.objective.state_dict().items())
    assert list(measured(tmp_path))[-1] == 11
    trainer(tmp_path, Turning(), "gap", validate_every=2, patience=9).fit(resume=True)
    assert list(measured(tmp_path))[-1] == 13


def test_resumed_where_it_was_stopped_it_ends_alike(tmp_path: Path) -> None:
    for name in ("whole", "stopped"):
        one = trainer(tmp_path / name, Turning(), "gap", validate_every=2, patience=2)
        if name == "stopped":
            one.milestones = {9: _stop}
            with pytest.raises(RuntimeError, match="stopped"):
                one.fit()
            one = trainer(tmp_path / name, Turning(), "gap", validate_every=2, patience=2)
        one.fit(resume=name == "stopped")
    assert measured(tmp_path / "whole").keys() == measured(tmp_path / "stopped").keys()
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "stopped")
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    kept = [path.name for path in checkpoint_directories(tmp_path / "stopped" / "lowest")]
    assert kept == ["step-00000008"]


def _stop(*_: Any) -> None:
    raise RuntimeError("stopped")


def test_what_does_not_fit_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs validate_every"):
        tiny.config(patience=3)
    with pytest.raises(ValueError, match="patience 3 waits for held-out losses"):
        Trainer(tiny.Regression(), tiny.Points(), tiny.collate, tiny.config(validate_every=2, patience=3), tmp_path)
    with pytest.raises(ValueError, match="no held-out items"):
        Trainer(
            tiny.Regression(), tiny.Points(), tiny.collate, tiny.config(validate_every=2), tmp_path,
            held_out=HeldOut([]),
        )  # fmt: skip
    with pytest.raises(ValueError, match="reports no 'nll'; it has loss, scale"):
        trainer(tmp_path, watch="nll", validate_every=2).fit()


def test_a_damaged_memory_of_the_lowest_is_said(tmp_path: Path) -> None:
    one = trainer(tmp_path, Turning(), "gap", validate_every=2, patience=2)
    one.fit()
    (path,) = checkpoint_directories(tmp_path / "lowest")
    file = path / "average.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"average.safetensors: it has"):
        one.load_average()


def test_a_held_out_loss_that_is_not_a_number_is_never_the_lowest(tmp_path: Path) -> None:
    class Gone(tiny.Regression):  # type: ignore[misc]
        def forward(self, batch: Any, *, step: int, rng: StepRandom) -> dict[str, Any]:
            return {**super().forward(batch, step=step, rng=rng), "gap": math.nan}

    one = trainer(tmp_path, Gone(), "gap", validate_every=2, patience=3)
    one.fit()
    assert list(measured(tmp_path)) == [1, 3, 5]
    one.load_average()  # none was lowest: the averaged weights of the end
