"""What the presets `paper` share: schedules, weights and networks as the reference implementation has them.

Its schedules count epochs and micro-batches, of one process: with N processes its batches are N times as large, here
`accelerate launch` splits the batches that are given.  What differs here: gradients are averaged over micro-batches
where its NeRF sums them, the regulariser leaves out the gains of GroupNorm, rates change every step and not every
epoch, and the average of the weights warms up otherwise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from ddmi.experiment.config import DiffusionConfig
from ddmi.reference.options import Domain
from ddmi.reference.triplane import SECOND_STAGE
from ddmi.reference.vae_config import ReferenceVAEConfig
from ddmi_diffusion import DenoiserConfig, OptimizerConfig, TrainerConfig, UNetConfig

Settings = dict[str, Any]

WARMUP_EPOCHS = 5
WEIGHT_DECAY = 0.01
"""torch's default for AdamW."""
KL_START = 1e-4
_SPECTRAL = (5.0, 0.1)


@dataclass(frozen=True, kw_only=True)
class Epochs:
    """A training that is counted in epochs."""

    items: int
    """Of the training set."""
    batch: int
    """Items of a micro-batch; what is left over of an epoch is dropped."""
    count: int
    """Epochs."""
    accumulate: int = 5
    """Micro-batches of a step."""

    @property
    def steps(self) -> int:
        return self.items // self.batch * self.count // self.accumulate

    @property
    def warmup(self) -> int:
        """Steps of the first epochs, over which the rate of stage 1 rises."""
        return replace(self, count=WARMUP_EPOCHS).steps

    def trainer(self, **settings: Any) -> TrainerConfig:
        return TrainerConfig(
            **{
                "steps": self.steps,
                "batch_size": self.batch * self.accumulate,
                "accumulate": self.accumulate,
                "weight_decay": WEIGHT_DECAY,
                "grad_clip": None,
                **settings,
            }
        )


def paper_autoencoder(epochs: Epochs, learning_rate: float = 1e-4) -> TrainerConfig:
    """Stage 1: a cosine, and no average of the weights."""
    return epochs.trainer(
        learning_rate=learning_rate, warmup=epochs.warmup, floor=1e-6, betas=(0.9, 0.99), ema_decay=0.0
    )


def paper_gan(epochs: Epochs, learning_rate: float, **settings: Any) -> tuple[TrainerConfig, OptimizerConfig]:
    """Stage 1 against a discriminator, from the first run's weights: the networks take turns, here they step together.

    Returns what trains the autoencoder and what trains the discriminator.
    """
    rate: Settings = {"schedule": "constant", "warmup": 0, "learning_rate": learning_rate, **settings}
    generator = epochs.trainer(steps=epochs.steps // 2, betas=(0.9, 0.99), ema_decay=0.0, **rate)
    discriminator = OptimizerConfig(betas=(0.5, 0.9), weight_decay=WEIGHT_DECAY, grad_clip=None, **rate)
    return generator, discriminator


def paper_denoiser(epochs: Epochs, **settings: Any) -> TrainerConfig:
    """Stage 2: a constant rate, and an average of the weights over tens of thousands of steps."""
    return epochs.trainer(
        **{
            "learning_rate": 1e-4,
            "schedule": "constant",
            "warmup": 0,
            "ema_decay": 0.9999,
            "ema_every": 5,
            **settings,
        }
    )


def paper_losses(kl: float, units: int, *, annealed: bool = True) -> Settings:
    """Weights of `Losses` in our units: the published ones, by the `units` over which they sum the likelihood.

    Its spectral weight falls with the weight of the divergence as that rises to `kl`: log-linearly, from 5 at 0 towards
    0.1 at 1.  Without `annealed` it is 0.1.
    """
    return {
        "kl_weight": kl / units,
        "kl_start": KL_START / units,
        "spectral_weight": spectral(kl if annealed else 1.0) / units,
        "spectral_start": spectral(KL_START if annealed else 1.0) / units,
    }


def spectral(kl: float) -> float:
    """Its weight of the spectral regulariser where that of the divergence is `kl`."""
    start, stop = _SPECTRAL
    return math.exp((1 - kl) * math.log(start) + kl * math.log(stop))


def paper_vae(
    domain: Domain, ddconfig: Settings, mlpconfig: Settings, model: Settings | None = None
) -> ReferenceVAEConfig:
    """The autoencoder in the reference implementation's own names."""
    shared = dict(
        double_z=True, z_channels=128, out_ch=64, ch_mult=[1, 2, 4], num_res_blocks=2, attn_resolutions=[], dropout=0.0
    )
    return ReferenceVAEConfig(
        domain=domain,
        model={
            "ddconfig": {**shared, **ddconfig},
            "mlpconfig": {"out_ch": 3, "ch": 256, "latent_dim": 64, **mlpconfig},
            "embed_dim": 64,
            **(model or {}),
        },
        slots=SECOND_STAGE,  # each plane is decoded from its own latent, in both stages
    )


def paper_diffusion(denoiser: DenoiserConfig, **settings: Any) -> DiffusionConfig:
    """The mixed noise prediction of the paper, on latents as they are."""
    return DiffusionConfig(denoiser=denoiser, mixed=-6.0, whiten=False, cache=False, **settings)


def paper_plane_diffusion() -> DiffusionConfig:
    """The paper's latent diffusion on three planes of 16 x 16."""
    return paper_diffusion(UNetConfig(width=256, multipliers=(1, 2, 4, 6)), num_steps=200)
