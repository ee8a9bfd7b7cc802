"""Recipes of video."""

from __future__ import annotations

from dataclasses import replace

from ddmi.experiment import AdversarialConfig, Experiment, VAEConfig
from ddmi.networks import DecoderConfig, ReadOutConfig, SpaceTimeEncoderConfig, UNetConfig
from ddmi.recipes.latents import diffusion, paper_diffusion
from ddmi.recipes.schedule import paper_autoencoder, paper_denoiser, training, two_steps
from ddmi_diffusion import OptimizerConfig
from ddmi_modalities.image.terms import LPIPSConfig
from ddmi_modalities.video import VideoModality
from ddmi_modalities.video.terms import ClipAdversaryConfig


def moving_openmoji(preset: str) -> Experiment:
    """OpenMoji drawings on smooth paths, true at any size and time: the embedded video data set."""
    return _videos("moving-openmoji", preset, source="moving-openmoji")


def sky_timelapse(preset: str) -> Experiment:
    """Real clips: SkyTimelapse's folders of frames, or any video files; `--data` names them."""
    return _videos("sky-timelapse", preset, source="")


def _videos(name: str, preset: str, *, source: str) -> Experiment:
    if preset == "paper":
        return _paper_videos(name, source)
    size = {"test": 16, "demo": 32, "small": 64}[preset]
    modality = VideoModality(
        source=source,
        size=size,
        target_sizes=(size, 2 * size),
        target_weights=(0.5, 0.5),
        points={"test": 64, "demo": 1024, "small": 4096}[preset],
        # The squared error learns rare colours; the absolute one, a median, paints them in the common ones for long.
        likelihood="gaussian",
        items={"test": 8, "demo": 4000, "small": 50_000}[preset],
    )
    if preset == "test":
        return Experiment(
            recipe=name,
            preset=preset,
            modality=replace(modality, frames=4),
            vae=_vae(
                width=16, depth=1, patch=4, latent=4, basis=4, decoder_width=8, multipliers=(1, 1, 2), read_out=16
            ),
            vae_training=two_steps(),
            diffusion=diffusion(width=16, multipliers=(1, 2), steps=4, packing="row"),
            diffusion_training=two_steps(),
        )
    if preset == "demo":
        # Patches of 8 pixels and few layers: in minutes, the number of steps counts more than the encoder's depth.
        return Experiment(
            recipe=name,
            preset=preset,
            modality=modality,
            vae=_vae(
                width=128,
                depth=2,
                patch=8,
                latent=32,
                basis=16,
                decoder_width=32,
                multipliers=(1, 1, 2, 2),
                read_out=64,
            ),
            vae_training=training(steps=2000, batch_size=8, learning_rate=4e-3),
            diffusion=diffusion(width=64, multipliers=(1, 2), steps=50, packing="row"),
            diffusion_training=training(steps=1200, batch_size=16, learning_rate=1e-3),
        )
    return Experiment(
        recipe=name,
        preset=preset,
        modality=modality,
        vae=_vae(
            width=192, depth=6, patch=4, latent=16, basis=32, decoder_width=64, multipliers=(1, 2, 2), read_out=128
        ),
        vae_training=training(steps=100_000, batch_size=16, learning_rate=5e-4),
        diffusion=diffusion(width=128, multipliers=(1, 2, 4), blocks=2, steps=50, packing="row"),
        diffusion_training=training(steps=150_000, batch_size=64, learning_rate=3e-4),
    )


def _vae(
    *,
    width: int,
    depth: int,
    patch: int,
    latent: int,
    basis: int,
    decoder_width: int,
    multipliers: tuple[int, ...],
    read_out: int,
) -> VAEConfig:
    return VAEConfig(
        encoder=SpaceTimeEncoderConfig(
            width=width, depth=depth, heads=max(1, width // 48), patch=patch, expansion=2, pooling_depth=1,
            pooling_heads=max(1, width // 48), direct=True,
        ),
        decoder=DecoderConfig(
            channels=basis, scales=3, width=decoder_width, multipliers=multipliers, blocks=1, mixing="tokens",
            scaled_axes="xy", reduction="concat", shortcuts=True, groups=8,
        ),
        read_out=ReadOutConfig(width=read_out),
        latent_channels=latent,
        kl_weight=1e-6,
        kl_start=1e-6,
    )  # fmt: skip


def _paper_videos(name: str, source: str) -> Experiment:
    """The paper's architecture and schedule for SkyTimelapse, 16 frames of 256 x 256, on this recipe's data."""
    # Weights of the reference are divided by the 1,048,576 points over which it sums its likelihood.
    points = 16 * 256 * 256
    return Experiment(
        recipe=name,
        preset="paper",
        modality=VideoModality(
            source=source,
            size=256,
            target_sizes=(256,),
            points=0,
            shown=16,
            crop=256,
            align_corners=True,
        ),
        vae=VAEConfig(
            encoder=SpaceTimeEncoderConfig(),
            decoder=DecoderConfig(
                width=64,
                multipliers=(1, 2, 4, 8),
                blocks=3,
                mixing="tokens",
                mixed_levels=(0, 1, 2, 3),
                scaled_axes="xy",
                reduction="concat",
            ),
            kl_weight=0.1 / points,
            kl_start=1e-4 / points,
            spectral_weight=0.1 / points,
            spectral_start=5.0 / points,
            perceptual=LPIPSConfig(),
        ),
        vae_training=paper_autoencoder(steps=100_000, batch_size=10, accumulate=5),
        gan=AdversarialConfig(
            adversary=ClipAdversaryConfig(),
            training=paper_autoencoder(steps=300_000, batch_size=10, accumulate=5),
            discriminator=OptimizerConfig(learning_rate=1e-4, warmup=2500, betas=(0.5, 0.9)),
        ),
        diffusion=paper_diffusion(
            denoiser=UNetConfig(width=256, multipliers=(1, 2, 4, 6), head_channels=64),
            packing="row",
            cache=False,
            sampling_steps=200,
        ),
        diffusion_training=paper_denoiser(steps=500_000, batch_size=4),
    )
