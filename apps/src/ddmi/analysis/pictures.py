"""Any function as one picture, and how many of them stand side by side."""

from __future__ import annotations

from typing import Any

from PIL import Image

from ddmi_fields import ImplicitFunction
from ddmi_modalities.modality import Modality
from ddmi_modalities.plain_exploration import picture_of

WIDEST = 1500
"""Pixels of a table's columns together: pictures that are strips (views of a scene, frames of a clip) are wide."""


def pictures_of(modality: Modality, functions: ImplicitFunction, options: Any) -> list[Image.Image]:
    """One picture a function, rendered by the modality."""
    return [picture_of(modality.render(function, options)) for function in functions]


def fitting(picture: Image.Image, most: int) -> int:
    """How many such pictures stand side by side in a table, 1 to `most`."""
    return max(1, min(most, WIDEST // (picture.width + 6)))
