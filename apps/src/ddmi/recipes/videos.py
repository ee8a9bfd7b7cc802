"""Recipes of video."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ddmi.experiment import AdversarialConfig, Experiment, VAEConfig
from ddmi.networks import DecoderConfig, ReadOutConfig, SpaceTimeEncoderConfig
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
from ddmi.reference.latent_config import RowUNetConfig
from ddmi_modalities.image.terms import LPIPSConfig
from ddmi_modalities.video import VideoModality
from ddmi_modalities.video.terms import ClipAdversaryConfig

CLIPS = 5000
"""Videos of an epoch of SkyTimelapse, about: it depends on how films are cut, and nobody says how the paper does."""


@dataclass(frozen=True, kw_only=True)
class VideoData:
    """What a recipe knows of its data."""

    summary: str
    source: str = ""
    presets: tuple[str, ...] = ALL


VIDEOS = {
    "moving-openmoji": VideoData(
        summary="clips of moving OpenMoji drawings (embedded), true at every time",
        source="moving-openmoji",
        presets=tuple(preset for preset in ALL if preset != "ours"),
    ),
    "sky-timelapse": VideoData(summary="your videos: files, or folders of frames (--data PATH)"),
}


def video_experiment(name: str, preset: str) -> Experiment:
    """The experiment of one of `VIDEOS`."""
    source = VIDEOS[name].source
    if preset == "paper":
        return _paper(name, source)
    size = {"test": 16, "demo": 32, "small": 64, "ours": 256}[preset]
    modality = VideoModality(
        source=source,
        size=size,
        target_sizes=(size, 2 * size) if preset != "ours" else (size,),
        target_weights={"demo": (0.9, 0.1), "ours": (1.0,)}.get(preset, (0.5, 0.5)),
        points={"test": 64, "demo": 4096, "small": 4096, "ours": 16_384}[preset],
        # The squared error learns rare colours; the absolute one, a median, paints them in the common ones for long.
        likelihood="gaussian",
        # demo: as many as its stage 1 takes, so that no clip comes twice
        items={"test": 8, "demo": 20_000}.get(preset, 50_000),
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
            diffusion=diffusion(width=16, multipliers=(1, 2), steps=4, packing="row", guide_after=0.5),
            diffusion_training=two_steps(),
        )
    if preset == "demo":
        # Patches of 8 pixels and one layer: in minutes, the number of steps counts more than the encoder's depth.
        return Experiment(
            recipe=name,
            preset=preset,
            modality=modality,
            vae=_vae(
                width=96,
                depth=1,
                patch=8,
                latent=32,
                basis=16,
                decoder_width=32,
                multipliers=(1, 1, 2, 2),
                read_out=64,
                # 3e-6 costs 0.6 dB; 1e-7 and 64 channels gain 0.2 dB, and samples are further from the data.
                kl_weight=1e-6,
            ),
            vae_training=training(steps=5000, batch_size=4, learning_rate=4e-3, optimizer="muon", sheet_every=2500),
            diffusion=diffusion(
                width=64,
                multipliers=(1, 2),
                steps=50,
                packing="row",
                cached_items=6000,
                guide_after=0.075,
                guidance=2.0,
            ),
            diffusion_training=training(
                steps=2400, batch_size=16, learning_rate=2e-3, optimizer="muon", sheet_every=1200
            ),
        )
    if preset == "small":
        return Experiment(
            recipe=name,
            preset=preset,
            modality=modality,
            vae=_vae(
                width=192, depth=6, patch=4, latent=16, basis=32, decoder_width=64, multipliers=(1, 2, 2), read_out=128
            ),
            vae_training=training(steps=100_000, batch_size=16, learning_rate=1e-3, optimizer="muon"),
            diffusion=diffusion(width=128, multipliers=(1, 2, 4), blocks=2, steps=50, packing="row"),
            diffusion_training=training(steps=150_000, batch_size=64, learning_rate=3e-4),
        )
    return Experiment(
        recipe=name,
        preset=preset,
        modality=modality,
        vae=_vae(
            width=384, depth=8, patch=8, latent=16, basis=64, decoder_width=64, multipliers=(1, 2, 4, 4), read_out=256
        ),
        vae_training=training(steps=200_000, batch_size=16, learning_rate=1e-3, optimizer="muon"),
        diffusion=diffusion(width=192, multipliers=(1, 2, 4), blocks=2, steps=50, packing="row"),
        diffusion_training=training(steps=400_000, batch_size=64, learning_rate=2e-4),
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
    kl_weight: float = 1e-6,
) -> VAEConfig:
    return VAEConfig(
        encoder=SpaceTimeEncoderConfig(
            width=width, depth=depth, heads=max(1, width // 48), patch=patch, expansion=2, pooling_depth=1,
            pooling_heads=max(1, width // 48), direct=4,
        ),
        decoder=DecoderConfig(
            channels=basis, scales=3, width=decoder_width, multipliers=multipliers, blocks=1, mixing="tokens",
            scaled_axes="xy", reduction="product", shortcuts=True, groups=8,
        ),
        read_out=ReadOutConfig(width=read_out, coordinates=True),
        latent_channels=latent,
        kl_weight=kl_weight,
        kl_start=kl_weight,
    )  # fmt: skip


def _paper(name: str, source: str) -> Experiment:
    """The paper's architecture and schedule for SkyTimelapse, 16 frames of 256 x 256, on this recipe's data.

    The discriminators are ours: their terms are weighted adaptively, and no features are matched.
    """
    points = 16 * 256 * 256
    gan, discriminator = paper_gan(Epochs(items=CLIPS, batch=2, count=400), 1e-4)
    return Experiment(
        recipe=name,
        preset="paper",
        modality=VideoModality(
            source=source, size=256, target_sizes=(256,), points=0, shown=16, crop=256, align_corners=True
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
            perceptual=LPIPSConfig(weight=1 / points),
            **paper_weights(0.1, points),
        ),
        vae_training=paper_autoencoder(Epochs(items=CLIPS, batch=2, count=200)),
        gan=AdversarialConfig(
            adversary=ClipAdversaryConfig(augment=False),
            training=gan,
            discriminator=discriminator,
            spectral_weight=spectral(1.0) / points,
        ),
        diffusion=paper_diffusion(
            RowUNetConfig(width=256, multipliers=(1, 2, 4, 6), head_channels=64), packing="row", sampling_steps=200
        ),
        diffusion_training=paper_denoiser(Epochs(items=CLIPS, batch=2, count=1500, accumulate=1)),
    )  # fmt: skip


def video_recipes() -> dict[str, Recipe]:
    """All of `VIDEOS`."""
    return {
        name: Recipe(video_experiment, data.summary, data.presets, needs_data=not data.source)
        for name, data in VIDEOS.items()
    }
