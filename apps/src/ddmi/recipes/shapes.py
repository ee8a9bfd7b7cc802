"""Recipes of 3D shapes, and of shapes from text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ddmi.experiment import Experiment
from ddmi.networks import ReadOutConfig
from ddmi.recipes.paper import Epochs, paper_autoencoder, paper_denoiser, paper_vae, paper_weights
from ddmi.recipes.recipe import ALL, Recipe
from ddmi.recipes.schedule import training, two_steps
from ddmi.recipes.tri_planes import READ_OUT, paper_plane_diffusion, plane_diffusion, point_vae
from ddmi.reference.modalities import OccupancyModality
from ddmi_modalities.shape import ShapeModality
from ddmi_modalities.shape.shapenet import CLASSES
from ddmi_modalities.text import TextTowerConfig


@dataclass(frozen=True, kw_only=True)
class ShapeData:
    """What a recipe knows of its data."""

    summary: str
    settings: Mapping[str, Any] = field(default_factory=lambda: {"source": ""})
    """Of the modality."""
    presets: tuple[str, ...] = ALL
    text: bool = False
    """Generate from captions."""
    items: int = 30_661
    """Training shapes of the preset `paper`: by default of 13 classes."""


def _shapenet(*classes: str, **settings: Any) -> dict[str, Any]:
    # Its points are stored, and none can be had near the surface on demand.
    return {"source": "", "classes": classes, "near": None, **settings}


_EMBEDDED = {"source": "furniture", "hold_out": "combinations"}
_WITHOUT_OURS = tuple(preset for preset in ALL if preset != "ours")

SHAPES = {
    "furniture": ShapeData(
        summary="3D chairs and tables (embedded, procedural) as occupancy functions",
        settings=_EMBEDDED,
        presets=_WITHOUT_OURS,
    ),
    "furniture-text": ShapeData(
        summary="3D chairs and tables from a sentence", settings=_EMBEDDED, presets=_WITHOUT_OURS, text=True
    ),
    "shapes": ShapeData(summary="your meshes, or ShapeNet of occupancy networks (--data PATH)"),
    "shapenet-chair": ShapeData(
        summary="chairs of ShapeNet, as occupancy networks distribute it (--data PATH)",
        settings=_shapenet("chair"),
        items=4744,
    ),
    "shapenet-13": ShapeData(
        summary="the 13 classes of ShapeNet, likewise (--data PATH)", settings=_shapenet(*CLASSES.values())
    ),
    "text2shape": ShapeData(
        summary="ShapeNet's chairs and tables from Text2Shape's sentences (--data PATH)",
        settings=_shapenet("chair", "table", captions_file="captions.tablechair.csv"),
        presets=tuple(preset for preset in ALL if preset != "paper"),  # nobody says how the paper trains on them
        text=True,
    ),
}


def shape_experiment(name: str, preset: str) -> Experiment:
    """The experiment of one of `SHAPES`.  Test items of furniture hold combinations that training lacks."""
    data = SHAPES[name]
    experiment = _paper(name, data) if preset == "paper" else _ours(name, preset, data)
    if not data.text:
        return experiment
    tower = TextTowerConfig() if preset != "test" else TextTowerConfig(width=16, layers=1, heads=2)
    return replace(experiment, diffusion=replace(experiment.diffusion, text=tower, cache=True))


def _ours(name: str, preset: str, data: ShapeData) -> Experiment:
    sizes: dict[str, Any] = {
        "test": dict(items=8, cloud=64, queries=32),
        "demo": dict(items=4000, cloud=1024, queries=1024),
        "small": dict(items=50_000),
        "ours": dict(items=50_000),
    }[preset]
    first, second = {
        "test": (two_steps(), two_steps()),
        "demo": (
            training(steps=2200, batch_size=8, learning_rate=4e-3, optimizer="muon"),
            training(steps=1600, batch_size=32, learning_rate=1e-3),
        ),
        "small": (
            training(steps=60_000, batch_size=32, learning_rate=1e-3, optimizer="muon"),
            training(steps=100_000, batch_size=128, learning_rate=3e-4),
        ),
        "ours": (
            training(steps=200_000, batch_size=64, learning_rate=1e-3, optimizer="muon"),
            training(steps=400_000, batch_size=256, learning_rate=2e-4),
        ),
    }[preset]
    return Experiment(
        recipe=name,
        preset=preset,
        modality=ShapeModality(**sizes, **data.settings),
        vae=point_vae(
            preset,
            ReadOutConfig(width=READ_OUT[preset], out_channels=1, coordinates=True),
            basis={"test": 4, "demo": 16, "small": 32, "ours": 64}[preset],
            encoder=dict(offsets=True),
        ),
        vae_training=first,
        diffusion=plane_diffusion(preset),
        diffusion_training=second,
    )


def _paper(name: str, data: ShapeData) -> Experiment:
    """The paper's architecture and schedule for ShapeNet, on this recipe's data."""
    points = 2048
    settings = {**data.settings, "near": None}
    return Experiment(
        recipe=name,
        preset="paper",
        modality=OccupancyModality(items=50_000, queries=points, align_corners=True, threshold=0.2, **settings),
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
            **paper_weights(0.01, points),
        ),
        vae_training=paper_autoencoder(Epochs(items=data.items, batch=12, count=300)),
        diffusion=paper_plane_diffusion(),
        diffusion_training=paper_denoiser(Epochs(items=data.items, batch=10, count=3000)),
    )  # fmt: skip


def shape_recipes() -> dict[str, Recipe]:
    """All of `SHAPES`."""
    return {
        name: Recipe(shape_experiment, data.summary, data.presets, needs_data=not data.settings["source"])
        for name, data in SHAPES.items()
    }
