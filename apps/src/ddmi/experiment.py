"""`Experiment`: everything that defines a run, both stages, as typed values; each part builds its own modules."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ddmi.networks import (
    DecoderConfig,
    DiTConfig,
    EncoderConfig,
    PointEncoderConfig,
    RadianceReadOutConfig,
    ReadOutConfig,
    SpaceTimeEncoderConfig,
    UNetConfig,
)
from ddmi_diffusion import LatentDiffusion, NoiseConfig, OptimizerConfig, TrainerConfig
from ddmi_diffusion.latent_space import Packing, PlaneShape
from ddmi_diffusion.schedulers import SamplerName
from ddmi_fields import PlaneLayout
from ddmi_modalities.image import ImageModality
from ddmi_modalities.image.terms import EfficientNetPerceptualConfig, LPIPSConfig, PatchAdversaryConfig
from ddmi_modalities.nerf import OpacityConfig, RadianceModality
from ddmi_modalities.shape import ShapeModality
from ddmi_modalities.text import TextTowerConfig
from ddmi_modalities.video import VideoModality
from ddmi_modalities.video.terms import ClipAdversaryConfig
from ddmi_vae import D2CVAE, Ramp, Term


@dataclass(frozen=True, kw_only=True)
class VAEConfig:
    """The D2C-VAE and the weights of its objective (eq. 9)."""

    encoder: EncoderConfig | PointEncoderConfig | SpaceTimeEncoderConfig = field(default_factory=EncoderConfig)
    """Data to moments."""
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    """Latent planes to basis fields."""
    read_out: ReadOutConfig | RadianceReadOutConfig = field(default_factory=ReadOutConfig)
    """Embeddings to values."""
    latent_channels: int = 64
    """C of a latent plane."""
    kl_weight: float = 1e-6
    """lambda_z at the end of its ramp."""
    kl_start: float = 0.0
    """lambda_z at the first step."""
    kl_ramp: float = 0.9
    """Part of the training over which lambda_z rises."""
    spectral_weight: float = 0.0
    """Final weight of the sum of largest singular values; 0: none."""
    spectral_start: float = 0.0
    """Its weight at the first step, from which it falls geometrically; 0: the same throughout."""
    perceptual: EfficientNetPerceptualConfig | LPIPSConfig | None = None
    """Perceptual term."""
    opacity: OpacityConfig | None = None
    """Term that holds the opacity of rays to the object's mask, for radiance fields."""

    def terms(self) -> dict[str, Term]:
        """What is added to the objective, by name; a term of weight 0 is left out."""
        chosen = {"perceptual": self.perceptual, "opacity": self.opacity}
        return {name: config.build() for name, config in chosen.items() if config is not None and config.weight}

    def build(self, layout: PlaneLayout) -> D2CVAE:
        decoder = self.decoder.build(layout, self.latent_channels)
        read_out = self.read_out.build(layout, self.decoder.embedding_channels(layout))
        return D2CVAE(self.encoder.build(layout, self.latent_channels), decoder, read_out)

    def kl_schedule(self, steps: int) -> Ramp:
        return Ramp(start=self.kl_start, stop=self.kl_weight, steps=int(self.kl_ramp * steps))

    def spectral_schedule(self, steps: int) -> Callable[[int], float] | None:
        if not self.spectral_weight:
            return None
        start = math.log(self.spectral_start or self.spectral_weight)
        ramp = Ramp(start=start, stop=math.log(self.spectral_weight), steps=int(self.kl_ramp * steps))
        return lambda step: math.exp(ramp(step))


@dataclass(frozen=True, kw_only=True)
class DiffusionConfig:
    """Latent diffusion (eq. 10): noise, denoiser, latent space and default sampling."""

    noise: NoiseConfig = field(default_factory=NoiseConfig)
    """Noise process and what is predicted."""
    denoiser: UNetConfig | DiTConfig = field(default_factory=UNetConfig)
    """The network."""
    text: TextTowerConfig | None = None
    """Generate from sentences: what encodes them; None: unconditional."""
    prompt_dropout: float = 0.1
    """Part of the training items that are given the empty prompt instead, for classifier-free guidance."""
    mixed: float | None = None
    """Initial logit of the mixed prediction; None: off."""
    min_snr: float | None = None
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
    sampling_steps: int = 50
    """Default number of its steps."""
    guidance: float = 3.0
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

    def build(self, plane_shapes: Sequence[PlaneShape], shape: tuple[int, ...]) -> LatentDiffusion:
        denoiser = self.denoiser.build(plane_shapes, self.packing, self.text.width if self.text else None)
        return LatentDiffusion(denoiser, self.noise, shape, mixed=self.mixed, min_snr=self.min_snr)


@dataclass(frozen=True, kw_only=True)
class AdversarialConfig:
    """The optional stage `vae-gan`: stage 1 goes on from the first run's weights, against a discriminator."""

    adversary: PatchAdversaryConfig | ClipAdversaryConfig = field(default_factory=PatchAdversaryConfig)
    """The discriminator and its loss."""
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

    recipe: str
    """The recipe that made it."""
    preset: str
    """The preset of the recipe."""
    modality: ImageModality | ShapeModality | RadianceModality | VideoModality
    """The kind of signal and its data."""
    vae: VAEConfig
    """Stage 1."""
    vae_training: TrainerConfig
    """How stage 1 is trained."""
    diffusion: DiffusionConfig
    """Stage 2."""
    diffusion_training: TrainerConfig
    """How stage 2 is trained."""
    gan: AdversarialConfig | None = None
    """Stage 1 continued against a discriminator."""
