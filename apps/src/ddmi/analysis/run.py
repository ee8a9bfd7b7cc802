"""All analyses of a run: what `ddmi analyze` writes."""

from __future__ import annotations

import logging
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from PIL import Image

from ddmi.analysis.chart import Line, log_charts
from ddmi.analysis.interpolation import interpolated
from ddmi.analysis.latent_spectra import LatentSpectrum, latent_spectra
from ddmi.analysis.neighbours import KnownItems, Neighbours
from ddmi.analysis.pictures import fitting, pictures_of
from ddmi.analysis.scales import without_scale
from ddmi.analysis.spectra import Spectrum, basis_spectra, write_csv
from ddmi.pipeline import DDMI
from ddmi_fields import ImplicitFunction
from ddmi_modalities.datasets.splits import evenly_spaced
from ddmi_modalities.files.album import Album
from ddmi_modalities.files.sheets import picture_table
from ddmi_modalities.metrics.features import EfficientNetLiteFeatures
from ddmi_modalities.modality import Modality

logger = logging.getLogger("ddmi")


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """How much is drawn."""

    items: int = 16
    """Held-out items whose basis fields' spectra are averaged."""
    shown: int = 8
    """Held-out items that are read out without one scale; fewer where their pictures are wide."""
    ways: int = 4
    """Interpolations, each between two samples."""
    parts: int = 8
    """Pictures of each, both ends among them; fewer where they are wide."""
    samples: int = 8
    """Samples beside their nearest training items."""
    training: int = 1000
    """Training items, spread evenly, among which the nearest are looked for; give a large number to leave none out."""

    def __post_init__(self) -> None:
        for field in fields(self):
            least = 2 if field.name == "parts" else 1
            if getattr(self, field.name) < least:
                raise ValueError(f"Analysis: {field.name} is at least {least}, got {getattr(self, field.name)}")


def analyze_run(
    model: DDMI, modality: Modality, directory: Path, settings: Analysis, *, options: Any = None, seed: int = 0
) -> list[Path]:
    """Writes spectra.png and .csv, latents.png (of images and videos) and scales.png; with stage 2 also
    interpolations.png and neighbours.png.

    Args:
        modality: the model's, or the same with data elsewhere.
        directory: made where it is missing.
        options: of rendering, for all pictures; default the modality's.
        seed: of the samples.

    Returns:
        The paths of what was written.
    """
    options = modality.RenderOptions() if options is None else options
    album = Album(directory)
    held_out = modality.dataset("test")
    items = [held_out[i] for i in evenly_spaced(len(held_out), settings.items)]
    logger.info("spectra of the basis fields of %d held-out items", len(items))
    spectra = basis_spectra(model.reconstruct(modality.inputs(items)).basis)
    album.add("spectra.csv", lambda path: write_csv(spectra, path))
    album.picture("spectra.png", draw_spectra(spectra))
    for one in spectra:
        rows, columns = one.size
        logger.info(
            "  scale %d, plane %s (%d x %d): half below %.1f cycles a side",
            one.scale, one.plane, rows, columns, one.median,
        )  # fmt: skip
    if latents := latent_spectra(model.vae, modality, items):
        album.picture("latents.png", draw_latents(latents))
    for latent in latents:
        logger.info(
            "  latent plane %s: KL of the data's spectrum from its own %.3f nats", latent.plane, latent.divergence
        )
    items = items[: settings.shown]
    album.picture("scales.png", draw_scales(modality, model.reconstruct(modality.inputs(items)), options))
    if not model.can_sample:
        return album.paths
    album.picture("interpolations.png", draw_interpolations(modality, model, settings, options, seed))
    network = EfficientNetLiteFeatures(model.device)
    made = model.sample(settings.samples, seed=seed)
    similar = KnownItems(modality, options, network, training=settings.training).look_at_all().nearest(made)
    album.picture("neighbours.png", draw_neighbours(similar))
    return album.paths


def draw_spectra(spectra: list[Spectrum]) -> Image.Image:
    """One panel a plane, one line a scale."""
    planes = dict.fromkeys(one.plane for one in spectra)
    panels = {
        f"basis fields, plane {plane}": [
            Line(
                label=f"scale {one.scale}, {one.size[0]} x {one.size[1]}: half below {one.median:.1f}",
                x=[float(ring) for ring in range(1, len(one.power) + 1)],
                y=one.power.tolist(),
            )
            for one in spectra
            if one.plane == plane
        ]
        for plane in planes
    }
    return log_charts(panels, x_label="frequency, cycles per side", y_label="mean power of a mode")


def draw_latents(spectra: list[LatentSpectrum]) -> Image.Image:
    """One panel a plane: the latent and the data."""
    panels = {
        f"latent plane {one.plane}: KL {one.divergence:.3f}": [
            Line(label=name, x=list(range(1, len(parts) + 1)), y=parts.tolist())
            for name, parts in (("latent", one.latent), ("data", one.data))
        ]
        for one in spectra
    }
    return log_charts(panels, x_label="frequency, cycles per side", y_label="part of the power")


def draw_scales(modality: Modality, functions: ImplicitFunction, options: Any) -> Image.Image:
    """All scales, and each of them switched off in turn; a column a function."""
    all_on = pictures_of(modality, functions, options)
    some = fitting(all_on[0], len(all_on))
    rows = {"all scales": all_on[:some]}
    for number, planes in enumerate(functions.basis.fields, start=1):
        cells = " x ".join(str(cells) for cells in planes[0].shape[2:])
        off = without_scale(functions[:some], number)
        rows[f"without scale {number}\n({cells})"] = pictures_of(modality, off, options)
    return picture_table(list(rows.values()), labels=list(rows))


def draw_interpolations(modality: Modality, model: DDMI, settings: Analysis, options: Any, seed: int) -> Image.Image:
    """A row for each pair of samples 0 and 1, 2 and 3, ..."""
    rows: dict[str, list[Image.Image]] = {}
    (probe,) = pictures_of(modality, model.sample(1, seed=seed), options)
    parts = max(2, fitting(probe, settings.parts))
    for first in range(0, 2 * settings.ways, 2):
        ends = model.noise([first, first + 1], seed=seed)
        functions = model.decode(interpolated(model, ends, parts, seed=seed))
        rows[f"sample {first}\nto {first + 1}"] = pictures_of(modality, functions, options)
    return picture_table(list(rows.values()), labels=list(rows))


def draw_neighbours(similar: list[Neighbours]) -> Image.Image:
    """A row a function: its picture, then the nearest items with their distances."""
    ranks = [f"nearest {rank}" for rank in range(1, len(similar[0].nearest) + 1)]
    return picture_table(
        [[one.picture, *one.nearest] for one in similar],
        labels=[f"sample {number}" for number in range(len(similar))],
        titles=["generated", *ranks],
        captions=[["", *(f"{distance:.3f}" for distance in one.distances)] for one in similar],
    )
