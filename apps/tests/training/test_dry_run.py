"""`ddmi train --dry-run`: what it says of data and costs, and that it leaves nothing behind."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from ddmi.cli import main
from ddmi.experiment.config import GANTraining
from ddmi.recipes.presets import two_steps
from ddmi.registry import make_experiment
from ddmi.training import step_cost
from ddmi.training.dry_run import dry_run
from ddmi.training.step_cost import measure_step
from ddmi_diffusion import OptimizerConfig, StepRandom, TrainerConfig
from ddmi_modalities.losses.configs import PatchDiscriminatorConfig

from .. import miniatures
from ..command_line import fails

LAYOUTS = {
    "afhqv2-cat": (
        miniatures.afhq,
        "train: 6 items, pictures of 24 to 24 pixels on the shorter side, 0 left out; 6 read",
    ),
    "cifar10": (miniatures.cifar, "train: 20 items, pictures of 32 x 32 pixels in 5 CIFAR-10 batches; 20 read"),
    "text2shape": (miniatures.text2shape, "test: 2 items; 2 read, inputs (64, 3), 2.0 captions each"),
    "srn-cars": (miniatures.cars, "test: 2 items, 0 left out; 2 read, inputs (64, 6)"),
    "sky-timelapse": (miniatures.sky, "train: 6 items, of 3 videos, 0 left out; 6 read, inputs (3, 4, 16, 16)"),
}


@pytest.mark.parametrize("recipe", LAYOUTS)
def test_every_modality(
    recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write, found = LAYOUTS[recipe]
    data = write(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert main(["train", recipe, "--preset", "test", "--data", str(data), "--dry-run"]) == 0
    assert sorted(tmp_path.rglob("*")) == before
    said = capsys.readouterr().out
    assert f"data {found}" in said
    assert re.search(r"stage vae: encoder \d+, decoder \d+, read_out \d+ parameters", said)
    assert re.search(r"stage diffusion: denoiser 0\.\d M", said)
    assert len(re.findall(r" a step in fp32 \(.* of it data\); memory at least \d+ MiB, ", said)) == 2
    assert "  2 steps of 4: 1 min" in said


def test_only_the_chosen_stage_and_one_against_a_discriminator(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = make_experiment("afhqv2-dog", "test", str(miniatures.afhq(tmp_path / "data")))
    modality = replace(experiment.modality, num_queries=0, target_sizes=(32,), target_weights=(1.0,), crop=32)
    losses = replace(experiment.losses, discriminator=PatchDiscriminatorConfig(width=8, layers=1))
    dry_run(replace(experiment, modality=modality, losses=losses, gan=GANTraining(training=two_steps())), ("vae-gan",))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines if line.startswith("stage")] == ["stage vae-gan"]


def test_what_would_stop_the_training_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = miniatures.shapenet(tmp_path / "data")
    broken = data / "03001627" / "627model1" / "pointcloud.npz"
    broken.write_bytes(broken.read_bytes()[:100])
    argv = ("train", "shapenet-chair", "--preset", "test", "--data", data, "--dry-run")
    message = fails(capsys, *argv)
    assert "1 of 2 items of the split 'train' that were read cannot be used" in message
    assert "627model1/pointcloud.npz" in message


class Squares(nn.Module):
    """Keeps its input, 8 numbers an item, and its output, 4, for the backward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 4, bias=False)

    def forward(self, batch: torch.Tensor, *, step: int, rng: StepRandom) -> dict[str, Any]:
        return {"loss": self.linear(batch).square().mean(), "aux": None}


def test_bytes_known_by_hand() -> None:
    config = TrainerConfig(steps=1, batch_size=12, accumulate=2, precision="fp32", device="cpu", ema_decay=0.9)
    counts: list[int] = []

    def batches(count: int, rng: StepRandom) -> torch.Tensor:
        counts.append(count)
        return torch.ones(count, 8)

    cost = measure_step(Squares(), batches, config)
    assert counts == [1, 2, 6]
    assert (cost.micro, cost.measured) == (6, 6)
    assert cost.activations == 6 * (8 + 4) * 4
    weights = 32 * 4
    assert 5 * weights <= cost.state <= 5 * weights + 8  # weights, gradient, two moments, average; a count of steps


def test_fewer_items_where_a_micro_batch_would_take_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_cost, "PATIENCE", 0.0)
    config = TrainerConfig(steps=1, batch_size=6, precision="fp32", device="cpu")
    cost = measure_step(Squares(), lambda count, rng: torch.ones(count, 8), config)
    assert cost.measured == 1
    assert "scaled from 1 of a micro-batch's 6" in str(cost)
    judged = measure_step(
        Squares(),
        lambda count, rng: torch.ones(count, 8),
        TrainerConfig(steps=1, batch_size=1, precision="fp32", device="cpu", ema_decay=0.0),
        (Judge(), OptimizerConfig()),
    )
    assert judged.state > 4 * 4 * (32 + 3)


class Judge(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))

    def forward(self, batch: dict[str, Any], *, step: int, rng: StepRandom) -> dict[str, Any]:
        return {"loss": self.weight.sum() * batch["batch"].sum()}
