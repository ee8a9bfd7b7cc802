"""Recipes of 3D shapes, and of shapes from text."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ddmi.experiment import DiffusionConfig, Experiment, VAEConfig
from ddmi.networks import DecoderConfig, EncoderConfig, PointEncoderConfig, ReadOutConfig, UNetConfig
from ddmi.recipes.schedule import training, two_steps
from ddmi_diffusion import NoiseConfig, TrainerConfig
from ddmi_modalities.shape import ShapeModality
from ddmi_modalities.text import TextTowerConfig


def furniture(preset: str) -> Experiment:
    """Procedural chairs and tables: the embedded shape data set."""
    return _shapes("furniture", preset, source="furniture", hold_out="combinations")


def shape_folder(preset: str) -> Experiment:
    """Shapes of a folder: meshes, or the layout of occupancy networks' ShapeNet; `--data` names it."""
    return _shapes("shapes", preset, source="")


def furniture_text(preset: str) -> Experiment:
    """Chairs and tables from a sentence; the test split holds combinations of attributes that training lacks."""
    unconditional = furniture(preset)
    tower = TextTowerConfig() if preset != "test" else TextTowerConfig(width=16, layers=1, heads=2)
    return replace(
        unconditional, recipe="furniture-text", diffusion=replace(unconditional.diffusion, text=tower, cache=True)
    )


def _shapes(name: str, preset: str, **source: Any) -> Experiment:
    if preset == "paper":
        return _paper_shapes(name, source)
    if preset == "test":
        return Experiment(
            recipe=name,
            preset=preset,
            modality=ShapeModality(items=8, cloud=64, queries=32, **source),
            vae=_vae(size=16, hidden=8, features=8, width=8, multipliers=(1, 2), latent=4, basis=4, read_out=16),
            vae_training=two_steps(),
            diffusion=_diffusion(width=16, multipliers=(1, 2), steps=4),
            diffusion_training=two_steps(),
        )
    if preset == "demo":
        return Experiment(
            recipe=name,
            preset=preset,
            modality=ShapeModality(items=4000, cloud=1024, queries=1024, **source),
            vae=_vae(
                size=32, hidden=32, features=32, width=24, multipliers=(1, 1, 2), latent=16, basis=16, read_out=64
            ),
            vae_training=training(steps=3000, batch_size=8, learning_rate=4e-3),
            diffusion=_diffusion(width=96, multipliers=(1, 2), steps=50),
            diffusion_training=training(steps=1600, batch_size=32, learning_rate=1e-3),
        )
    return Experiment(
        recipe=name,
        preset=preset,
        modality=ShapeModality(items=50_000, **source),
        vae=_vae(size=64, hidden=64, features=32, width=64, multipliers=(1, 2, 4), latent=16, basis=32, read_out=128),
        vae_training=training(steps=60_000, batch_size=32, learning_rate=1e-3),
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
            hidden=hidden, blocks=4, size=size, planes=EncoderConfig(in_channels=features, **planes)
        ),
        decoder=DecoderConfig(channels=basis, scales=len(multipliers), **planes),
        read_out=ReadOutConfig(width=read_out, out_channels=1, coordinates=True),
        latent_channels=latent,
        kl_weight=1e-6,
        kl_start=1e-6,
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


def _paper_shapes(name: str, source: dict[str, Any]) -> Experiment:
    """The paper's architecture and schedule for ShapeNet, on this recipe's data."""
    # Weights of the reference are divided by the 2,048 points over which it sums its likelihood.
    points = 2048
    return Experiment(
        recipe=name,
        preset="paper",
        modality=ShapeModality(items=50_000, queries=points, near=None, align_corners=True, **source),
        vae=VAEConfig(
            encoder=PointEncoderConfig(
                planes=EncoderConfig(
                    in_channels=32, width=64, multipliers=(1, 2, 4), blocks=2, mixing="channels", mixed_levels=(0, 1, 2)
                )
            ),
            decoder=DecoderConfig(width=64, multipliers=(1, 2, 4), blocks=3, mixing="channels", mixed_levels=(0, 1, 2)),
            read_out=ReadOutConfig(out_channels=1, coordinates=True),
            kl_weight=0.01 / points,
            kl_start=0.0,
        ),
        vae_training=TrainerConfig(
            steps=400_000, batch_size=64, learning_rate=1e-4, betas=(0.9, 0.99), warmup=2500, ema_decay=0.0
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
    )
