"""Recipes of radiance fields."""

from __future__ import annotations

from typing import Any

from ddmi.experiment import Experiment
from ddmi.networks import RadianceReadOutConfig
from ddmi.recipes.schedule import paper_autoencoder, paper_denoiser, training, two_steps
from ddmi.recipes.tri_planes import READ_OUT, paper_plane_diffusion, paper_point_vae, plane_diffusion, point_vae
from ddmi_modalities.nerf import OpacityConfig, RadianceModality


def turntable(preset: str) -> Experiment:
    """Coloured furniture and cars on a turntable: the embedded data set of radiance fields."""
    return _scenes("turntable", preset, source="turntable")


def srn_cars(preset: str) -> Experiment:
    """Posed views of cars as SRN distributes them, or any scenes with cameras; `--data` names the folder."""
    return _scenes("srn-cars", preset, source="")


def _scenes(name: str, preset: str, **source: Any) -> Experiment:
    if preset == "paper":
        return _paper_scenes(name, source)
    data: dict[str, Any] = {
        "test": dict(items=4, size=16, cloud=64, rays=32, samples=8),
        "demo": dict(items=1000, size=64, cloud=2048, rays=256, samples=32),
        "small": dict(items=10_000, size=128, cloud=2048, rays=1024, samples=64),
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
    }[preset]
    return Experiment(
        recipe=name,
        preset=preset,
        modality=RadianceModality(**data, **source),
        vae=point_vae(
            preset,
            RadianceReadOutConfig(width=READ_OUT[preset]),
            basis={"test": 4, "demo": 8, "small": 16}[preset],
            encoder=dict(in_channels=6, direct=True),
            decoder=dict(reduction="concat"),
            opacity=OpacityConfig(weight=0.5, steps=500),
        ),
        vae_training=first,
        diffusion=plane_diffusion(preset),
        diffusion_training=second,
    )


def _paper_scenes(name: str, source: dict[str, Any]) -> Experiment:
    """The paper's sizes and schedule for SRN Cars, on this recipe's data; the read-out has our activations."""
    # Weights of the reference are divided by 20 (its factor of the likelihood) times the 5,000 rays it sums over.
    rays = 5000
    return Experiment(
        recipe=name,
        preset="paper",
        modality=RadianceModality(
            items=10_000, size=128, cloud=3000, rays=rays, samples=256, foreground=0.0, likelihood="laplace",
            align_corners=True, **source,
        ),
        vae=paper_point_vae(
            RadianceReadOutConfig(width=256),
            encoder=dict(in_channels=6),
            decoder=dict(channels=32, scales=1, reduction="concat"),
            kl_weight=0.05 / (20 * rays),
            kl_start=0.05 / (20 * rays),
        ),
        vae_training=paper_autoencoder(steps=400_000, batch_size=16, learning_rate=5e-5),
        diffusion=paper_plane_diffusion(),
        diffusion_training=paper_denoiser(steps=400_000, batch_size=64),
    )  # fmt: skip
