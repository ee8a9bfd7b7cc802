"""All analyses of a run: what `ddmi analyze` writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from PIL import Image

from ddmi.analysis.chart import Line, log_charts
from ddmi.analysis.interpolation import interpolated
from ddmi.analysis.neighbours import neighbour_rows
from ddmi.analysis.scales import without_scale
from ddmi.analysis.spectra import Spectrum, basis_spectra, write_csv
from ddmi.analysis.tiles import fitting, labelled_table, pictures_of
from ddmi.pipeline import DDMI
from ddmi_modalities.image.features import EfficientNetLite0Features
from ddmi_modalities.image.set_distances import spread


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
    model: DDMI,
    modality: Any,
    directory: Path,
    settings: Analysis,
    *,
    view: Any = None,
    seed: int = 0,
    note: Callable[[str], None] = lambda _: None,
) -> list[Path]:
    """Writes spectra.png and .csv and scales.png; with stage 2 also interpolations.png and neighbours.png.

    Args:
        modality: the model's, or the same with data elsewhere.
        directory: made where it is missing.
        view: of the modality, for all pictures; default its own.
        seed: of the samples.
        note: says what is being done.

    Returns:
        The paths of what was written.
    """
    view = modality.View() if view is None else view
    directory.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []

    def save(name: str, picture: Image.Image) -> None:
        picture.save(directory / name)
        written.append(directory / name)

    held_out = modality.dataset("test")
    items = [held_out[i] for i in spread(len(held_out), settings.items)]
    note(f"spectra of the basis fields of {len(items)} held-out items")
    spectra = basis_spectra(model.reconstruct(modality.inputs(items)).basis)
    write_csv(spectra, directory / "spectra.csv")
    written.append(directory / "spectra.csv")
    save("spectra.png", draw_spectra(spectra))
    for one in spectra:
        rows, columns = one.size
        note(f"  scale {one.scale}, plane {one.plane} ({rows} x {columns}): half below {one.median:.1f} cycles a side")

    items = items[: settings.shown]
    functions = model.reconstruct(modality.inputs(items))
    note("read-outs with one scale switched off")
    save("scales.png", draw_scales(modality, functions, view))
    if not model.can_sample:
        return written
    note(f"{settings.ways} interpolations")
    save("interpolations.png", draw_interpolations(model, settings, view, seed))
    network = EfficientNetLite0Features()
    made = model.sample(settings.samples, seed=seed)
    similar = neighbour_rows(modality, made, view, network, training=settings.training, note=note)
    ranks = [f"nearest {rank}" for rank in range(1, len(similar[0][1]))]
    save("neighbours.png", labelled_table(similar, titles=["generated", *ranks]))
    return written


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


def draw_scales(modality: Any, functions: Any, view: Any) -> Image.Image:
    """All scales, and each of them switched off in turn; a column a function."""
    all_on = pictures_of(modality, functions, view)
    some = fitting(all_on[0], len(all_on))
    rows = [("all scales", all_on[:some])]
    for number, planes in enumerate(functions.basis.fields, start=1):
        cells = " x ".join(str(cells) for cells in planes[0].shape[2:])
        off = without_scale(functions[:some], number)
        rows.append((f"without scale {number}\n({cells})", pictures_of(modality, off, view)))
    return labelled_table(rows)


def draw_interpolations(model: DDMI, settings: Analysis, view: Any, seed: int) -> Image.Image:
    """A row for each pair of samples 0 and 1, 2 and 3, ..."""
    modality = model.experiment.modality
    rows: list[tuple[str, list[Image.Image]]] = []
    parts = settings.parts
    for way in range(settings.ways):
        first, second = 2 * way, 2 * way + 1
        if way == 0:
            (probe,) = pictures_of(modality, model.sample(1, seed=seed), view)
            parts = max(2, fitting(probe, settings.parts))
        functions = interpolated(model, first, second, seed=seed, parts=parts)
        rows.append((f"sample {first}\nto {second}", pictures_of(modality, functions, view)))
    return labelled_table(rows)
