"""`Experiment`: everything that defines a run, both stages, as typed values; each part builds its own modules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ddmi_diffusion import LatentDiffusion, NoiseConfig, OptimizerConfig, PlaneUNet, TrainerConfig
from ddmi_diffusion.latent_space import Packing, PlaneShape
from ddmi_diffusion.schedulers import SamplerName
from ddmi_fields import CoarseToFineReadOut, ConcatReadOut, PlaneLayout, ReadOut
from ddmi_modalities.image import ImageModality
from ddmi_modalities.image.terms import EfficientNetPerceptualConfig, LPIPSConfig, PatchAdversaryConfig
from ddmi_vae import D2CVAE, PlaneDecoder, PlaneEncoder, Ramp


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """Convolutional encoder of planes."""

    in_channels: int = 3
    """Channels of the data."""
    patch: int = 1
    """Cells a side that the first convolution turns into one."""
    width: int = 128
    """Channels of the finest level."""
    multipliers: tuple[int, ...] = (1, 2, 4)
    """Channels of each level as multiples of the width, fine to coarse."""
    blocks: int = 2
    """Residual blocks a level."""
    groups: int = 32
    """Of GroupNorm."""

    def build(self, layout: PlaneLayout, latent_channels: int) -> PlaneEncoder:
        return PlaneEncoder(
            layout, self.in_channels, latent_channels, patch=self.patch, width=self.width,
            multipliers=self.multipliers, blocks=self.blocks, groups=self.groups,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """Convolutional decoder from latent planes to basis fields."""

    channels: int = 64
    """Of a basis vector."""
    scales: int = 3
    """Scales of basis fields: the finest levels of the decoder."""
    width: int = 128
    """Channels of the finest level."""
    multipliers: tuple[int, ...] = (1, 2, 4)
    """As in the encoder, fine to coarse."""
    blocks: int = 3
    """Residual blocks a level."""
    groups: int = 32
    """Of GroupNorm."""

    def build(self, layout: PlaneLayout, latent_channels: int) -> PlaneDecoder:
        return PlaneDecoder(
            layout, latent_channels, self.channels, scales=self.scales, width=self.width,
            multipliers=self.multipliers, blocks=self.blocks, groups=self.groups,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ReadOutConfig:
    """The MLP that reads values out of basis fields."""

    kind: Literal["coarse-to-fine", "concat"] = "coarse-to-fine"
    """CFC, or all scales at the input (the ablation)."""
    out_channels: int = 3
    """Channels of a value."""
    width: int = 256
    """Of the hidden layers."""
    fusion: Literal["concat", "sum"] = "concat"
    """How a scale joins the hidden state."""
    native: int | None = None
    """Rows of the grid at which the scale condition is 1; None: no condition."""
    layers: int = 3
    """Modulated layers a block (scale-conditioned read-outs)."""

    def build(self, channels: Sequence[int]) -> ReadOut:
        if self.kind == "concat":
            return ConcatReadOut(channels, self.out_channels, width=self.width)
        return CoarseToFineReadOut(
            channels, self.out_channels, width=self.width, fusion=self.fusion, native=self.native, layers=self.layers
        )


@dataclass(frozen=True, kw_only=True)
class VAEConfig:
    """The D2C-VAE and the weights of its objective (eq. 9)."""

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    """Data to moments."""
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    """Latent planes to basis fields."""
    read_out: ReadOutConfig = field(default_factory=ReadOutConfig)
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
    """Its weight at the first step."""
    perceptual: EfficientNetPerceptualConfig | LPIPSConfig | None = None
    """Perceptual term."""

    def build(self, layout: PlaneLayout) -> D2CVAE:
        decoder = self.decoder.build(layout, self.latent_channels)
        read_out = self.read_out.build([self.decoder.channels] * self.decoder.scales)
        return D2CVAE(self.encoder.build(layout, self.latent_channels), decoder, read_out)

    def kl_schedule(self, steps: int) -> Ramp:
        return Ramp(start=self.kl_start, stop=self.kl_weight, steps=int(self.kl_ramp * steps))

    def spectral_schedule(self, steps: int) -> Callable[[int], float] | None:
        if not self.spectral_weight:
            return None
        return Ramp(start=self.spectral_start, stop=self.spectral_weight, steps=int(self.kl_ramp * steps))


@dataclass(frozen=True, kw_only=True)
class DenoiserConfig:
    """The U-Net over latent planes."""

    width: int = 224
    """Channels of the finest level."""
    multipliers: tuple[int, ...] = (1, 2, 4, 6)
    """Channels of each level as multiples of the width."""
    blocks: int = 2
    """Residual blocks a level."""
    attention_factors: tuple[int, ...] = (2, 4, 8)
    """Attention at the levels that are down-sampled by these factors."""
    head_channels: int = 32
    """Of an attention head."""
    groups: int = 32
    """Of GroupNorm."""
    dropout: float = 0.0
    """In the residual blocks."""
    scale_shift: bool = False
    """The time scales and shifts the second norm of a block."""

    def build(self, plane_shapes: Sequence[PlaneShape], packing: Packing) -> PlaneUNet:
        return PlaneUNet(
            plane_shapes, packing, width=self.width, multipliers=self.multipliers, blocks=self.blocks,
            attention_factors=self.attention_factors, head_channels=self.head_channels, groups=self.groups,
            dropout=self.dropout, scale_shift=self.scale_shift,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class DiffusionConfig:
    """Latent diffusion (eq. 10): noise, denoiser, latent space and default sampling."""

    noise: NoiseConfig = field(default_factory=NoiseConfig)
    """Noise process and what is predicted."""
    denoiser: DenoiserConfig = field(default_factory=DenoiserConfig)
    """The network."""
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
    sampler: SamplerName = "ddim"
    """Default sampler."""
    sampling_steps: int = 50
    """Default number of its steps."""

    def build(self, plane_shapes: Sequence[PlaneShape], shape: tuple[int, ...]) -> LatentDiffusion:
        denoiser = self.denoiser.build(plane_shapes, self.packing)
        return LatentDiffusion(denoiser, self.noise, shape, mixed=self.mixed, min_snr=self.min_snr)


@dataclass(frozen=True, kw_only=True)
class AdversarialConfig:
    """The optional stage `vae-gan`: stage 1 goes on from the first run's weights, against a discriminator."""

    adversary: PatchAdversaryConfig = field(default_factory=PatchAdversaryConfig)
    """The discriminator and its loss."""
    training: TrainerConfig = field(default_factory=lambda: TrainerConfig(steps=10_000, batch_size=32))
    """Of the autoencoder in this stage."""
    discriminator: OptimizerConfig = field(default_factory=OptimizerConfig)
    """Of the discriminator."""


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A run from data to samples."""

    recipe: str
    """The recipe that made it."""
    preset: str
    """The preset of the recipe."""
    modality: ImageModality
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
