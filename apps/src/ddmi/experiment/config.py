"""`Experiment`: everything that defines a run, both stages, as typed values; each part builds its own modules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

from tyro.conf import Fixed

from ddmi_diffusion import DenoiserConfig, LatentDiffusion, NoiseConfig, OptimizerConfig, TrainerConfig, UNetConfig
from ddmi_diffusion.latent_space import Packing, PlaneShape
from ddmi_diffusion.schedulers import SamplerName
from ddmi_modalities.modality import Modality
from ddmi_modalities.text import TextEncoderConfig
from ddmi_vae import AutoencoderConfig, Losses


@dataclass(frozen=True, kw_only=True)
class DiffusionConfig:
    """Latent diffusion (eq. 10): noise, denoiser, latent space and default sampling."""

    noise: NoiseConfig = field(default_factory=NoiseConfig)
    """Noise process and what is predicted."""
    denoiser: DenoiserConfig = field(default_factory=UNetConfig)
    """The network."""
    text: TextEncoderConfig | None = None
    """Generate from sentences: what encodes them; None: unconditional."""
    prompt_dropout: float = 0.1
    """Part of the training items that are given the empty prompt instead, for classifier-free guidance."""
    mixed: float | None = None
    """Initial logit of the mixed prediction; None: off."""
    min_snr_gamma: float | None = None
    """Gamma of the min-SNR loss weight; None: off."""
    packing: Packing = "grid"
    """How planes become one tensor."""
    whiten: bool = True
    """Latents to mean 0 and standard deviation 1 per plane and channel."""
    cache: bool = True
    """Train on cached latent moments; False encodes every batch."""
    cache_views: int = 1
    """Augmented views of an item in the cache."""
    cached_items: int | None = None
    """Training items in the cache, spread evenly; None: all.  Of endless data, stage 1 may see more than that."""
    sampler: SamplerName = "ddim"
    """Default sampler."""
    num_steps: int = 50
    """Default number of its steps."""
    guidance_scale: float = 3.0
    """Default scale of guidance, away from the empty prompt or from the guide; 1: none."""
    guide_after: float | None = None
    """Part of the training after which the averaged network is kept as the guide of samples (autoguidance; Karras et
    al. 2024), without text; None: no guide."""

    def __post_init__(self) -> None:
        if self.cached_items is not None and (self.cached_items < 1 or not self.cache):
            raise ValueError(
                f"DiffusionConfig: cached_items {self.cached_items} counts from 1 and needs cache=True; None: all"
            )
        if self.guide_after is None:
            return
        if self.text is not None:
            raise ValueError("DiffusionConfig: guide_after is for recipes without text, which have the empty prompt")
        if not 0 < self.guide_after < 1:
            raise ValueError(
                f"DiffusionConfig: guide_after is a part of the training, in (0, 1), got {self.guide_after}"
            )

    @property
    def of_mean_flow(self) -> DiffusionConfig:
        """The same whose denoiser takes spans of time.  ValueError where it cannot."""
        return replace(self, denoiser=self.denoiser.of_mean_flow())

    def build(self, plane_shapes: Sequence[PlaneShape], shape: tuple[int, ...]) -> LatentDiffusion:
        denoiser = self.denoiser.build(plane_shapes, self.packing, self.text.width if self.text else None)
        return LatentDiffusion(denoiser, self.noise, shape, mixed=self.mixed, min_snr_gamma=self.min_snr_gamma)


@dataclass(frozen=True, kw_only=True)
class GANTraining:
    """The optional stage `vae-gan`: stage 1 goes on from the first run's weights, against `losses.discriminator`."""

    training: TrainerConfig = field(default_factory=lambda: TrainerConfig(steps=10_000, batch_size=32))
    """Of the autoencoder in this stage."""
    discriminator: OptimizerConfig = field(default_factory=OptimizerConfig)
    """Of the discriminator."""
    kl_weight: float | None = None
    """lambda_z of this stage; None: that with which stage 1 ended."""
    spectral_weight: float | None = None
    """Weight of the largest singular values in this stage; None: that with which stage 1 ended."""


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A run from data to samples."""

    recipe: Fixed[str] = ""
    """The recipe that made it."""
    preset: Fixed[str] = ""
    """The preset of the recipe."""
    init: str | None = None
    """A run or model that both stages start from, for fine-tuning: its weights are taken wherever they fit."""
    origin: Fixed[str] = ""
    """What that model is and what it was made of."""
    freeze_encoder: bool = False
    """Stage 1 trains what follows the latent only, so that latents stay those of `init`."""
    modality: Modality
    """The kind of signal and its data."""
    vae: AutoencoderConfig
    """Architecture of stage 1."""
    losses: Losses
    """What stage 1 minimises (eq. 9)."""
    vae_training: TrainerConfig
    """How stage 1 is trained."""
    gan: GANTraining = field(default_factory=GANTraining)
    """How stage 1 is continued, where there is a discriminator."""
    diffusion: DiffusionConfig
    """Stage 2."""
    diffusion_training: TrainerConfig
    """How stage 2 is trained."""
    mean_flow_training: TrainerConfig = field(
        default_factory=lambda: TrainerConfig(steps=20_000, batch_size=64, learning_rate=2e-4)
    )
    """How the optional stage `mean-flow` is trained: stage 2 of flow goes on to sample in few steps."""

    def __post_init__(self) -> None:
        for part in ("vae", "losses", "diffusion"):
            _check_counts(getattr(self, part), part)
        if self.freeze_encoder and self.init is None:
            raise ValueError("freeze_encoder keeps an encoder that was trained; name the model that has it with --init")

    @property
    def attribution(self) -> str | None:
        """Whose data a model of it is made of, see `Modality.attribution`."""
        return "  ".join(filter(None, (self.modality.attribution, self.origin))) or None


LARGEST, LONGEST = 2**16, 1000
"""Widths, heads, steps of noise and the like of a network, and its blocks and layers."""
REPEATED = ("blocks", "layers", "depth", "pooling_depth")


def _check_counts(value: Any, where: str) -> None:
    """ValueError for a network that no machine builds: a slip of a finger would keep it busy for hours."""
    if is_dataclass(value):
        for one in fields(value):
            _check_counts(getattr(value, one.name), f"{where}.{one.name}")
    elif isinstance(value, tuple | list):
        for one in value:
            _check_counts(one, where)
    elif isinstance(value, int) and not isinstance(value, bool):
        most = LONGEST if where.rpartition(".")[2] in REPEATED else LARGEST
        counted = where.endswith("noise.steps") or not where.endswith(("items", "start", "ramp", "steps"))
        if counted and not 0 <= value <= most:
            raise ValueError(f"{where} is {value}, and networks have 0 to {most} of such; give as many")
