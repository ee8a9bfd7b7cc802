"""What recipes share in all presets but `paper`: how stages are trained, and networks of three equal planes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ddmi.experiment.config import DiffusionConfig
from ddmi_diffusion import NoiseConfig, TrainerConfig, UNetConfig
from ddmi_diffusion.latent_space import Packing
from ddmi_fields import ReadOutConfig
from ddmi_modalities.networks.point_encoder import PointEncoderConfig
from ddmi_modalities.text import TextEncoderConfig
from ddmi_vae import PlaneDecoderConfig, PlaneEncoderConfig, VAEConfig

Settings = dict[str, Any]

READ_OUT = {"test": 16, "demo": 64, "small": 128, "recommended": 256}
"""Width of the read-out of points, by size."""


def size_of(preset: str) -> str:
    """The preset whose networks it has: `evening` trains those of `demo`, for an hour."""
    return "demo" if preset == "evening" else preset


FLOW = NoiseConfig(prediction="flow", times="logit-normal", shift=None)


def training(*, steps: int, batch_size: int, learning_rate: float, **more: Any) -> TrainerConfig:
    """A cosine over all steps, and an average of the weights over a part of the last of them.

    `more` is of `TrainerConfig`.
    """
    settings: Settings = dict(
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        warmup=min(200, steps // 10),
        betas=(0.9, 0.99),
        # over 200 steps of a short run, a twelfth of one of 5,000 to 50,000, 4,000 of a longer one
        ema_decay=0.98 if steps <= 5000 else min(0.999, 1 - 1 / (0.02 * steps)),
        ema_every=4,
        save_every=max(250, steps // 20),
        preview_every=max(500, steps // 20),
        validate_every=max(500, steps // 20),
    )
    return TrainerConfig(**{**settings, **more})


def two_steps() -> TrainerConfig:
    """Preset test: that everything runs."""
    return TrainerConfig(steps=2, batch_size=4, learning_rate=1e-3, warmup=1, precision="fp32")


def mean_flow_training(preset: str) -> TrainerConfig:
    """Of stage `mean-flow`; a step takes about three of stage 2."""
    if preset == "test":
        return two_steps()
    steps, batch_size, rate = {
        "demo": (1000, 32, 5e-4),
        "evening": (4000, 32, 5e-4),
        "small": (20_000, 128, 2e-4),
        "recommended": (50_000, 256, 1e-4),
    }[preset]
    return training(steps=steps, batch_size=batch_size, learning_rate=rate)


def diffusion(
    *,
    width: int,
    multipliers: tuple[int, ...],
    steps: int,
    blocks: int = 1,
    packing: Packing = "grid",
    **more: Any,
) -> DiffusionConfig:
    """A U-Net that attends at every level; `more` is of `DiffusionConfig`."""
    return DiffusionConfig(
        noise=FLOW,
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
        sampler="dpm-solver++",  # 20 steps are as good as 50 of Euler
        num_steps=steps,
        **more,
    )


def from_text(latents: DiffusionConfig, preset: str) -> DiffusionConfig:
    """The same from captions, by a tower that is trained with the denoiser."""
    tower = TextEncoderConfig() if preset != "test" else TextEncoderConfig(width=16, layers=1, heads=2)
    # guidance of text is away from the empty prompt
    return replace(latents, text=tower, cache=True, guide_after=None)


def point_vae(
    size: str,
    read_out: ReadOutConfig,
    *,
    basis: int,
    encoder: Settings | None = None,
    decoder: Settings | None = None,
) -> VAEConfig:
    """Points in, three equal planes, `basis` channels of a basis vector."""
    hidden, features, width, multipliers, sides, latent = {
        "test": (8, 8, 8, (1, 2), 16, 4),
        "demo": (32, 32, 24, (1, 1, 2), 32, 16),
        "small": (64, 32, 64, (1, 2, 4), 64, 16),
        "recommended": (128, 32, 128, (1, 2, 4), 64, 16),
    }[size]
    planes: Settings = dict(width=width, multipliers=multipliers, blocks=1, mixing="tokens", shortcuts=True, groups=8)
    of_features = PlaneEncoderConfig(in_channels=features, **planes)
    return VAEConfig(
        encoder=PointEncoderConfig(hidden=hidden, blocks=4, size=sides, planes=of_features, **(encoder or {})),
        decoder=PlaneDecoderConfig(channels=basis, scales=len(multipliers), **planes, **(decoder or {})),
        read_out=read_out,
        latent_channels=latent,
    )


def guide_after(preset: str) -> float | None:
    """Part of stage 2 after which its state is kept as the guide: a longer training has a poor enough one sooner."""
    return {"test": None, "demo": 0.3}.get(preset, 0.1)


def plane_diffusion(size: str, **more: Any) -> DiffusionConfig:
    """Latent diffusion on three equal planes."""
    width, multipliers, blocks, steps = {
        "test": (16, (1, 2), 1, 4),
        "demo": (96, (1, 2), 1, 20),
        "small": (128, (1, 2, 4), 1, 20),
        "recommended": (192, (1, 2, 4), 2, 20),
    }[size]
    return diffusion(width=width, multipliers=multipliers, blocks=blocks, steps=steps, **more)
