"""Recipes of radiance fields."""

from __future__ import annotations

from typing import Any

from ddmi.experiment import DiffusionConfig, Experiment, VAEConfig
from ddmi.networks import (
    DecoderConfig,
    EncoderConfig,
    PointEncoderConfig,
    RadianceReadOutConfig,
    UNetConfig,
)
from ddmi.recipes.schedule import training, two_steps
from ddmi_diffusion import NoiseConfig, TrainerConfig
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
    if preset == "test":
        return Experiment(
            recipe=name,
            preset=preset,
            modality=RadianceModality(items=4, size=16, cloud=64, rays=32, samples=8, **source),
            vae=_vae(size=16, hidden=8, features=8, width=8, multipliers=(1, 2), latent=4, basis=4, read_out=16),
            vae_training=two_steps(),
            diffusion=_diffusion(width=16, multipliers=(1, 2), steps=4),
            diffusion_training=two_steps(),
        )
    if preset == "demo":
        return Experiment(
            recipe=name,
            preset=preset,
            modality=RadianceModality(items=1000, cloud=2048, rays=256, samples=32, **source),
            vae=_vae(size=32, hidden=32, features=32, width=24, multipliers=(1, 1, 2), latent=16, basis=8, read_out=64),
            vae_training=training(steps=2000, batch_size=8, learning_rate=4e-3),
            diffusion=_diffusion(width=96, multipliers=(1, 2), steps=50),
            diffusion_training=training(steps=1200, batch_size=32, learning_rate=1e-3),
        )
    return Experiment(
        recipe=name,
        preset=preset,
        modality=RadianceModality(items=10_000, size=128, rays=1024, samples=64, **source),
        vae=_vae(size=64, hidden=64, features=32, width=64, multipliers=(1, 2, 4), latent=16, basis=16, read_out=128),
        vae_training=training(steps=60_000, batch_size=16, learning_rate=1e-3),
        diffusion=_diffusion(width=128, multipliers=(1, 2, 4), steps=50),
        diffusion_training=training(steps=100_000, batch_size=128, learning_rate=3e-4),
    )


def _vae(
    *,
    size: int,
    hidden: int,
    features: int,
    width: int,
    multipliers: tuple[int, ...],
    latent: int,
    basis: int,
    read_out: int,
) -> VAEConfig:
    planes: dict[str, Any] = dict(
        width=width, multipliers=multipliers, blocks=1, mixing="tokens", shortcuts=True, groups=8
    )
    return VAEConfig(
        encoder=PointEncoderConfig(
            in_channels=6,
            hidden=hidden,
            blocks=4,
            size=size,
            direct=True,
            planes=EncoderConfig(in_channels=features, **planes),
        ),
        decoder=DecoderConfig(channels=basis, scales=len(multipliers), reduction="concat", **planes),
        read_out=RadianceReadOutConfig(width=read_out),
        latent_channels=latent,
        kl_weight=1e-6,
        kl_start=1e-6,
        opacity=OpacityConfig(weight=0.5, steps=500),
    )


def _diffusion(*, width: int, multipliers: tuple[int, ...], steps: int) -> DiffusionConfig:
    return DiffusionConfig(
        noise=NoiseConfig(prediction="v"),
        denoiser=UNetConfig(
            width=width,
            multipliers=multipliers,
            blocks=1,
            attention_factors=(1, 2, 4),
            head_channels=min(32, width),
            groups=16,
            scale_shift=True,
        ),
        sampling_steps=steps,
    )


def _paper_scenes(name: str, source: dict[str, Any]) -> Experiment:
    """The paper's sizes and schedule for SRN Cars, on this recipe's data; the read-out has our activations."""
    # Weights of the reference are divided by 20 (its factor of the likelihood) times the 5,000 rays it sums over.
    rays = 5000
    planes: dict[str, Any] = dict(width=64, multipliers=(1, 2, 4), mixing="channels", mixed_levels=(0, 1, 2))
    return Experiment(
        recipe=name,
        preset="paper",
        modality=RadianceModality(
            items=10_000, size=128, cloud=3000, rays=rays, samples=256, foreground=0.0, likelihood="laplace",
            align_corners=True, **source,
        ),
        vae=VAEConfig(
            encoder=PointEncoderConfig(in_channels=6, planes=EncoderConfig(in_channels=32, blocks=2, **planes)),
            decoder=DecoderConfig(channels=32, scales=1, blocks=3, reduction="concat", **planes),
            read_out=RadianceReadOutConfig(width=256),
            kl_weight=0.05 / (20 * rays),
            kl_start=0.05 / (20 * rays),
        ),
        vae_training=TrainerConfig(
            steps=400_000, batch_size=16, learning_rate=5e-5, betas=(0.9, 0.99), warmup=2500, ema_decay=0.0
        ),
        diffusion=DiffusionConfig(
            denoiser=UNetConfig(width=256, multipliers=(1, 2, 4)), mixed=-6.0, whiten=False, sampling_steps=200
        ),
        diffusion_training=TrainerConfig(
            steps=400_000,
            batch_size=64,
            learning_rate=1e-4,
            schedule="constant",
            warmup=0,
            ema_decay=0.9999,
            ema_every=5,
        ),
    )  # fmt: skip
