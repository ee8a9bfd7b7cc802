"""Latent diffusion as all recipes have it, but for the preset `paper`."""

from __future__ import annotations

from typing import Any

from ddmi.experiment import DiffusionConfig
from ddmi.networks import UNetConfig
from ddmi_diffusion import NoiseConfig
from ddmi_diffusion.latent_space import Packing


def diffusion(
    *,
    width: int,
    multipliers: tuple[int, ...],
    steps: int,
    blocks: int = 1,
    packing: Packing = "grid",
    **more: Any,
) -> DiffusionConfig:
    """v-prediction by a U-Net that attends at every level; `more` is of `DiffusionConfig`."""
    return DiffusionConfig(
        noise=NoiseConfig(prediction="v"),
        denoiser=UNetConfig(
            width=width,
            multipliers=multipliers,
            blocks=blocks,
            attention_factors=(1, 2, 4),
            head_channels=min(32, width),
            groups=16,
            scale_shift=True,
            # planes side by side go through the same weights; stacked ones are different channels
            positions=packing == "row",
        ),
        packing=packing,
        sampling_steps=steps,
        **more,
    )
