"""Trainings that start from another model's weights."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from ddmi import DDMI
from ddmi.cli import main
from ddmi.model_card import model_card
from ddmi.pipeline import DENOISER, VAE, read_experiment
from ddmi.training.initialisation import start_from

from ..command_line import refused

TRAIN = ("train", "openmoji", "--preset", "test")
ONE_STILL_STEP = (
    "--vae-training.steps=1", "--vae-training.learning-rate=1e-9", "--vae-training.floor=0",
    "--diffusion-training.steps=1", "--diffusion-training.learning-rate=1e-9", "--diffusion-training.floor=0",
)  # fmt: skip


def nearly(one: Path, other: Path) -> bool:
    """Whether the weights of two files differ by no more than steps that are nearly none."""
    ours, theirs = load_file(one), load_file(other)
    return ours.keys() == theirs.keys() and all(torch.allclose(ours[name], theirs[name], atol=1e-6) for name in ours)


def test_both_stages_start_from_the_model(tiny_run: Path, tmp_path: Path) -> None:
    run, plain = tmp_path / "run", tmp_path / "plain"
    seeds = ("--vae-training.seed=5", "--diffusion-training.seed=5")
    assert main([*TRAIN, "--run", str(run), "--init", str(tiny_run), *ONE_STILL_STEP, *seeds]) == 0
    assert nearly(run / VAE, tiny_run / VAE)
    assert nearly(run / DENOISER, tiny_run / DENOISER)
    assert main([*TRAIN, "--run", str(plain), "--stage", "vae", *ONE_STILL_STEP, *seeds]) == 0
    assert not nearly(plain / VAE, tiny_run / VAE), "the test can fail"
    experiment = read_experiment(run)
    assert experiment.init == str(tiny_run)
    assert experiment.attribution is not None
    assert "OpenMoji" in experiment.origin, "whose data the first model was made of goes on"
    assert experiment.origin in experiment.attribution
    model = DDMI.from_pretrained(run)
    assert experiment.origin in model_card(model.experiment, "name", {}, attribution=model.attribution)


def test_a_frozen_encoder_stays_and_the_decoder_learns(tiny_run: Path, tmp_path: Path) -> None:
    options = ["--init", str(tiny_run), "--freeze-encoder", "--stage", "vae", "--vae-training.learning-rate=1e-2"]
    assert main([*TRAIN, "--run", str(tmp_path), *options]) == 0
    ours, theirs = load_file(tmp_path / VAE), load_file(tiny_run / VAE)
    for name in ours:
        if name.startswith("encoder."):
            assert torch.equal(ours[name], theirs[name]), name
    assert any(not torch.allclose(ours[name], theirs[name], atol=1e-4) for name in ours if name.startswith("decoder."))
    assert DDMI.from_pretrained(tmp_path).experiment.freeze_encoder


def test_a_run_is_resumed_though_its_origin_is_gone(tiny_run: Path, tmp_path: Path) -> None:
    model = DDMI.from_pretrained(tiny_run)
    model.save_pretrained(tmp_path / "first")
    command = [*TRAIN, "--run", str(tmp_path / "run"), "--stage", "vae", "--init", str(tmp_path / "first")]
    assert main(command) == 0
    origin = read_experiment(tmp_path / "run").origin
    (tmp_path / "first").rename(tmp_path / "elsewhere")
    assert main([*command, "--resume", "--vae-training.steps=3"]) == 0
    assert read_experiment(tmp_path / "run").origin == origin != ""


def test_what_fits_is_taken_and_the_rest_is_said(tiny_run: Path, caplog: pytest.LogCaptureFixture) -> None:
    theirs = load_file(tiny_run / VAE)
    name, fits = next((name, value) for name, value in theirs.items() if value.ndim > 1)

    class Other(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.own = nn.Parameter(torch.full((3,), 7.0))

    other, parts = Other(), name.split(".")
    place: nn.Module = other
    for part in parts[:-1]:
        place.add_module(part, nn.Module())
        place = getattr(place, part)
    place.register_parameter(parts[-1], nn.Parameter(torch.zeros_like(fits)))
    with caplog.at_level(logging.INFO, logger="ddmi"):
        start_from(other, str(tiny_run), VAE)
    assert torch.equal(other.state_dict()[name], fits)
    assert (other.own == 7).all()
    assert "1 of 2 tensors" in caplog.text
    assert "own (3,)" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--init", "no-such-model"], "no installed model of this name"),
        (["--freeze-encoder"], "freeze_encoder"),
    ],
)
def test_bad_origins_are_one_line(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refused(capsys, *TRAIN, "--run", str(tmp_path / "run"), *options)
    assert not (tmp_path / "run").exists()


def test_nothing_that_fits_is_an_error(tiny_run: Path) -> None:
    with pytest.raises(ValueError, match=r"no tensor of its vae.safetensors fits"):
        start_from(nn.Linear(2, 3), str(tiny_run), VAE)
    with pytest.raises(ValueError, match=r"it has no guide.safetensors"):
        start_from(nn.Linear(2, 3), str(tiny_run), "guide.safetensors")
