"""Recipes of images."""

from __future__ import annotations

from ddmi.experiment import AdversarialConfig, Experiment, VAEConfig
from ddmi.networks import DecoderConfig, EncoderConfig, ReadOutConfig
from ddmi.recipes.latents import diffusion, paper_diffusion
from ddmi.recipes.schedule import paper_autoencoder, paper_denoiser, training, two_steps
from ddmi_diffusion import OptimizerConfig
from ddmi_modalities.image import ImageModality
from ddmi_modalities.image.terms import LPIPSConfig, PatchAdversaryConfig


def openmoji(preset: str) -> Experiment:
    """OpenMoji drawings, rasterised at any size: the embedded image data set."""
    return _images("openmoji", preset, source="openmoji")


def image_folder(preset: str) -> Experiment:
    """Images of a folder, mirrored at random; `--data` names the folder."""
    return _images("images", preset, source="", flip=True)


def _images(name: str, preset: str, *, source: str, flip: bool = False) -> Experiment:
    if preset == "paper":
        return _paper_images(name, source, flip)
    size = {"test": 16, "demo": 64, "small": 128}[preset]
    modality = ImageModality(
        source=source,
        size=size,
        target_sizes=(size, 2 * size, 4 * size),
        target_weights=(0.4, 0.3, 0.3),
        points={"test": 64, "demo": 1024, "small": 4096}[preset],
        # The squared error learns rare colours; the absolute one, a median, paints them in the common ones for long.
        likelihood="gaussian",
        flip=flip,
    )
    if preset == "test":
        return Experiment(
            recipe=name,
            preset=preset,
            modality=modality,
            vae=_vae(
                size,
                patch=1,
                width=8,
                multipliers=(1, 2),
                latent=4,
                basis=4,
                read_out=16,
                decoder_width=4,
                decoder_multipliers=(1, 2, 4),
            ),
            vae_training=two_steps(),
            diffusion=diffusion(width=16, multipliers=(1, 2), steps=4),
            diffusion_training=two_steps(),
        )
    if preset == "demo":
        # Small batches: in minutes, the number of steps counts more than the noise of each.
        return Experiment(
            recipe=name,
            preset=preset,
            modality=modality,
            vae=_vae(
                size,
                patch=2,
                width=48,
                multipliers=(1, 1, 2),
                latent=16,
                basis=16,
                read_out=64,
                decoder_width=24,
                decoder_multipliers=(1, 2, 2, 4),
            ),
            vae_training=training(steps=1400, batch_size=8, learning_rate=2e-3),
            diffusion=diffusion(width=96, multipliers=(1, 2), steps=50),
            diffusion_training=training(steps=3000, batch_size=32, learning_rate=1e-3),
        )
    return Experiment(
        recipe=name,
        preset=preset,
        modality=modality,
        vae=_vae(
            size,
            patch=2,
            width=64,
            multipliers=(1, 2, 4),
            latent=16,
            basis=32,
            read_out=128,
            decoder_width=64,
            decoder_multipliers=(1, 2, 4, 4),
        ),
        vae_training=training(steps=60_000, batch_size=32, learning_rate=1e-3),
        diffusion=diffusion(width=128, multipliers=(1, 2, 4), blocks=2, steps=50),
        diffusion_training=training(steps=100_000, batch_size=128, learning_rate=3e-4),
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
    return VAEConfig(
        encoder=EncoderConfig(patch=patch, width=width, multipliers=multipliers, blocks=1, shortcuts=True, groups=8),
        decoder=DecoderConfig(
            channels=basis,
            scales=3,
            width=decoder_width,
            multipliers=decoder_multipliers,
            blocks=1,
            shortcuts=True,
            groups=8,
        ),
        read_out=ReadOutConfig(width=read_out, native=native, layers=2),
        latent_channels=latent,
        kl_weight=1e-5,
        kl_start=1e-5,
    )


def _paper_images(name: str, source: str, flip: bool) -> Experiment:
    """The paper's architecture and schedule for images of 256 x 256 (AFHQv2), on this recipe's data."""
    # Weights of the reference are divided by the 65,536 pixels over which it sums its likelihood.
    pixels = 256 * 256
    return Experiment(
        recipe=name,
        preset="paper",
        modality=ImageModality(
            source=source,
            size=256,
            target_sizes=(256, 384, 512),
            target_weights=(0.3, 0.3, 0.4),
            crop=256,
            flip=flip,
        ),
        vae=VAEConfig(
            read_out=ReadOutConfig(native=256),
            kl_weight=0.5 / pixels,
            kl_start=1e-4 / pixels,
            spectral_weight=0.1 / pixels,
            spectral_start=5.0 / pixels,
            perceptual=LPIPSConfig(),
        ),
        vae_training=paper_autoencoder(steps=50_000, batch_size=20, accumulate=5, warmup=1250),
        gan=AdversarialConfig(
            adversary=PatchAdversaryConfig(),
            training=paper_autoencoder(steps=50_000, batch_size=20, accumulate=5, learning_rate=5e-5, warmup=1250),
            discriminator=OptimizerConfig(learning_rate=5e-5, warmup=1250, betas=(0.9, 0.99)),
        ),
        diffusion=paper_diffusion(cache=False),
        diffusion_training=paper_denoiser(steps=375_000, batch_size=20, accumulate=5, ema_every=10),
    )
