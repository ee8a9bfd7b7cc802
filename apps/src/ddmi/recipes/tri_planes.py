"""What the recipes of shapes and of radiance fields share: points in, three equal planes, basis fields of them."""

from __future__ import annotations

from typing import Any

from ddmi.experiment import DiffusionConfig, VAEConfig
from ddmi.networks import (
    DecoderConfig,
    EncoderConfig,
    PointEncoderConfig,
    RadianceReadOutConfig,
    ReadOutConfig,
    UNetConfig,
)
from ddmi.recipes.latents import diffusion, paper_diffusion

Settings = dict[str, Any]
READ_OUT = {"test": 16, "demo": 64, "small": 128}
"""Width of the read-out in small presets."""


def point_vae(
    preset: str,
    read_out: ReadOutConfig | RadianceReadOutConfig,
    *,
    basis: int,
    encoder: Settings | None = None,
    decoder: Settings | None = None,
    **settings: Any,
) -> VAEConfig:
    """The autoencoder of a small preset, with `basis` channels of a basis vector and the given further settings."""
    hidden, features, width, multipliers, size, latent = {
        "test": (8, 8, 8, (1, 2), 16, 4),
        "demo": (32, 32, 24, (1, 1, 2), 32, 16),
        "small": (64, 32, 64, (1, 2, 4), 64, 16),
    }[preset]
    planes: Settings = dict(width=width, multipliers=multipliers, blocks=1, mixing="tokens", shortcuts=True, groups=8)
    return VAEConfig(
        encoder=PointEncoderConfig(
            hidden=hidden, blocks=4, size=size, planes=EncoderConfig(in_channels=features, **planes), **(encoder or {})
        ),
        decoder=DecoderConfig(channels=basis, scales=len(multipliers), **planes, **(decoder or {})),
        read_out=read_out,
        latent_channels=latent,
        kl_weight=1e-6,
        kl_start=1e-6,
        **settings,
    )


def plane_diffusion(preset: str) -> DiffusionConfig:
    """Latent diffusion of a small preset."""
    width, multipliers, steps = {"test": (16, (1, 2), 4), "demo": (96, (1, 2), 50), "small": (128, (1, 2, 4), 50)}[
        preset
    ]
    return diffusion(width=width, multipliers=multipliers, steps=steps)


def paper_point_vae(
    read_out: ReadOutConfig | RadianceReadOutConfig,
    *,
    encoder: Settings | None = None,
    decoder: Settings | None = None,
    **settings: Any,
) -> VAEConfig:
    """The paper's autoencoder of points, with the given further settings."""
    planes: Settings = dict(width=64, multipliers=(1, 2, 4), mixing="channels", mixed_levels=(0, 1, 2))
    return VAEConfig(
        encoder=PointEncoderConfig(planes=EncoderConfig(in_channels=32, blocks=2, **planes), **(encoder or {})),
        decoder=DecoderConfig(blocks=3, **planes, **(decoder or {})),
        read_out=read_out,
        **settings,
    )


def paper_plane_diffusion() -> DiffusionConfig:
    """The paper's latent diffusion on three planes of 16 x 16."""
    return paper_diffusion(denoiser=UNetConfig(width=256, multipliers=(1, 2, 4)), sampling_steps=200)
