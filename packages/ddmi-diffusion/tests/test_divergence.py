"""Trainings that explode save nothing of no use, and leave a checkpoint from which the advised setting works."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import pytest
import tiny_training as tiny
import torch
from safetensors.torch import load_file, save_file

from ddmi_diffusion import CheckpointError, NonFiniteLossError, Trainer, latest_checkpoint, load_checkpoint
from ddmi_diffusion.checkpoint import checkpoint_directories
from ddmi_diffusion.divergence import MARK, exploded, is_sound, last_sound


def trainer(run_dir: Path, **changes: Any) -> Trainer:
    settings = {"warmup": 0, "schedule": "constant", "grad_clip": None, "save_every": 1, "keep": 2, **changes}
    return Trainer(tiny.Regression(), tiny.Points(), tiny.collate, tiny.config(**settings), run_dir)


@pytest.mark.parametrize("steps", [1, 2, 14])
@pytest.mark.parametrize("rate", [3e38, 1e30])
def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path, rate: float, steps: int) -> None:
    with pytest.raises(NonFiniteLossError, match="lower learning rate"):
        trainer(tmp_path, learning_rate=rate, steps=max(steps, 2) if rate < 1e38 else steps).fit()
    for path in checkpoint_directories(tmp_path / "checkpoints"):
        tensors, _ = load_checkpoint(path)
        assert all(tensor.isfinite().all() for group in tensors.values() for tensor in group.values())


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_the_advised_setting_works_from_what_is_kept(tmp_path: Path, optimizer: str) -> None:
    """A good beginning, then a rate that explodes slowly enough to be saved a few times."""
    first = trainer(tmp_path, optimizer=optimizer, steps=5).fit()["loss"]
    with pytest.raises(
        NonFiniteLossError, match=r"the last good checkpoint .*step-00000\d\d\d is kept: run again with"
    ):
        trainer(tmp_path, optimizer=optimizer, learning_rate=1e5, steps=400).fit(resume=True)
    sound, newest = last_sound(tmp_path / "checkpoints"), latest_checkpoint(tmp_path / "checkpoints")
    assert sound is not None
    assert newest is not None
    assert newest.name > sound.name, "checkpoints were written after the explosion"
    assert (tmp_path / MARK).exists()
    again = trainer(tmp_path, optimizer=optimizer, steps=60)
    assert again.fit(resume=True)["loss"] < 2 * first
    assert not (tmp_path / MARK).exists()
    assert all(is_sound(path) for path in checkpoint_directories(tmp_path / "checkpoints"))


def test_an_explosion_before_the_first_checkpoint_has_nothing_to_go_on_from(tmp_path: Path) -> None:
    with pytest.raises(
        NonFiniteLossError, match="it had exploded before the first checkpoint: run again in another dir"
    ):
        trainer(tmp_path, learning_rate=1e5, steps=400).fit()
    with pytest.raises(CheckpointError, match="nothing to go on from; train in another directory, with a lower"):
        trainer(tmp_path).fit(resume=True)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["model", "ema", "optimizer"])
def test_a_checkpoint_that_is_not_finite_is_refused(tmp_path: Path, name: str, value: float) -> None:
    trainer(tmp_path, steps=3).fit()
    path = latest_checkpoint(tmp_path / "checkpoints")
    assert path is not None
    file = path / f"{name}.safetensors"
    tensors = load_file(file)
    key = next(key for key, tensor in sorted(tensors.items()) if tensor.is_floating_point() and tensor.numel())
    tensors[key].view(-1)[0] = value
    save_file(tensors, file)
    state = json.loads((path / "state.json").read_text())
    del state["crc32"]
    state["files"][file.name] = {"bytes": file.stat().st_size, "crc32": zlib.crc32(file.read_bytes())}
    (path / "state.json").write_text(json.dumps(state))
    with pytest.raises(CheckpointError, match=rf"resuming from .*: {name} has numbers that are NaN or infinite"):
        trainer(tmp_path, steps=5).fit(resume=True)


def test_what_counts_as_an_explosion() -> None:
    assert not exploded(2.9, 1.0)
    assert exploded(3.1, 1.0)
    assert not exploded(-4.0, -5.0)
    assert exploded(4.9, -5.0) is not exploded(5.1, -5.0)
    assert exploded(float("nan"), 1.0)
    assert exploded(float("inf"), 1.0)


def test_checkpoints_of_before_are_sound(tmp_path: Path) -> None:
    trainer(tmp_path, steps=2).fit()
    path = latest_checkpoint(tmp_path / "checkpoints")
    assert path is not None
    state = json.loads((path / "state.json").read_text())
    del state["crc32"]
    for name in ("loss", "first_loss"):
        del state["meta"][name]
    (path / "state.json").write_text(json.dumps(state))
    assert is_sound(path)
    torch.manual_seed(0)
    assert trainer(tmp_path, steps=4).fit(resume=True)["loss"] > 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("step", -1),
        ("step", "2"),
        ("metrics", []),
        ("precision", None),
        ("run", "x"),
        ("first_loss", "1"),
        ("step", True),
    ],
)
def test_what_a_checkpoint_remembers_is_looked_at(tmp_path: Path, name: str, value: object) -> None:
    trainer(tmp_path, steps=2).fit()
    path = latest_checkpoint(tmp_path / "checkpoints")
    assert path is not None
    state = json.loads((path / "state.json").read_text())
    del state["crc32"]
    state["meta"][name] = value
    (path / "state.json").write_text(json.dumps(state))
    with pytest.raises(CheckpointError, match=rf"resuming from {path}: its state.json says that {name} is .*; remove"):
        trainer(tmp_path, steps=3).fit(resume=True)
