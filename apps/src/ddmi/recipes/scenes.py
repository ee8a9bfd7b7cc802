"""Recipes of radiance fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ddmi.experiment import Experiment, VAEConfig
from ddmi.networks import DecoderConfig, EncoderConfig, PointEncoderConfig, RadianceReadOutConfig
from ddmi.recipes.paper import Epochs, paper_autoencoder, paper_denoiser, paper_weights
from ddmi.recipes.recipe import ALL, Recipe
from ddmi.recipes.schedule import training, two_steps
from ddmi.recipes.tri_planes import READ_OUT, paper_plane_diffusion, plane_diffusion, point_vae
from ddmi_modalities.nerf import OpacityConfig, RadianceModality

CARS = 2458
"""Training scenes of SRN Cars."""


@dataclass(frozen=True, kw_only=True)
class SceneData:
    """What a recipe knows of its data."""

    summary: str
    source: str = ""
    presets: tuple[str, ...] = ALL


SCENES = {
    "turntable": SceneData(
        summary="radiance fields of coloured furniture and cars (embedded, procedural)",
        source="turntable",
        presets=tuple(preset for preset in ALL if preset != "ours"),
    ),
    "srn-cars": SceneData(summary="radiance fields from your posed views, or SRN Cars (--data PATH)"),
}


def scene_experiment(name: str, preset: str) -> Experiment:
    """The experiment of one of `SCENES`."""
    source = SCENES[name].source
    if preset == "paper":
        return _paper(name, source)
    data: dict[str, Any] = {
        "test": dict(items=4, size=16, cloud=64, rays=32, samples=8),
        "demo": dict(items=1000, size=64, cloud=2048, rays=256, samples=32),
        "small": dict(items=10_000, size=128, cloud=2048, rays=1024, samples=64),
        "ours": dict(items=10_000, size=128, cloud=3000, rays=2048, samples=96),
    }[preset]
    first, second = {
        "test": (two_steps(), two_steps()),
        "demo": (
            training(steps=2000, batch_size=8, learning_rate=4e-3),
            training(steps=1200, batch_size=32, learning_rate=1e-3),
        ),
        "small": (
            training(steps=60_000, batch_size=16, learning_rate=1e-3),
            training(steps=100_000, batch_size=128, learning_rate=3e-4),
        ),
        "ours": (
            training(steps=200_000, batch_size=16, learning_rate=5e-4),
            training(steps=400_000, batch_size=256, learning_rate=2e-4),
        ),
    }[preset]
    return Experiment(
        recipe=name,
        preset=preset,
        modality=RadianceModality(**data, source=source),
        vae=point_vae(
            preset,
            RadianceReadOutConfig(width=READ_OUT[preset]),
            basis={"test": 4, "demo": 8, "small": 16, "ours": 32}[preset],
            encoder=dict(in_channels=6, direct=True),
            decoder=dict(reduction="concat"),
            opacity=OpacityConfig(weight=0.5, steps=500),
        ),
        vae_training=first,
        diffusion=plane_diffusion(preset),
        diffusion_training=second,
    )


def _paper(name: str, source: str) -> Experiment:
    """The paper's sizes and schedule for SRN Cars, on this recipe's data, by our own layers: its read-out is affine,
    for want of activations, and cannot bend.
    """
    rays = 5000
    planes: dict[str, Any] = dict(width=64, multipliers=(1, 2, 4), mixing="channels", mixed_levels=(0, 1, 2))
    return Experiment(
        recipe=name,
        preset="paper",
        modality=RadianceModality(
            items=10_000, size=128, cloud=3000, rays=rays, samples=256, foreground=0.0, likelihood="laplace",
            align_corners=True, source=source,
        ),
        vae=VAEConfig(
            encoder=PointEncoderConfig(in_channels=6, planes=EncoderConfig(in_channels=32, blocks=2, **planes)),
            decoder=DecoderConfig(channels=32, scales=1, blocks=3, reduction="concat", **planes),
            read_out=RadianceReadOutConfig(width=256),
            **paper_weights(0.05, 20 * rays, annealed=False),  # 20 is its factor of the likelihood
        ),
        vae_training=paper_autoencoder(Epochs(items=CARS, batch=1, count=4000, accumulate=10), 5e-5),
        diffusion=paper_plane_diffusion(),
        diffusion_training=paper_denoiser(Epochs(items=CARS, batch=32, count=3000)),
    )  # fmt: skip


def scene_recipes() -> dict[str, Recipe]:
    """All of `SCENES`."""
    return {
        name: Recipe(scene_experiment, data.summary, data.presets, needs_data=not data.source)
        for name, data in SCENES.items()
    }
