"""Trackers are told what metrics.jsonl has, go on where a run goes on, and never end a training."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import accelerate.tracking
import pytest
import tiny_training as tiny

from ddmi_diffusion import TrainerConfig, trackers


def lines(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("tracker", ["auto", "tensorboard"])
def test_tensorboard_has_every_figure_once_also_when_resumed(tracker: str, tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    tiny.trainer(tmp_path, tracker=tracker, steps=8, validate_every=4).fit()
    resumed = tiny.trainer(tmp_path, tracker=tracker, steps=12, validate_every=4)
    resumed.fit(resume=True)
    assert resumed.accelerator.trackers == []
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    for name in ("loss", "lr", "discriminator/loss", "held_out/loss"):
        wanted = [(line["step"], line[name]) for line in lines(tmp_path) if name in line]
        assert [(one.step, one.value) for one in events.Scalars(name)] == [
            (step, pytest.approx(value)) for step, value in wanted
        ]
    assert len(events.Scalars("loss")) == 12
    assert len(events.Scalars("held_out/loss")) == 3


def test_none(tmp_path: Path) -> None:
    tiny.trainer(tmp_path, tracker="none", steps=2).fit()
    assert not (tmp_path / "tensorboard").exists()
    assert len(lines(tmp_path)) == 2


def available(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    kinds = [accelerate.tracking.LoggerType(name) for name in names]
    monkeypatch.setattr(accelerate.tracking, "get_available_trackers", lambda: kinds)


def test_auto_does_without_tensorboard_and_others_say_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    available(monkeypatch)
    tiny.trainer(tmp_path / "run", tracker="auto", steps=2).fit()
    assert not (tmp_path / "run" / "tensorboard").exists()
    for name in ("tensorboard", "wandb", "mlflow"):
        with pytest.raises(ValueError, match=f"tracker '{name}' is not installed: pip install {name}, or choose"):
            tiny.trainer(tmp_path / name, tracker=name)


@pytest.mark.usefixtures("_untyped")
def test_a_tracker_that_is_not_known() -> None:
    with pytest.raises(ValueError, match="tracker 'aim' is not known; choose one of auto, tensorboard, wandb"):
        TrainerConfig(steps=1, batch_size=1, tracker="aim")  # type: ignore[arg-type]


class Wandb:
    """What a W&B is asked for and told."""

    def __init__(self) -> None:
        self.begun: list[dict[str, Any]] = []
        self.told: list[tuple[int, dict[str, float]]] = []
        self.finished = 0
        self.down = False

    def init(self, **options: Any) -> SimpleNamespace:
        self.begun.append(options)
        return SimpleNamespace(id=options.get("id", f"run{len(self.begun)}"), log=self._log, finish=self._finish)

    def _log(self, values: dict[str, float], step: int) -> None:
        if self.down:
            raise ConnectionError("no route to host")
        self.told.append((step, values))

    def _finish(self) -> None:
        self.finished += 1


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> Wandb:
    found = Wandb()
    available(monkeypatch, "wandb")
    monkeypatch.setitem(sys.modules, "wandb", found)  # type: ignore[arg-type]
    return found


def test_a_resumed_run_goes_on_in_the_tracker_and_another_begins_anew(wandb: Wandb, tmp_path: Path) -> None:
    run = tmp_path / "demo" / "vae"
    tiny.trainer(run, tracker="wandb", steps=2).fit()
    tiny.trainer(run, tracker="wandb", steps=3).fit(resume=True)
    tiny.trainer(tmp_path / "other", tracker="wandb", steps=1).fit()
    assert [(one["project"], one["name"], one.get("id")) for one in wandb.begun] == [
        ("ddmi", "demo/vae", None), ("ddmi", "demo/vae", "run1"), ("ddmi", f"{tmp_path.name}/other", None),
    ]  # fmt: skip
    assert wandb.finished == 3
    assert [step for step, _ in wandb.told] == [0, 1, 2, 0]
    told = [{"step": step, **values} for step, values in wandb.told[:3]]
    assert told == lines(run)


def test_a_tracker_that_fails_does_not_end_the_training(
    wandb: Wandb, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wandb.down = True
    with caplog.at_level(logging.WARNING, "ddmi"):
        tiny.trainer(tmp_path, tracker="wandb", steps=3).fit()
    assert len(lines(tmp_path)) == 3
    warned = [record.getMessage() for record in caplog.records]
    assert warned == ["the tracker is told nothing more (ConnectionError: no route to host)"]


def test_a_tracker_that_does_not_start_says_why(wandb: Wandb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: Any) -> None:
        raise RuntimeError("api_key not configured\nand more")

    monkeypatch.setattr(wandb, "init", refuse)
    with pytest.raises(ValueError, match=r"'wandb' does not start \(api_key not configured\); see to its login"):
        tiny.trainer(tmp_path, tracker="wandb").fit()


@pytest.mark.parametrize("content", ["[", "[]", '{"mlflow": "run1"}'])
def test_what_another_tracker_left_is_no_identity(wandb: Wandb, content: str, tmp_path: Path) -> None:
    tiny.trainer(tmp_path, tracker="wandb", steps=1).fit()
    (tmp_path / trackers.IDENTITY).write_text(content)
    tiny.trainer(tmp_path, tracker="wandb", steps=2).fit(resume=True)
    assert [one.get("id") for one in wandb.begun] == [None, None]
