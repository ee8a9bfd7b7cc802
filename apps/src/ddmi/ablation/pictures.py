"""What the variants of an ablation make, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ddmi.analysis.tiles import fitting, labelled_table, picture_of, pictures_of
from ddmi.pipeline import DDMI

MOST = 8
"""Columns at most."""


def draw_pictures(runs: Mapping[str, Path], out: Path) -> list[Path]:
    """reconstructions.png, the same held-out items below their truth, and samples.png, from the same noise.

    Args:
        runs: a run of each variant, by name.
        out: the directory to write to.
    """
    models = {name: DDMI.from_pretrained(directory) for name, directory in runs.items()}
    modality: Any = next(iter(models.values())).experiment.modality
    view, held_out = modality.View(), modality.dataset("test")
    count = fitting(picture_of(modality.truth([held_out[0]], view)), min(MOST, len(held_out)))
    items = [held_out[i * len(held_out) // count] for i in range(count)]
    truth = [picture_of(modality.truth([item], view)) for item in items]
    made = [
        (name, pictures_of(modality, model.reconstruct(modality.inputs(items)), view)) for name, model in models.items()
    ]
    samples = [(name, pictures_of(modality, model.sample(count, seed=0), view)) for name, model in models.items()]
    paths = [out / "reconstructions.png", out / "samples.png"]
    for path, rows in zip(paths, ([("truth", truth), *made], samples), strict=True):
        labelled_table(rows).save(path)
    return paths
