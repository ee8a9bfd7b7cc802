"""Exploring radiance fields: pictures and depth from any side, and the surface as a coloured mesh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ddmi_fields import ImplicitFunction
from ddmi_modalities.exploration import Asked, Content, Exploration
from ddmi_modalities.files.pixels import to_picture
from ddmi_modalities.geometry.cameras import Cameras
from ddmi_modalities.nerf.modality import NerfModality
from ddmi_modalities.nerf.render.views import coloured_mesh, depth_picture, render_views
from ddmi_modalities.nerf.view import NerfRenderOptions

AHEAD = 12
"""Pictures round the scene that a page without a server has."""
OWN = NerfRenderOptions()
"""Cameras where nothing else is asked for."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """A picture from a camera that looks at the centre."""

    azimuth: int | float = 45.0
    """Degrees round the vertical."""
    elevation: int | float = OWN.elevation
    """Degrees above the horizon."""
    distance: int | float = OWN.distance
    """From the centre, in half sides of the scene's cube."""
    size: int = 128
    """Pixels a side."""
    samples: int = OWN.samples
    """Read-outs along a ray."""
    depth: bool = False
    """How far away it is instead of its colour: near is dark."""

    def __post_init__(self) -> None:
        if not (8 <= self.size <= 512 and 8 <= self.samples <= 512 and 2 <= self.distance <= 20):
            raise ValueError(
                "look: size and samples are from 8 to 512 and distance from 2 to 20, got "
                f"{self.size}, {self.samples} and {self.distance}"
            )
        if not (-90 <= self.elevation <= 90 and abs(self.azimuth) < 1e6):
            raise ValueError(f"look: elevation is from -90 to 90 degrees, got {self.elevation}")

    def answer(self, modality: NerfModality, function: ImplicitFunction) -> Content:
        away = self.distance * modality.half
        cameras = Cameras.around(
            [self.azimuth], [self.elevation], distance=away, field_of_view=OWN.field_of_view, size=self.size
        )
        background = torch.tensor(modality.background)
        seen = render_views(function, cameras, modality.extent, samples=self.samples, background=background)
        if self.depth:
            reach = modality.half * 3**0.5
            return Content.picture(
                to_picture(depth_picture(seen.depth[0], seen.opacity[0], away - reach, away + reach)), "webp"
            )
        return Content.picture(to_picture(seen.colour[0]), "webp")


@dataclass(frozen=True, kw_only=True)
class Mesh:
    """The surface of the density with its colours, as binary glTF."""

    cells: int = 128
    """A side, of the marching cubes."""

    def __post_init__(self) -> None:
        if self.cells > 256:
            raise ValueError(f"mesh: at most 256 cells a side, got {self.cells}")
        NerfRenderOptions(mesh_resolution=self.cells)

    def answer(self, modality: NerfModality, function: ImplicitFunction) -> Content:
        mesh = coloured_mesh(function, modality.extent, self.cells)
        return Content.mesh(mesh)


def facts(modality: NerfModality) -> dict[str, Any]:
    return {"ahead": AHEAD, "elevation": OWN.elevation, "distance": OWN.distance, "field_of_view": OWN.field_of_view}


def ahead(modality: NerfModality) -> list[Asked]:
    return [Asked("look", {"azimuth": round(360 * i / AHEAD), "size": 96}) for i in range(AHEAD)]


EXPLORATION = Exploration(
    questions={"look": Look, "mesh": Mesh},
    script="ddmi_modalities.nerf:explore.js",
    view="nerf",
    picture=Asked("look"),
    downloads={".png": Asked("look", {"size": 512}), ".glb": Asked("mesh")},
    facts=facts,
    ahead=ahead,
    solid=True,
)
