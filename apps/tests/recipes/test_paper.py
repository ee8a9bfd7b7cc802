"""Preset `paper`: sizes of the networks and schedules against the published configurations, number by number."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from ddmi.cli import main
from ddmi.experiment.config import Experiment, GANTraining
from ddmi.registry import make_experiment
from ddmi.training.objectives import vae_objective
from ddmi_diffusion import TrainerConfig
from ddmi_modalities.losses.configs import PictureLosses

from .. import miniatures

TRI_PLANES = ((64, 16, 16),) * 3
IMAGE = ((64, 64, 64),)
# (planes of the latent, encoder, decoder, read-out, denoiser), as networks of the published configurations have them
SIZES: dict[str, tuple[Any, int, int, int, int]] = {
    "afhqv2-cat": (IMAGE, 23_536_384, 33_664_704, 1_880_009, 519_220_416),
    "afhqv2-dog": (IMAGE, 23_536_384, 33_664_704, 1_880_009, 519_220_416),
    "celeba-hq": (IMAGE, 29_734_912, 39_863_232, 1_880_009, 1_014_986_816),
    "shapenet-chair": (TRI_PLANES, 63_196_960, 63_221_120, 629_825, 678_673_600),
    "shapenet-13": (TRI_PLANES, 63_196_960, 63_221_120, 629_825, 678_673_600),
    "sky-timelapse": (
        ((64, 32, 32), (64, 16, 32), (64, 16, 32)), 35_337_216, 53_297_024, 858_819, 767_856_704
    ),
    # Our layers: theirs have 63,198,496, 63,177,952 and 554,116, with a projection between autoencoder and latent, and
    # a read-out of six layers without activations between them, which is an affine map.
    "srn-cars": (TRI_PLANES, 62_804_768, 63_005_536, 350_596, 678_673_600),
}  # fmt: skip


def experiment(recipe: str) -> Experiment:
    return make_experiment(recipe, "paper", "somewhere")


def count(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


@pytest.mark.parametrize("recipe", SIZES)
def test_parameters(recipe: str) -> None:
    planes, *wanted = SIZES[recipe]
    settings = experiment(recipe)
    with torch.device("meta"):
        vae = settings.vae.build(settings.modality.layout)
        denoiser = settings.diffusion.denoiser.build(planes, settings.diffusion.packing, None)
    assert [count(part) for part in (vae.encoder, vae.decoder, vae.read_out, denoiser)] == wanted


def pace(config: TrainerConfig) -> tuple[int, int, int]:
    return config.steps, config.batch_size, config.accumulate


# (micro-batch, accumulation, epochs) of the stages, and training items: batches of one process
SCHEDULES = {
    "afhqv2-cat": (5065, (4, 5, 200), (1, 5, 1300), (4, 5, 1500)),
    "afhqv2-dog": (4678, (4, 5, 200), (1, 5, 1300), (4, 5, 1500)),
    "celeba-hq": (27_000, (10, 5, 200), (1, 5, 200), (5, 5, 1500)),
    "shapenet-13": (30_661, (12, 5, 300), None, (10, 5, 3000)),
    "srn-cars": (2458, (1, 10, 4000), None, (32, 5, 3000)),
    "sky-timelapse": (5000, (2, 5, 200), (2, 5, 400), (2, 1, 1500)),
}


@pytest.mark.parametrize("recipe", SCHEDULES)
def test_schedules(recipe: str) -> None:
    items, *stages = SCHEDULES[recipe]
    settings = experiment(recipe)
    gan = settings.gan.training if settings.losses.discriminator else None
    configs = (settings.vae_training, gan, settings.diffusion_training)
    for stage, (config, published) in enumerate(zip(configs, stages, strict=True)):
        if published is None or config is None:
            assert published is config is None
            continue
        batch, accumulate, epochs = published
        turns = 2 if stage == 1 else 1  # every second step is the discriminator's
        assert pace(config) == (items // batch * epochs // accumulate // turns, batch * accumulate, accumulate)
        assert config.grad_clip is None
        images = recipe in ("afhqv2-cat", "afhqv2-dog", "celeba-hq")
        assert config.weight_decay == (0 if images and stage == 2 else 0.01)
        assert (config.ema_decay, config.ema_every) == ((0.9999, 10 if images else 5) if stage == 2 else (0.0, 1))
        assert config.betas == ((0.9, 0.999) if stage == 2 else (0.9, 0.99))
        assert (config.schedule == "cosine") == (stage == 0 or (stage, recipe) == (1, "celeba-hq"))
    assert settings.diffusion_training.learning_rate == 1e-4
    assert settings.vae_training.learning_rate == (5e-5 if recipe == "srn-cars" else 1e-4)
    assert settings.vae_training.warmup == items // stages[0][0] * 5 // stages[0][1]


# weight of the divergence at the end, what all weights are divided by, spectral weight at the start and at the end
WEIGHTS = {
    "afhqv2-cat": (0.5, 256 * 256, 5.0, 0.5**0.5),
    "shapenet-chair": (0.01, 2048, 5.0, 5**0.99 * 0.1**0.01),
    "sky-timelapse": (0.1, 16 * 256 * 256, 5.0, 5**0.9 * 0.1**0.1),
    "srn-cars": (0.05, 20 * 5000, 0.1, 0.1),
}


@pytest.mark.parametrize("recipe", WEIGHTS)
def test_weights_of_stage_one(recipe: str) -> None:
    kl, units, first, last = WEIGHTS[recipe]
    losses = experiment(recipe).losses
    divergence, spectral = losses.kl_schedule(1000), losses.spectral_schedule(1000)
    assert spectral is not None
    assert [units * divergence(step) for step in (0, 900, 999)] == pytest.approx([1e-4, kl, kl])
    assert units * divergence(450) == pytest.approx((1e-4 + kl) / 2)
    assert [units * spectral(step) for step in (0, 900, 999)] == pytest.approx([first, last, last], rel=1e-3)
    assert units * spectral(450) == pytest.approx((first * last) ** 0.5, rel=1e-3)  # log-linear
    if isinstance(losses, PictureLosses):
        assert losses.perceptual is not None
        assert losses.perceptual.weight == pytest.approx(1 / units)


def test_the_second_run_of_stage_one_has_constant_weights() -> None:
    settings = make_experiment("afhqv2-cat", "test", "somewhere")
    vae = settings.vae.build(settings.modality.layout)
    for gan, wanted in (
        (GANTraining(), (1e-5, 0.3)),
        (GANTraining(kl_weight=0.2, spectral_weight=0.1), (0.2, 0.1)),
    ):
        ramped = replace(settings.losses, kl_start=0.0, spectral_weight=0.3, spectral_start=5.0)
        objective = vae_objective(replace(settings, losses=ramped, gan=gan), vae, 100, lambda *_: torch.zeros(()))
        assert objective.spectral_weight is not None
        assert (objective.kl_weight(0), objective.spectral_weight(0)) == wanted
        first = vae_objective(replace(settings, losses=ramped, gan=gan), vae, 100)
        assert first.kl_weight(0) == 0
    paper = experiment("afhqv2-dog").gan
    assert paper.discriminator.betas == (0.5, 0.9)
    assert paper.discriminator.learning_rate == paper.training.learning_rate == 5e-5
    assert paper.kl_weight == pytest.approx(0.5 / 65_536)
    assert paper.spectral_weight == pytest.approx(0.1 / 65_536)


SMALL = {
    "--vae.model.ddconfig.ch": "32",
    "--vae.model.ddconfig.resolution": "16",
    "--vae.model.ddconfig.ch-mult": "1 1 1",
    "--vae.model.ddconfig.hdbf-resolutions": "8 4",
    "--vae.model.mlpconfig.ch": "8",
    "--diffusion.denoiser.width": "32",
    "--diffusion.denoiser.multipliers": "1 2",
}
PICTURES = {"--losses.perceptual.weight": "0", "--modality.size": "16", "--modality.target-sizes": "16",
            "--modality.target-weights": "1", "--modality.crop": "16",
            "--losses.discriminator.layers": "1"}  # fmt: skip
CLOUDS = {"--vae.model.ddconfig.inter-attn-resolutions": "8 4", "--vae.model.pointnet.plane-resolution": "16",
          "--vae.model.pointnet.hidden-dim": "16", "--modality.cloud": "64",
          "--modality.num-queries": "64"}  # fmt: skip


@pytest.mark.parametrize(
    ("recipe", "write", "options", "stages"),
    [
        ("afhqv2-dog", miniatures.afhq, PICTURES, ["vae", "vae-gan", "diffusion"]),
        ("shapenet-chair", miniatures.shapenet, CLOUDS, ["vae", "diffusion"]),
    ],
)
def test_the_same_networks_in_small_can_be_trained(
    recipe: str, write: Any, options: dict[str, str], stages: list[str], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    words = [word for name, value in {**SMALL, **options}.items() for word in (name, *value.split())]
    assert main(["train", recipe, "--preset", "paper", "--data", str(write(tmp_path)), "--dry-run", *words]) == 0
    assert re.findall(r"stage ([\w-]+):", capsys.readouterr().out) == stages


CLIPS = {"--vae.model.ddconfig.ch": "32", "--vae.model.ddconfig.resolution": "32",
         "--vae.model.ddconfig.ch-mult": "1 1 1 1", "--vae.model.ddconfig.hdbf-resolutions": "16 8",
         "--vae.model.ddconfig.inter-attn-resolutions": "4 8", "--vae.model.ddconfig.timesformer-channels": "64",
         "--vae.model.ddconfig.num-res-blocks": "1", "--vae.model.mlpconfig.ch": "8", "--vae.model.frames": "8",
         "--losses.perceptual.weight": "0", "--modality.frames": "8", "--modality.shown": "8", "--modality.size": "32",
         "--modality.target-sizes": "32", "--modality.crop": "32", "--losses.discriminator.frames": "8",
         "--losses.discriminator.layers": "1", "--losses.discriminator.clip-layers": "1",
         "--losses.discriminator.width": "8",
         "--diffusion.denoiser.width": "32", "--diffusion.denoiser.multipliers": "1 2",
         "--diffusion.denoiser.head-channels": "16", "--diffusion.num-steps": "2"}  # fmt: skip


def test_the_networks_of_video_in_small_are_trained_in_all_stages(tmp_path: Path) -> None:
    short = {"steps": "2", "warmup": "0", "batch-size": "2", "accumulate": "1", "precision": "fp32"}
    parts = ("vae-training", "gan.training", "diffusion-training")
    options = {**CLIPS, **{f"--{part}.{name}": value for part in parts for name, value in short.items()}}
    words = [word for name, value in options.items() for word in (name, *value.split())]
    data, run = miniatures.sky(tmp_path / "data"), tmp_path / "run"
    assert main(["train", "sky-timelapse", "--preset", "paper", "--data", str(data), "--run", str(run), *words]) == 0
    judges = {f"discriminator/{kind}_logits_{which}" for kind in ("frames", "clips") for which in ("real", "made")}
    for stage, wanted in (
        ("vae", {"nll", "kl"}),
        ("vae-gan", {"nll", "kl", "adversarial"} | judges),
        ("diffusion", set()),
    ):
        lines = [json.loads(line) for line in (run / stage / "metrics.jsonl").read_text().splitlines()]
        assert [line["step"] for line in lines] == [0, 1]
        for line in lines:
            assert wanted <= line.keys()
            assert all(math.isfinite(value) for value in line.values())
    assert (run / "denoiser.safetensors").exists()
