"""Recipes of images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ddmi.experiment import AdversarialConfig, Experiment, VAEConfig
from ddmi.networks import DecoderConfig, EncoderConfig, ReadOutConfig, UNetConfig
from ddmi.recipes.latents import diffusion
from ddmi.recipes.paper import (
    Epochs,
    paper_autoencoder,
    paper_denoiser,
    paper_diffusion,
    paper_gan,
    paper_vae,
    paper_weights,
    spectral,
)
from ddmi.recipes.recipe import ALL, Recipe
from ddmi.recipes.schedule import training, two_steps
from ddmi_diffusion import TrainerConfig
from ddmi_modalities.image import ImageModality
from ddmi_modalities.image.terms import EfficientNetPerceptualConfig, LPIPSConfig, PatchAdversaryConfig

Settings = dict[str, Any]


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


@dataclass(frozen=True, kw_only=True)
class ImageData:
    """What a recipe knows of its data."""

    summary: str
    pixels: int = 512
    """Largest size to compare at: no larger than the stored images."""
    settings: Mapping[str, Any] = field(default_factory=lambda: {"source": "", "flip": True})
    """Of the modality."""
    presets: tuple[str, ...] = ALL
    paper: PaperImages = field(default_factory=PaperImages)


def _folder(**settings: Any) -> Settings:
    return {"source": "", "flip": True, **settings}


_WITHOUT_PAPER = tuple(preset for preset in ALL if preset != "paper")  # nobody says how the paper trains on them

IMAGES = {
    "openmoji": ImageData(
        summary="OpenMoji drawings (embedded; CC BY-SA 4.0), true at every resolution",
        settings={"source": "openmoji"},
        presets=tuple(preset for preset in ALL if preset != "ours"),
    ),
    "images": ImageData(summary="a folder of your images (--data PATH)"),
    "afhqv2-cat": ImageData(summary="cats of AFHQ v2 (--data PATH)", settings=_folder(classes=("cat",))),
    "afhqv2-dog": ImageData(
        summary="dogs of AFHQ v2 (--data PATH)", settings=_folder(classes=("dog",)), paper=PaperImages(items=4678)
    ),
    "celeba-hq": ImageData(
        summary="CelebA-HQ, 27,000 faces and 3,000 held out (--data PATH)",
        settings=_folder(held_out=3000),
        paper=PaperImages(
            items=27_000, blocks=3, batch=10, gan_epochs=200, gan_schedule="cosine", gan_kl=0.1,
            denoiser=UNetConfig(width=256, multipliers=(1, 2, 4, 8)), denoiser_batch=5,
        ),
    ),
    "cifar10": ImageData(summary="CIFAR-10, binary version (--data PATH)", pixels=32, presets=_WITHOUT_PAPER),
    "lsun-churches": ImageData(
        summary="LSUN churches, exported to a folder (--data PATH)", pixels=256, presets=_WITHOUT_PAPER
    ),
}  # fmt: skip

_SIZES = {"test": 16, "demo": 64, "small": 128, "ours": 256}
_POINTS = {"test": 64, "demo": 1024, "small": 4096}
_VAES: dict[str, Settings] = {
    "test": dict(width=8, multipliers=(1, 2), latent=4, basis=4, read_out=16, decoder_width=4,
                 decoder_multipliers=(1, 2, 4)),
    "demo": dict(width=48, multipliers=(1, 1, 2), latent=16, basis=16, read_out=64, decoder_width=24,
                 decoder_multipliers=(1, 2, 2, 4)),
    "small": dict(width=64, multipliers=(1, 2, 4), latent=16, basis=32, read_out=128, decoder_width=64,
                  decoder_multipliers=(1, 2, 4, 4)),
    "ours": dict(width=128, multipliers=(1, 2, 4), latent=16, basis=64, read_out=256, decoder_width=128,
                 decoder_multipliers=(1, 2, 4, 4), perceptual=EfficientNetPerceptualConfig()),
}  # fmt: skip
_DENOISERS: dict[str, Settings] = {
    "test": dict(width=16, multipliers=(1, 2), steps=4),
    "demo": dict(width=96, multipliers=(1, 2), steps=50),
    "small": dict(width=128, multipliers=(1, 2, 4), blocks=2, steps=50),
    "ours": dict(width=192, multipliers=(1, 2, 4), blocks=3, steps=50, cache_views=2),
}


def _stages(preset: str) -> tuple[TrainerConfig, TrainerConfig]:
    """How both stages are trained.  Small batches in minutes: the number of steps counts more than each one's noise."""
    if preset == "test":
        return two_steps(), two_steps()
    return {
        "demo": (
            training(steps=1400, batch_size=8, learning_rate=2e-3),
            training(steps=3000, batch_size=32, learning_rate=1e-3),
        ),
        "small": (
            training(steps=60_000, batch_size=32, learning_rate=1e-3),
            training(steps=100_000, batch_size=128, learning_rate=3e-4),
        ),
        "ours": (
            training(steps=200_000, batch_size=32, learning_rate=5e-4),
            training(steps=400_000, batch_size=128, learning_rate=2e-4),
        ),
    }[preset]


def image_experiment(name: str, preset: str) -> Experiment:
    """The experiment of one of `IMAGES`."""
    data = IMAGES[name]
    if preset == "paper":
        return _paper(name, data)
    size = min(_SIZES[preset], data.pixels)
    factors = (1, 1.5, 2) if preset == "ours" else (1, 2, 4)
    sizes = tuple(int(factor * size) for factor in factors if factor * size <= data.pixels)
    first, second = _stages(preset)
    windows = preset == "ours"
    return Experiment(
        recipe=name,
        preset=preset,
        modality=ImageModality(
            size=size,
            target_sizes=sizes,
            target_weights=(0.4, 0.3, 0.3)[: len(sizes)],
            crop=size if windows else ImageModality.crop,
            points=0 if windows else _POINTS[preset],
            # At random pixels the squared error learns rare colours; the absolute one, a median, paints them in the
            # common ones for long.  Where a perceptual term looks at windows, the absolute one is sharper.
            likelihood="laplace" if windows else "gaussian",
            **data.settings,
        ),
        vae=_vae(size, patch=1 if size < 64 else 2, **_VAES[preset]),
        vae_training=first,
        diffusion=diffusion(**_DENOISERS[preset]),
        diffusion_training=second,
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
    **settings: Any,
) -> VAEConfig:
    """Encoder and decoder meet at one latent; the decoder's finest plane may be larger than what the encoder sees."""
    shared: Settings = dict(blocks=1, shortcuts=True, groups=8)
    return VAEConfig(
        encoder=EncoderConfig(patch=patch, width=width, multipliers=multipliers, **shared),
        decoder=DecoderConfig(
            channels=basis, scales=3, width=decoder_width, multipliers=decoder_multipliers, **shared
        ),
        read_out=ReadOutConfig(width=read_out, native=native, layers=2),
        latent_channels=latent,
        kl_weight=1e-5,
        kl_start=1e-5,
        **settings,
    )  # fmt: skip


def _paper(name: str, data: ImageData) -> Experiment:
    """The paper's architecture and schedule for images of 256 x 256, on this recipe's data.

    The discriminator is ours: its term is weighted adaptively, and no features are matched.
    """
    pixels = 256 * 256
    paper = data.paper
    gan, discriminator = paper_gan(
        Epochs(items=paper.items, batch=1, count=paper.gan_epochs), 5e-5, schedule=paper.gan_schedule
    )
    return Experiment(
        recipe=name,
        preset="paper",
        modality=ImageModality(
            size=256, target_sizes=(256, 384, 512), target_weights=(0.3, 0.3, 0.4), crop=256, **data.settings
        ),
        vae=paper_vae(
            "image",
            dict(resolution=256, in_channels=3, ch=128, num_res_blocks=paper.blocks, hdbf_resolutions=[128, 64]),
            dict(in_ch=2),
            perceptual=LPIPSConfig(weight=1 / pixels),
            **paper_weights(0.5, pixels),
        ),
        vae_training=paper_autoencoder(Epochs(items=paper.items, batch=paper.batch, count=200)),
        gan=AdversarialConfig(
            adversary=PatchAdversaryConfig(augment=False),
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


def image_recipes() -> dict[str, Recipe]:
    """All of `IMAGES`."""
    return {
        name: Recipe(image_experiment, data.summary, data.presets, needs_data=not data.settings["source"])
        for name, data in IMAGES.items()
    }
