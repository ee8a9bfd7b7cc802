"""Recipes of images."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from ddmi.experiment.config import Experiment, GANTraining
from ddmi.recipes.paper import (
    Epochs,
    paper_autoencoder,
    paper_denoiser,
    paper_diffusion,
    paper_gan,
    paper_losses,
    paper_vae,
    spectral,
)
from ddmi.recipes.presets import (
    Settings,
    diffusion,
    from_text,
    guide_after,
    mean_flow_training,
    size_of,
    training,
    two_steps,
)
from ddmi_diffusion import TrainerConfig, UNetConfig
from ddmi_fields import CoarseToFineReadOutConfig
from ddmi_modalities.image import ImageModality
from ddmi_modalities.losses.configs import (
    EfficientNetPerceptualConfig,
    LPIPSConfig,
    PatchDiscriminatorConfig,
    PictureLosses,
)
from ddmi_vae import PlaneDecoderConfig, PlaneEncoderConfig, VAEConfig


@dataclass(frozen=True, kw_only=True)
class PaperImages:
    """In what the preset `paper` differs between data sets; the defaults are those of AFHQ."""

    items: int = 5065
    """Training images."""
    blocks: int = 2
    """Residual blocks a level of the encoder."""
    batch: int = 4
    """Images of a micro-batch in stage 1."""
    gan_epochs: int = 1300
    """Epochs of stage vae-gan: those of both runs, less the first run's 200."""
    gan_schedule: Literal["cosine", "constant"] = "constant"
    """Of its learning rate."""
    gan_kl: float = 0.5
    """Its weight of the divergence."""
    denoiser: UNetConfig = field(default_factory=lambda: UNetConfig(width=224, multipliers=(1, 2, 4, 6)))
    denoiser_batch: int = 4
    """Images of a micro-batch in stage 2."""


CELEBA_HQ = PaperImages(
    items=27_000, blocks=3, batch=10, gan_epochs=200, gan_schedule="cosine", gan_kl=0.1,
    denoiser=UNetConfig(width=256, multipliers=(1, 2, 4, 8)), denoiser_batch=5,
)  # fmt: skip

_SIZES = {"test": 16, "demo": 64, "small": 128, "recommended": 256}
_NUM_QUERIES = {"test": 64, "demo": 1024, "small": 4096}
_VAES: dict[str, Settings] = {
    "test": dict(width=8, multipliers=(1, 2), latent=4, basis=4, read_out=16, decoder_width=4,
                 decoder_multipliers=(1, 2, 4)),
    "demo": dict(width=48, multipliers=(1, 1, 2), latent=16, basis=16, read_out=64, decoder_width=24,
                 decoder_multipliers=(1, 2, 2, 4)),
    "small": dict(width=64, multipliers=(1, 2, 4), latent=16, basis=32, read_out=128, decoder_width=64,
                  decoder_multipliers=(1, 2, 4, 4)),
    "recommended": dict(width=128, multipliers=(1, 2, 4), latent=16, basis=64, read_out=256, decoder_width=128,
                 decoder_multipliers=(1, 2, 4, 4)),
}  # fmt: skip
_DENOISERS: dict[str, Settings] = {
    "test": dict(width=16, multipliers=(1, 2), steps=4, cached_items=64),
    "demo": dict(width=96, multipliers=(1, 2), steps=20),
    "small": dict(width=128, multipliers=(1, 2, 4), blocks=2, steps=20),
    "recommended": dict(width=192, multipliers=(1, 2, 4), blocks=3, steps=20, cache_views=2),
}


def _stages(preset: str) -> tuple[TrainerConfig, TrainerConfig]:
    """How both stages are trained.  Small batches in minutes: the number of steps counts more than each one's noise."""
    if preset == "test":
        return two_steps(), two_steps()
    return {
        "demo": (
            training(steps=1400, batch_size=8, learning_rate=4e-3, optimizer="muon"),
            training(steps=3000, batch_size=32, learning_rate=1e-3),
        ),
        "evening": (
            training(steps=5000, batch_size=8, learning_rate=4e-3, optimizer="muon"),
            training(steps=15_000, batch_size=32, learning_rate=1e-3),
        ),
        "small": (
            training(steps=60_000, batch_size=32, learning_rate=1e-3, optimizer="muon"),
            training(steps=100_000, batch_size=128, learning_rate=3e-4),
        ),
        "recommended": (
            training(steps=200_000, batch_size=32, learning_rate=1e-3, optimizer="muon"),
            training(steps=400_000, batch_size=128, learning_rate=2e-4),
        ),
    }[preset]


def image_experiment(
    preset: str, *, largest: int = 512, text: bool = False, paper: PaperImages | None = None, **data: Any
) -> Experiment:
    """Images of any data set.

    Args:
        preset: One of `PRESETS`.
        largest: Size to compare at; no larger than the stored images.
        text: Generate from captions.
        paper: In what the preset `paper` differs.
        data: Settings of `ImageModality` that say which data.
    """
    if preset == "paper":
        return _paper(paper or PaperImages(), data)
    scale = size_of(preset)
    size = min(_SIZES[scale], largest)
    windows = preset == "recommended"
    factors = (1, 1.5, 2) if windows else (1, 2, 4)
    sizes = tuple(int(factor * size) for factor in factors if factor * size <= largest)
    first, second = _stages(preset)
    latents = diffusion(guide_after=guide_after(preset), guidance_scale=2.0, **_DENOISERS[scale])
    return Experiment(
        modality=ImageModality(
            size=size,
            target_sizes=sizes,
            target_weights=(0.4, 0.3, 0.3)[: len(sizes)],
            crop=size if windows else ImageModality.crop,
            num_queries=0 if windows else _NUM_QUERIES[scale],
            # At random pixels the squared error learns rare colours; the absolute one, a median, paints them in the
            # common ones for long.  Where a perceptual term looks at windows, the absolute one is sharper.
            likelihood="laplace" if windows else "gaussian",
            **data,
        ),
        vae=_vae(size, patch=1 if size < 64 else 2, **_VAES[scale]),
        losses=PictureLosses(
            kl_weight=1e-5, kl_start=1e-5, perceptual=EfficientNetPerceptualConfig() if windows else None
        ),
        vae_training=first,
        diffusion=from_text(latents, preset) if text else latents,
        diffusion_training=second,
        mean_flow_training=mean_flow_training(preset),
    )


def _vae(
    native: int,
    *,
    patch: int,
    width: int,
    multipliers: tuple[int, ...],
    latent: int,
    basis: int,
    read_out: int,
    decoder_width: int,
    decoder_multipliers: tuple[int, ...],
) -> VAEConfig:
    """Encoder and decoder meet at one latent; the decoder's finest plane may be larger than what the encoder sees."""
    shared: Settings = dict(blocks=1, shortcuts=True, groups=8)
    return VAEConfig(
        encoder=PlaneEncoderConfig(patch=patch, width=width, multipliers=multipliers, **shared),
        decoder=PlaneDecoderConfig(
            channels=basis, scales=3, width=decoder_width, multipliers=decoder_multipliers, **shared
        ),
        read_out=CoarseToFineReadOutConfig(width=read_out, native=native, layers=2),
        latent_channels=latent,
    )


def _paper(paper: PaperImages, data: Settings) -> Experiment:
    """The paper's architecture and schedule for images of 256 x 256, on any data.

    The discriminator is ours: its term is weighted adaptively, and no features are matched.
    """
    pixels = 256 * 256
    gan, discriminator = paper_gan(
        Epochs(items=paper.items, batch=1, count=paper.gan_epochs), 5e-5, schedule=paper.gan_schedule
    )
    return Experiment(
        modality=ImageModality(
            size=256, target_sizes=(256, 384, 512), target_weights=(0.3, 0.3, 0.4), crop=256, **data
        ),
        vae=paper_vae(
            "image",
            dict(resolution=256, in_channels=3, ch=128, num_res_blocks=paper.blocks, hdbf_resolutions=[128, 64]),
            dict(in_ch=2),
        ),
        losses=PictureLosses(
            **paper_losses(0.5, pixels),
            perceptual=LPIPSConfig(weight=1 / pixels),
            discriminator=PatchDiscriminatorConfig(augment=False),
        ),
        vae_training=paper_autoencoder(Epochs(items=paper.items, batch=paper.batch, count=200)),
        gan=GANTraining(
            training=gan,
            discriminator=discriminator,
            kl_weight=paper.gan_kl / pixels,
            spectral_weight=spectral(1.0) / pixels,
        ),
        diffusion=paper_diffusion(paper.denoiser),
        diffusion_training=paper_denoiser(
            Epochs(items=paper.items, batch=paper.denoiser_batch, count=1500), ema_every=10, weight_decay=0.0
        ),
    )
