"""Exploring shapes: meshes of any number of cells, and slices through the field of occupancy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image

from ddmi_fields import ImplicitFunction
from ddmi_modalities.exploration import Asked, Content, Exploration
from ddmi_modalities.files.pixels import to_picture
from ddmi_modalities.shape.modality import ShapeModality
from ddmi_modalities.shape.view import ShapeRenderOptions

AHEAD = 64
"""Cells a side of the mesh that a page without a server has."""
FINEST = 256
SLICE = 192
"""Pixels a side of a slice."""


@dataclass(frozen=True, kw_only=True)
class Mesh:
    """The surface where occupancy is one half, as binary glTF."""

    cells: int = 128
    """A side, of the marching cubes."""

    def __post_init__(self) -> None:
        if self.cells > FINEST:
            raise ValueError(f"mesh: at most {FINEST} cells a side, got {self.cells}")
        ShapeRenderOptions(mesh_resolution=self.cells)

    def answer(self, modality: ShapeModality, function: ImplicitFunction) -> Content:
        (mesh,) = modality.render(function, ShapeRenderOptions(mesh_resolution=self.cells)).meshes
        return Content.mesh(mesh)


@dataclass(frozen=True, kw_only=True)
class Shaded:
    """A picture of the mesh."""

    size: int = 192
    """Pixels a side."""

    def __post_init__(self) -> None:
        if not 16 <= self.size <= 1024:
            raise ValueError(f"shaded: size is from 16 to 1024 pixels, got {self.size}")

    def answer(self, modality: ShapeModality, function: ImplicitFunction) -> Content:
        from ddmi_modalities.geometry.shading import shade

        (mesh,) = modality.render(function, ShapeRenderOptions(mesh_resolution=64)).meshes
        return Content.picture(to_picture(shade(mesh, self.size)))


@dataclass(frozen=True, kw_only=True)
class Slice:
    """Occupancy on a plane across one axis: from white, outside, to black, inside; grey is unsure."""

    axis: str = "y"
    """x, y or z."""
    at: int | float = 0.0
    """Where on it, in field coordinates."""

    def __post_init__(self) -> None:
        if self.axis not in ("x", "y", "z") or not -1 <= self.at <= 1:
            raise ValueError(f"slice: axis is x, y or z and at from -1 to 1, got {self.axis!r} and {self.at}")

    @torch.no_grad()
    def answer(self, modality: ShapeModality, function: ImplicitFunction) -> Content:
        line = (torch.arange(SLICE) + 0.5) * (2 / SLICE) - 1
        across = "xyz".index(self.axis)
        # the vertical axis of the picture is y where there is one, upwards; else z, towards the viewer
        columns, rows = {"x": (2, 1), "y": (0, 2), "z": (0, 1)}[self.axis]
        points = torch.empty(SLICE, SLICE, 3)
        points[..., across] = self.at
        points[..., columns] = line[None, :]
        points[..., rows] = (line if rows == 2 else -line)[:, None]
        inside = function(points.view(1, -1, 3).to(function.basis.device))[0, :, 0].sigmoid().view(SLICE, SLICE)
        grey = ((1 - inside) * 255).round().to(torch.uint8).cpu()
        return Content.picture(Image.fromarray(grey.numpy()))


def facts(modality: ShapeModality) -> dict[str, Any]:
    return {"ahead": AHEAD, "finest": FINEST}


def ahead(modality: ShapeModality) -> list[Asked]:
    return [Asked("mesh", {"cells": AHEAD})]


EXPLORATION = Exploration(
    questions={"mesh": Mesh, "shaded": Shaded, "slice": Slice},
    script="ddmi_modalities.shape:explore.js",
    view="shape",
    picture=Asked("shaded"),
    downloads={".glb": Asked("mesh")},
    facts=facts,
    ahead=ahead,
    solid=True,
)
