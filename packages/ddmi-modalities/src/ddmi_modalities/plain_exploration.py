"""Exploring any kind of signal: the picture that its renderings draw of themselves."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from ddmi_fields import ImplicitFunction
from ddmi_modalities.exploration import Asked, Content, Exploration
from ddmi_modalities.modality import Rendering


def picture_of(made: Rendering) -> Image.Image:
    """What a rendering of one function looks like: its own sheet."""
    if len(made) != 1:
        raise ValueError(f"picture_of: wanted a rendering of one function, got {len(made)}")
    return sheet_of(made)


def sheet_of(made: Rendering) -> Image.Image:
    """What a rendering of several functions looks like."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.png"
        made.save_sheet(path)
        with Image.open(path) as file:
            picture = file.convert("RGB")
    return picture


def draw(modality: Any, function: ImplicitFunction, **options: Any) -> Image.Image:
    """The sheet of functions, with options of the modality's `RenderOptions`, such as resolution=512."""
    return sheet_of(modality.render(function, modality.RenderOptions(**options)))


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """As `ddmi sample` draws it where nothing else is asked for."""

    def answer(self, modality: Any, function: ImplicitFunction) -> Content:
        return Content.picture(draw(modality, function))


EXPLORATION = Exploration(
    questions={"sheet": Sheet},
    script="ddmi_modalities:plain.js",
    view="plain",
    picture=Asked("sheet"),
    downloads={".png": Asked("sheet")},
)
