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
from ddmi.recipes.latents import diffusion
from ddmi.recipes.paper import paper_diffusion

Settings = dict[str, Any]
READ_OUT = {"test": 16, "demo": 64, "small": 128, "ours": 256}
"""Width of the read-out in all presets but `paper`."""


def point_vae(
    preset: str,
    read_out: ReadOutConfig | RadianceReadOutConfig,
    *,
    basis: int,
    encoder: Settings | None = None,
    decoder: Settings | None = None,
    **settings: Any,
) -> VAEConfig:
    """The autoencoder of any preset but `paper`, with `basis` channels of a basis vector and further settings."""
    hidden, features, width, multipliers, size, latent = {
        "test": (8, 8, 8, (1, 2), 16, 4),
        "demo": (32, 32, 24, (1, 1, 2), 32, 16),
        "small": (64, 32, 64, (1, 2, 4), 64, 16),
        "ours": (128, 32, 128, (1, 2, 4), 64, 16),
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
    """Latent diffusion of any preset but `paper`."""
    width, multipliers, blocks, steps = {
        "test": (16, (1, 2), 1, 4),
        "demo": (96, (1, 2), 1, 50),
        "small": (128, (1, 2, 4), 1, 50),
        "ours": (192, (1, 2, 4), 2, 50),
    }[preset]
    return diffusion(width=width, multipliers=multipliers, blocks=blocks, steps=steps)


def paper_plane_diffusion() -> DiffusionConfig:
    """The paper's latent diffusion on three planes of 16 x 16."""
    return paper_diffusion(UNetConfig(width=256, multipliers=(1, 2, 4, 6)), sampling_steps=200)
