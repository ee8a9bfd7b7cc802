"""What the variants of an ablation make, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ddmi.analysis.pictures import fitting, pictures_of
from ddmi.pipeline import DDMI
from ddmi_modalities.datasets.splits import evenly_spaced
from ddmi_modalities.files.album import Album
from ddmi_modalities.files.sheets import picture_table
from ddmi_modalities.plain_exploration import picture_of

MOST = 8
"""Columns at most."""


def draw_pictures(runs: Mapping[str, Path], out: Path) -> list[Path]:
    """reconstructions.png, the same held-out items below their truth, and samples.png, from the same noise.

    Args:
        runs: a run of each variant, by name.
        out: the directory to write to.
    """
    models = {name: DDMI.from_pretrained(directory) for name, directory in runs.items()}
    modality = next(iter(models.values())).experiment.modality
    options, held_out = modality.RenderOptions(), modality.dataset("test")
    count = fitting(picture_of(modality.truth([held_out[0]], options)), min(MOST, len(held_out)))
    items = [held_out[i] for i in evenly_spaced(len(held_out), count)]
    inputs, album = modality.inputs(items), Album(out)
    made = {name: pictures_of(modality, model.reconstruct(inputs), options) for name, model in models.items()}
    rows = {"truth": [picture_of(modality.truth([item], options)) for item in items], **made}
    album.picture("reconstructions.png", picture_table(list(rows.values()), labels=list(rows)))
    samples = {name: pictures_of(modality, model.sample(count, seed=0), options) for name, model in models.items()}
    album.picture("samples.png", picture_table(list(samples.values()), labels=list(samples)))
    return album.paths
