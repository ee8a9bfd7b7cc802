"""Recipes of radiance fields."""

from __future__ import annotations

from typing import Any

from ddmi.experiment.config import Experiment
from ddmi.recipes.paper import Epochs, paper_autoencoder, paper_denoiser, paper_losses, paper_plane_diffusion
from ddmi.recipes.presets import (
    READ_OUT,
    Settings,
    guide_after,
    mean_flow_training,
    plane_diffusion,
    point_vae,
    size_of,
    training,
    two_steps,
)
from ddmi_modalities.losses.configs import NerfLosses, OpacityConfig
from ddmi_modalities.nerf import NerfModality
from ddmi_modalities.nerf.read_out import NerfReadOutConfig
from ddmi_modalities.networks.point_encoder import PointEncoderConfig
from ddmi_vae import PlaneDecoderConfig, PlaneEncoderConfig, VAEConfig

CARS = 2458
"""Training scenes of SRN Cars."""


def nerf_experiment(preset: str, *, source: str) -> Experiment:
    """Radiance fields of any data set, in one of `PRESETS`."""
    if preset == "paper":
        return _paper(source)
    size = size_of(preset)
    data: Settings = {
        "test": dict(items=4, size=16, cloud=64, num_queries=32, samples=8),
        "demo": dict(items=1000 if preset == "demo" else 3000, size=64, cloud=2048, num_queries=256, samples=32),
        "small": dict(items=10_000, size=128, cloud=2048, num_queries=1024, samples=64),
        "recommended": dict(items=10_000, size=128, cloud=3000, num_queries=2048, samples=96),
    }[size]
    first, second = {
        "test": (two_steps(), two_steps()),
        "demo": (
            training(steps=2000, batch_size=8, learning_rate=4e-3, optimizer="muon"),
            training(steps=1200, batch_size=32, learning_rate=1e-3),
        ),
        "evening": (
            training(steps=6000, batch_size=8, learning_rate=4e-3, optimizer="muon"),
            training(steps=5000, batch_size=32, learning_rate=1e-3),
        ),
        "small": (
            training(steps=60_000, batch_size=16, learning_rate=1e-3, optimizer="muon"),
            training(steps=100_000, batch_size=128, learning_rate=3e-4),
        ),
        "recommended": (
            training(steps=200_000, batch_size=16, learning_rate=1e-3, optimizer="muon"),
            training(steps=400_000, batch_size=256, learning_rate=2e-4),
        ),
    }[preset]
    return Experiment(
        modality=NerfModality(**data, source=source),
        vae=point_vae(
            size,
            NerfReadOutConfig(width=READ_OUT[size]),
            basis={"test": 4, "demo": 8, "small": 16, "recommended": 32}[size],
            encoder=dict(in_channels=6, direct=True, offsets=True),
            decoder=dict(reduction="concat"),
        ),
        losses=NerfLosses(kl_weight=1e-6, kl_start=1e-6, opacity=OpacityConfig(weight=0.5, steps=500)),
        vae_training=first,
        diffusion=plane_diffusion(size, guide_after=guide_after(preset), guidance_scale=2.0),
        diffusion_training=second,
        mean_flow_training=mean_flow_training(preset),
    )


def _paper(source: str) -> Experiment:
    """The paper's sizes and schedule for SRN Cars, on any data, by our own layers: its read-out is affine, for want of

    activations, and cannot bend.
    """
    rays = 5000
    planes: dict[str, Any] = dict(width=64, multipliers=(1, 2, 4), mixing="channels", mixed_levels=(0, 1, 2))
    return Experiment(
        modality=NerfModality(
            items=10_000, size=128, cloud=3000, num_queries=rays, samples=256, foreground=0.0, likelihood="laplace",
            align_corners=True, source=source,
        ),
        vae=VAEConfig(
            encoder=PointEncoderConfig(in_channels=6, planes=PlaneEncoderConfig(in_channels=32, blocks=2, **planes)),
            decoder=PlaneDecoderConfig(channels=32, scales=1, blocks=3, reduction="concat", **planes),
            read_out=NerfReadOutConfig(width=256),
        ),
        # 20 is its factor of the likelihood
        losses=NerfLosses(**paper_losses(0.05, 20 * rays, annealed=False)),
        vae_training=paper_autoencoder(Epochs(items=CARS, batch=1, count=4000, accumulate=10), 5e-5),
        diffusion=paper_plane_diffusion(),
        diffusion_training=paper_denoiser(Epochs(items=CARS, batch=32, count=3000)),
    )  # fmt: skip
