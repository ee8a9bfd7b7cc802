"""Exploring images: tiles at any depth, and beside them the pixels that the model was trained on, enlarged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image

from ddmi_fields import ImplicitFunction
from ddmi_modalities.exploration import Asked, Content, Exploration
from ddmi_modalities.files.pixels import to_picture
from ddmi_modalities.image.modality import ImageModality
from ddmi_modalities.image.view import Crop, ImageRenderOptions

TILE = 256
"""Pixels a side of a tile."""
DEEPEST = 14
"""The picture has 2^DEEPEST tiles a side there: coordinates of single precision tell its pixels apart."""
AHEAD = 2
"""Depth to which a page without a server has tiles."""
LARGEST = 4096
"""Pixels a side of a picture to take away."""


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A square of the picture that has 2^z x 2^z of them, read out there alone."""

    z: int = 0
    x: int = 0
    y: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.z <= DEEPEST or not (0 <= self.x < 2**self.z and 0 <= self.y < 2**self.z):
            raise ValueError(
                f"tile: z is from 0 to {DEEPEST}, x and y from 0 to 2^z - 1, got {self.z}, {self.x}, {self.y}"
            )

    def answer(self, modality: ImageModality, function: ImplicitFunction) -> Content:
        row, column = self.y * TILE, self.x * TILE
        crop = ((row, row + TILE), (column, column + TILE))
        return Content.picture(_read(modality, function, TILE * 2**self.z, crop), "webp")


@dataclass(frozen=True, kw_only=True)
class EnlargedTile(Tile):
    """The same square of the picture at its native size, enlarged bicubically: what pixels alone would show."""

    def answer(self, modality: ImageModality, function: ImplicitFunction) -> Content:
        size = modality.size
        side = size / 2**self.z
        box = (self.x * side, self.y * side, (self.x + 1) * side, (self.y + 1) * side)
        native = _read(modality, function, size)
        return Content.picture(native.resize((TILE, TILE), Image.Resampling.BICUBIC, box=box), "webp")


@dataclass(frozen=True, kw_only=True)
class Picture:
    """The whole picture."""

    size: int = 1024
    """Pixels a side."""

    def __post_init__(self) -> None:
        if not 1 <= self.size <= LARGEST:
            raise ValueError(f"picture: size is from 1 to {LARGEST} pixels, got {self.size}")

    def answer(self, modality: ImageModality, function: ImplicitFunction) -> Content:
        return Content.picture(_read(modality, function, self.size))


@torch.no_grad()
def _read(modality: ImageModality, function: ImplicitFunction, size: int, crop: Crop | None = None) -> Image.Image:
    return to_picture(modality.render(function, ImageRenderOptions(resolution=size, crop=crop)).images[0])


def facts(modality: ImageModality) -> dict[str, Any]:
    return {"tile": TILE, "deepest": DEEPEST, "ahead": AHEAD, "native": modality.size}


def ahead(modality: ImageModality) -> list[Asked]:
    """Both pyramids down to `AHEAD`."""
    places = [(z, x, y) for z in range(AHEAD + 1) for y in range(2**z) for x in range(2**z)]
    return [Asked(which, {"z": z, "x": x, "y": y}) for which in ("tile", "enlarged") for z, x, y in places]


EXPLORATION = Exploration(
    questions={"tile": Tile, "enlarged": EnlargedTile, "picture": Picture},
    script="ddmi_modalities.image:explore.js",
    view="image",
    picture=Asked("tile"),
    downloads={".png": Asked("picture")},
    facts=facts,
    ahead=ahead,
)
