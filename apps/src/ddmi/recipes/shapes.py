"""Recipes of 3D shapes, and of shapes from text."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ddmi.experiment import Experiment
from ddmi.networks import ReadOutConfig
from ddmi.recipes.schedule import paper_autoencoder, paper_denoiser, training, two_steps
from ddmi.recipes.tri_planes import READ_OUT, paper_plane_diffusion, paper_point_vae, plane_diffusion, point_vae
from ddmi_modalities.shape import ShapeModality
from ddmi_modalities.text import TextTowerConfig


def furniture(preset: str) -> Experiment:
    """Procedural chairs and tables: the embedded shape data set."""
    return _shapes("furniture", preset, source="furniture", hold_out="combinations")


def shape_folder(preset: str) -> Experiment:
    """Shapes of a folder: meshes, or the layout of occupancy networks' ShapeNet; `--data` names it."""
    return _shapes("shapes", preset, source="")


def furniture_text(preset: str) -> Experiment:
    """Chairs and tables from a sentence; the test split holds combinations of attributes that training lacks."""
    unconditional = furniture(preset)
    tower = TextTowerConfig() if preset != "test" else TextTowerConfig(width=16, layers=1, heads=2)
    return replace(
        unconditional, recipe="furniture-text", diffusion=replace(unconditional.diffusion, text=tower, cache=True)
    )


def _shapes(name: str, preset: str, **source: Any) -> Experiment:
    if preset == "paper":
        return _paper_shapes(name, source)
    data: dict[str, Any] = {
        "test": dict(items=8, cloud=64, queries=32),
        "demo": dict(items=4000, cloud=1024, queries=1024),
        "small": dict(items=50_000),
    }[preset]
    first, second = {
        "test": (two_steps(), two_steps()),
        "demo": (
            replace(training(steps=2600, batch_size=8, learning_rate=4e-3), optimizer="muon"),
            training(steps=1600, batch_size=32, learning_rate=1e-3),
        ),
        "small": (
            replace(training(steps=60_000, batch_size=32, learning_rate=1e-3), optimizer="muon"),
            training(steps=100_000, batch_size=128, learning_rate=3e-4),
        ),
    }[preset]
    return Experiment(
        recipe=name,
        preset=preset,
        modality=ShapeModality(**data, **source),
        vae=point_vae(
            preset,
            ReadOutConfig(width=READ_OUT[preset], out_channels=1, coordinates=True),
            basis={"test": 4, "demo": 16, "small": 32}[preset],
            encoder=dict(offsets=True),
        ),
        vae_training=first,
        diffusion=plane_diffusion(preset),
        diffusion_training=second,
    )


def _paper_shapes(name: str, source: dict[str, Any]) -> Experiment:
    """The paper's architecture and schedule for ShapeNet, on this recipe's data."""
    # Weights of the reference are divided by the 2,048 points over which it sums its likelihood.
    points = 2048
    return Experiment(
        recipe=name,
        preset="paper",
        modality=ShapeModality(items=50_000, queries=points, near=None, align_corners=True, **source),
        vae=paper_point_vae(ReadOutConfig(out_channels=1, coordinates=True), kl_weight=0.01 / points, kl_start=0.0),
        vae_training=paper_autoencoder(steps=400_000, batch_size=64),
        diffusion=paper_plane_diffusion(),
        diffusion_training=paper_denoiser(steps=400_000, batch_size=64),
    )
