"""Any function as one picture, and pictures in a labelled table: what all analyses are drawn with."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from ddmi_modalities.modality import Artefact
from ddmi_modalities.sheet import INK, PAPER, label_font

WIDEST = 1500
"""Pixels of a table's columns together: pictures that are strips (views of a scene, frames of a clip) are wide."""
GAP = 6


def picture_of(made: Artefact) -> Image.Image:
    """What an artefact of one function looks like: its own sheet."""
    if len(made) != 1:
        raise ValueError(f"picture_of: wanted an artefact of one function, got {len(made)}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.png"
        made.save_sheet(path)
        with Image.open(path) as file:
            picture = file.convert("RGB")
    return picture


def pictures_of(modality: Any, functions: Any, view: Any) -> list[Image.Image]:
    """One picture a function, rendered by the modality."""
    return [picture_of(modality.render(function, view)) for function in functions]


def fitting(picture: Image.Image, most: int) -> int:
    """How many such pictures stand side by side in a table, 1 to `most`."""
    return max(1, min(most, WIDEST // (picture.width + GAP)))


def captioned(picture: Image.Image, caption: str) -> Image.Image:
    """The picture with a line of text under it."""
    font = label_font(110)
    line = int(font.getbbox("Ágy")[3]) + GAP
    sheet = Image.new("RGB", (picture.width, picture.height + line), PAPER)
    sheet.paste(picture)
    ImageDraw.Draw(sheet).text((picture.width / 2, picture.height), caption, INK, font, anchor="ma")
    return sheet


def labelled_table(rows: Sequence[tuple[str, Sequence[Image.Image]]], *, titles: Sequence[str] = ()) -> Image.Image:
    """One row of pictures a label, left; `titles` stand over the columns.  All rows have as many pictures."""
    counts = {len(pictures) for _, pictures in rows}
    if len(counts) != 1 or 0 in counts or (titles and len(titles) not in counts):
        raise ValueError(
            f"table of pictures: every row needs the same number of them, at least one; got {sorted(counts)} and "
            f"{len(titles)} titles"
        )
    width, height = (max(picture.size[axis] for _, row in rows for picture in row) for axis in (0, 1))
    font = label_font(max(110, min(160, height)))
    line = int(font.getbbox("Ágy")[3]) + 2
    lines = [label.split("\n") for label, _ in rows]
    margin = int(max(font.getlength(text) for label in lines for text in label)) + 3 * GAP
    head = line + 2 * GAP if titles else GAP
    sheet = Image.new(
        "RGB", (margin + counts.pop() * (width + GAP) + GAP, head + len(rows) * (height + GAP)), PAPER
    )  # fmt: skip
    draw = ImageDraw.Draw(sheet)
    for index, title in enumerate(titles):
        draw.text((margin + index * (width + GAP) + width / 2, GAP), title, INK, font, anchor="ma")
    for index, (label, (_, pictures)) in enumerate(zip(lines, rows, strict=True)):
        top = head + index * (height + GAP)
        draw.text((margin - 2 * GAP, top + height / 2), "\n".join(label), INK, font, anchor="rm", align="right")
        for column, picture in enumerate(pictures):
            left = margin + column * (width + GAP)
            sheet.paste(picture, (left + (width - picture.width) // 2, top + (height - picture.height) // 2))
    return sheet
