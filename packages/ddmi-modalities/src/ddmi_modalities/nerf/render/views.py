"""Pictures of radiance fields from cameras, and their density surface as a coloured mesh."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import trimesh
from jaxtyping import Float, UInt8
from torch import Tensor

from ddmi_fields import ImplicitFunction
from ddmi_modalities.extent import Extent
from ddmi_modalities.geometry.cameras import Cameras
from ddmi_modalities.nerf.read_out import density_of
from ddmi_modalities.nerf.render.culling import OccupiedCells, render_pixels

SURFACE = 10.0
"""Density per field unit on the surface of a mesh: a tenth of a unit of it stops two thirds of the light."""


@dataclass(frozen=True, eq=False)
class Pictures:
    """What cameras of one size see of one scene."""

    colour: UInt8[Tensor, "view 3 rows columns"]
    opacity: Float[Tensor, "view rows columns"]
    """0 where only the background is seen, 1 where nothing of it is."""
    depth: Float[Tensor, "view rows columns"]
    """Distance from the camera's centre along the ray, in world units; infinite where nothing is seen."""


@torch.no_grad()
def render_views(
    function: ImplicitFunction,
    cameras: Cameras,
    extent: Extent,
    *,
    samples: int = 96,
    background: Float[Tensor, "3"] | None = None,
    cull: bool = True,
) -> Pictures:
    """One function (a batch of 1) from each camera.

    Args:
        extent: the cube of the world that is [-1, 1]^3 for the function.
        samples: along the part of a ray that lies in the cube.
        background: RGB in [0, 1]; default white.
        cull: read out only what is neither empty nor hidden: many times faster, nearly the same.
    """
    (scale,) = set(extent.scale)
    device = function.basis.device
    occupied = OccupiedCells.of(function) if cull else None
    colour, opacity, depth = [], [], []
    for view in range(len(cameras)):
        origins, directions = (torch.from_numpy(rays).to(device) for rays in cameras.image_rays(view))
        seen = render_pixels(
            function, extent.to_field(origins), directions, samples=samples, occupied=occupied, background=background
        )
        colour.append((seen.colour[0].clamp(0, 1) * 255).round().to(torch.uint8).T)
        opacity.append(seen.opacity[0, :, 0])
        depth.append(seen.depth[0, :, 0] / scale)
    shape = (cameras.rows, cameras.columns)
    return Pictures(
        torch.stack(colour).unflatten(2, shape).cpu(),
        torch.stack(opacity).unflatten(1, shape).cpu(),
        torch.stack(depth).unflatten(1, shape).cpu(),
    )


@torch.no_grad()
def coloured_mesh(function: ImplicitFunction, extent: Extent, resolution: int) -> trimesh.Trimesh:
    """The surface where the density is `SURFACE`, with the colours seen when looking straight at each vertex."""
    from ddmi_modalities.geometry.extraction import extract_surface

    surface = extract_surface(density_of(function), extent=extent, resolution=resolution, level=SURFACE).mesh
    if len(surface.faces) == 0:
        return surface
    device = function.basis.device
    at = torch.from_numpy(np.asarray(surface.vertices, np.float32)).to(device)
    towards = -torch.from_numpy(np.array(surface.vertex_normals, np.float32)).to(device)
    colours = function(extent.to_field(at)[None], towards[None])[0, :, :3]
    surface.visual = trimesh.visual.ColorVisuals(surface, vertex_colors=(colours * 255).round().byte().cpu().numpy())
    return surface


def depth_picture(
    depth: Float[Tensor, "rows columns"], opacity: Float[Tensor, "rows columns"], near: float, far: float
) -> UInt8[Tensor, "3 rows columns"]:
    """Near is dark, far is light grey, what stops less than half of the light is white."""
    shade = ((depth - near) / (far - near)).clamp(0, 1) * 0.8
    shade = torch.where(opacity >= 0.5, shade, torch.ones_like(shade))
    return (shade * 255).round().to(torch.uint8).expand(3, -1, -1).contiguous()
