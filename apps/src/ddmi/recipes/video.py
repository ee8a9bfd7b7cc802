"""Recipes of video."""

from __future__ import annotations

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
from ddmi.recipes.presets import Settings, diffusion, mean_flow_training, size_of, training, two_steps
from ddmi.reference.latent_config import RowUNetConfig
from ddmi_fields import CoarseToFineReadOutConfig
from ddmi_modalities.losses.configs import ClipDiscriminatorConfig, LPIPSConfig, PictureLosses
from ddmi_modalities.video import SpaceTimeEncoderConfig, VideoModality
from ddmi_vae import PlaneDecoderConfig, VAEConfig

CLIPS = 5000
"""Videos of an epoch of SkyTimelapse, about: it depends on how films are cut, and nobody says how the paper does."""


def video_experiment(preset: str, *, source: str) -> Experiment:
    """Videos of any data set, in one of `PRESETS`."""
    if preset == "paper":
        return _paper(source)
    scale = size_of(preset)
    size = {"test": 16, "demo": 32, "small": 64, "recommended": 256}[scale]
    modality = VideoModality(
        source=source,
        frames=4 if preset == "test" else VideoModality.frames,
        size=size,
        target_sizes=(size, 2 * size) if scale != "recommended" else (size,),
        target_weights={"demo": (0.9, 0.1), "recommended": (1.0,)}.get(scale, (0.5, 0.5)),
        num_queries={"test": 64, "demo": 4096, "small": 4096, "recommended": 16_384}[scale],
        # The squared error learns rare colours; the absolute one, a median, paints them in the common ones for long.
        likelihood="gaussian",
        # as many as stage 1 takes, so that no clip comes twice
        items={"test": 8, "demo": 20_000, "evening": 80_000}.get(preset, 50_000),
    )
    vae: Settings = {
        "test": dict(
            width=16, depth=1, patch=4, latent=4, basis=4, decoder_width=8, multipliers=(1, 1, 2), read_out=16
        ),
        # Patches of 8 pixels and one layer: in minutes, the number of steps counts more than the encoder's depth.
        "demo": dict(
            width=96, depth=1, patch=8, latent=32, basis=16, decoder_width=32, multipliers=(1, 1, 2, 2), read_out=64
        ),
        "small": dict(
            width=192, depth=6, patch=4, latent=16, basis=32, decoder_width=64, multipliers=(1, 2, 2), read_out=128
        ),
        "recommended": dict(
            width=384, depth=8, patch=8, latent=16, basis=64, decoder_width=64, multipliers=(1, 2, 4, 4), read_out=256
        ),
    }[scale]
    latents: Settings = {
        "test": dict(width=16, multipliers=(1, 2), steps=4, guide_after=0.5),
        "demo": dict(width=64, multipliers=(1, 2), steps=20, cached_items=6000, guide_after=0.075, guidance_scale=2.0),
        "small": dict(width=128, multipliers=(1, 2, 4), blocks=2, steps=20),
        "recommended": dict(width=192, multipliers=(1, 2, 4), blocks=2, steps=20),
    }[scale]
    first, second = {
        "test": (two_steps(), two_steps()),
        "demo": (
            training(steps=5000, batch_size=4, learning_rate=4e-3, optimizer="muon", preview_every=2500),
            training(steps=2400, batch_size=16, learning_rate=2e-3, optimizer="muon", preview_every=1200),
        ),
        "evening": (
            training(steps=20_000, batch_size=4, learning_rate=4e-3, optimizer="muon", preview_every=5000),
            training(steps=9600, batch_size=16, learning_rate=2e-3, optimizer="muon", preview_every=2400),
        ),
        "small": (
            training(steps=100_000, batch_size=16, learning_rate=1e-3, optimizer="muon"),
            training(steps=150_000, batch_size=64, learning_rate=3e-4),
        ),
        "recommended": (
            training(steps=200_000, batch_size=16, learning_rate=1e-3, optimizer="muon"),
            training(steps=400_000, batch_size=64, learning_rate=2e-4),
        ),
    }[preset]
    return Experiment(
        modality=modality,
        vae=_vae(**vae),
        # 3e-6 costs 0.6 dB at size demo; 1e-7 and 64 channels gain 0.2 dB, and samples are further from the data.
        losses=PictureLosses(kl_weight=1e-6, kl_start=1e-6),
        vae_training=first,
        diffusion=diffusion(packing="row", **latents),
        diffusion_training=second,
        mean_flow_training=mean_flow_training(preset),
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
            pooling_heads=max(1, width // 48), direct=4,
        ),
        decoder=PlaneDecoderConfig(
            channels=basis, scales=3, width=decoder_width, multipliers=multipliers, blocks=1, mixing="tokens",
            scaled_axes="xy", reduction="product", shortcuts=True, groups=8,
        ),
        read_out=CoarseToFineReadOutConfig(width=read_out, coordinates=True),
        latent_channels=latent,
    )  # fmt: skip


def _paper(source: str) -> Experiment:
    """The paper's architecture and schedule for SkyTimelapse, 16 frames of 256 x 256, on any data.

    The discriminators are ours: their terms are weighted adaptively, and no features are matched.
    """
    points = 16 * 256 * 256
    gan, discriminator = paper_gan(Epochs(items=CLIPS, batch=2, count=400), 1e-4)
    return Experiment(
        modality=VideoModality(
            source=source, size=256, target_sizes=(256,), num_queries=0, shown=16, crop=256, align_corners=True
        ),
        vae=paper_vae(
            "video",
            dict(
                timesformer_channels=384, splits=1, patch_size=8, resolution=256, z_channels=64, in_channels=3, ch=64,
                ch_mult=[1, 2, 4, 8], hdbf_resolutions=[128, 64], inter_attn_resolutions=[32, 64, 128, 256],
                attn_type="vanilla-multihead",
            ),
            dict(in_ch=2),
            dict(frames=16),
        ),
        losses=PictureLosses(
            **paper_losses(0.1, points), perceptual=LPIPSConfig(weight=1 / points),
            discriminator=ClipDiscriminatorConfig(augment=False),
        ),
        vae_training=paper_autoencoder(Epochs(items=CLIPS, batch=2, count=200)),
        gan=GANTraining(
            training=gan,
            discriminator=discriminator,
            spectral_weight=spectral(1.0) / points,
        ),
        diffusion=paper_diffusion(
            RowUNetConfig(width=256, multipliers=(1, 2, 4, 6), head_channels=64), packing="row", num_steps=200
        ),
        diffusion_training=paper_denoiser(Epochs(items=CLIPS, batch=2, count=1500, accumulate=1)),
    )  # fmt: skip
