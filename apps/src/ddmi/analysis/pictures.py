"""Any function as one picture, and how many of them stand side by side."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from ddmi_fields import ImplicitFunction
from ddmi_modalities.modality import Modality, Rendering

WIDEST = 1500
"""Pixels of a table's columns together: pictures that are strips (views of a scene, frames of a clip) are wide."""


def picture_of(made: Rendering) -> Image.Image:
    """What a rendering of one function looks like: its own sheet."""
    if len(made) != 1:
        raise ValueError(f"picture_of: wanted a rendering of one function, got {len(made)}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.png"
        made.save_sheet(path)
        with Image.open(path) as file:
            picture = file.convert("RGB")
    return picture


def pictures_of(modality: Modality, functions: ImplicitFunction, options: Any) -> list[Image.Image]:
    """One picture a function, rendered by the modality."""
    return [picture_of(modality.render(function, options)) for function in functions]


def fitting(picture: Image.Image, most: int) -> int:
    """How many such pictures stand side by side in a table, 1 to `most`."""
    return max(1, min(most, WIDEST // (picture.width + 6)))
