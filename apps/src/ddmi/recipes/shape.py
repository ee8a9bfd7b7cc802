"""Recipes of 3D shapes, and of shapes from text."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ddmi.experiment.config import Experiment
from ddmi.recipes.paper import (
    Epochs,
    paper_autoencoder,
    paper_denoiser,
    paper_losses,
    paper_plane_diffusion,
    paper_vae,
)
from ddmi.recipes.presets import (
    READ_OUT,
    Settings,
    from_text,
    guide_after,
    mean_flow_training,
    plane_diffusion,
    point_vae,
    size_of,
    training,
    two_steps,
)
from ddmi.reference.occupancy_modality import OccupancyModality
from ddmi_fields import CoarseToFineReadOutConfig
from ddmi_modalities.shape import ShapeModality
from ddmi_vae import Losses

ALL_CLASSES = 30_661
"""Training shapes of ShapeNet's 13 classes."""


def shape_experiment(preset: str, *, text: bool = False, items_of_paper: int = ALL_CLASSES, **data: Any) -> Experiment:
    """Shapes of any data set.

    Args:
        preset: One of `PRESETS`.
        text: Generate from captions.
        items_of_paper: Training shapes of the preset `paper`, whose schedule counts epochs.
        data: Settings of `ShapeModality` that say which data.
    """
    experiment = _paper(items_of_paper, data) if preset == "paper" else _preset(preset, data)
    return replace(experiment, diffusion=from_text(experiment.diffusion, preset)) if text else experiment


def _preset(preset: str, data: Settings) -> Experiment:
    size = size_of(preset)
    sizes: Settings = {
        "test": dict(items=8, cloud=64, num_queries=32),
        "demo": dict(items=4000 if preset == "demo" else 20_000, cloud=1024, num_queries=1024),
        "small": dict(items=50_000),
        "recommended": dict(items=50_000),
    }[size]
    first, second = {
        "test": (two_steps(), two_steps()),
        "demo": (
            training(steps=2200, batch_size=8, learning_rate=4e-3, optimizer="muon"),
            training(steps=1600, batch_size=32, learning_rate=1e-3),
        ),
        "evening": (
            training(steps=9000, batch_size=8, learning_rate=4e-3, optimizer="muon"),
            training(steps=7000, batch_size=32, learning_rate=1e-3),
        ),
        "small": (
            training(steps=60_000, batch_size=32, learning_rate=1e-3, optimizer="muon"),
            training(steps=100_000, batch_size=128, learning_rate=3e-4),
        ),
        "recommended": (
            training(steps=200_000, batch_size=64, learning_rate=1e-3, optimizer="muon"),
            training(steps=400_000, batch_size=256, learning_rate=2e-4),
        ),
    }[preset]
    return Experiment(
        modality=ShapeModality(**sizes, **data),
        vae=point_vae(
            size,
            CoarseToFineReadOutConfig(width=READ_OUT[size], out_channels=1, coordinates=True),
            basis={"test": 4, "demo": 16, "small": 32, "recommended": 64}[size],
            encoder=dict(offsets=True),
        ),
        losses=Losses(kl_weight=1e-6, kl_start=1e-6),
        vae_training=first,
        diffusion=plane_diffusion(size, guide_after=guide_after(preset)),
        diffusion_training=second,
        mean_flow_training=mean_flow_training(preset),
    )


def _paper(items: int, data: Settings) -> Experiment:
    """The paper's architecture and schedule for ShapeNet, on any data."""
    points = 2048
    return Experiment(
        modality=OccupancyModality(
            items=50_000, num_queries=points, align_corners=True, threshold=0.2, **{**data, "near": None}
        ),
        vae=paper_vae(
            "occupancy",
            dict(
                resolution=64, in_channels=32, ch=64, hdbf_resolutions=[32, 16], inter_attn_resolutions=[64, 32, 16]
            ),
            dict(in_ch=3, out_ch=1),
            dict(pointnet=dict(
                dim=3, padding=0.1, c_dim=32, hidden_dim=256, plane_type=["xz", "xy", "yz"], plane_resolution=64,
                n_blocks=7,
            )),
        ),
        losses=Losses(**paper_losses(0.01, points)),
        vae_training=paper_autoencoder(Epochs(items=items, batch=12, count=300)),
        diffusion=paper_plane_diffusion(),
        diffusion_training=paper_denoiser(Epochs(items=items, batch=10, count=3000)),
    )  # fmt: skip
