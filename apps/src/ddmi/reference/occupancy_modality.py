"""Shapes as the reference implementation sees them; what differs from ours is here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch

from ddmi.reference.occupancy import OCCUPANCY_EXTENT
from ddmi_fields import ImplicitFunction
from ddmi_modalities.extent import Extent
from ddmi_modalities.shape import ShapeModality
from ddmi_modalities.shape.view import ShapeRendering, ShapeRenderOptions


@dataclass(frozen=True, kw_only=True)
class OccupancyModality(ShapeModality):
    """Shapes: the box of its planes is 1e-5 wider than ours, and its surface is not where occupancy is one half."""

    threshold: float = 0.5
    """Probability of occupancy at the surface."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.threshold < 1:
            raise ValueError(f"OccupancyModality: threshold is a probability within (0, 1), got {self.threshold}")

    @cached_property
    def extent(self) -> Extent:
        return OCCUPANCY_EXTENT

    @torch.no_grad()
    def render(self, function: ImplicitFunction, options: ShapeRenderOptions) -> ShapeRendering:
        """Meshes of the surfaces where occupancy is `threshold`."""
        from ddmi_modalities.geometry.extraction import extract_surface

        level = math.log(self.threshold / (1 - self.threshold))
        found = (
            extract_surface(
                one, extent=self.extent, resolution=options.mesh_resolution, refine=options.refine, level=level
            )
            for one in function
        )
        return ShapeRendering(tuple(one.mesh for one in found), options)
