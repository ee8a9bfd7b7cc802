"""Rendering without gradients that reads out only what is not empty and not hidden."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from ddmi_fields import ImplicitFunction
from ddmi_modalities.nerf.read_out import density_of
from ddmi_modalities.nerf.render import packed
from ddmi_modalities.nerf.render.volume import (
    Rendered,
    box_interval,
    composite,
    render_rays,
    sample_edges,
)

CELLS = 48
"""A side of the density grid: at most a twentieth of the read-outs of a 128^2 view."""
EMPTY = 0.2
"""Density per field unit below which a cell is empty: all of the cube filled with it would hide a third of the light,
and a cell of it 0.8 %."""
COARSER = 3
"""Cells a side of those of the coarser grid, which are looked at first."""
TRACE = EMPTY / 20
"""Density there that tells of something near: a trained field falls off over more than a coarse cell."""
STOPPED = 2e-3
"""Transmittance below which a ray is not followed further: less than one step of 8 bits."""
SEGMENT = 16
"""Samples between two looks at whether a ray has been stopped."""
CHUNK = 4096
"""Rays at once: memory does not grow with the number of pixels."""


@dataclass(frozen=True, eq=False)
class OccupiedCells:
    """Which cells of the cube [-1, 1]^3 one function may be seen in."""

    cells: Bool[Tensor, "z y x"]

    @classmethod
    @torch.no_grad()
    def of(cls, function: ImplicitFunction, size: int = CELLS) -> OccupiedCells:
        """Density at the centres of size^3 cells; a cell counts when it or one of its 26 neighbours is not empty.

        Cells are looked at where a coarser grid finds a trace of density beside them: under half of them in furniture.
        Parts thinner than two cells of which no centre comes near may be missed.
        """
        if len(function) != 1:
            raise ValueError(f"OccupiedCells: one function at a time has a grid, got a batch of {len(function)}")
        field = density_of(function)
        coarse = F.max_pool3d(field.grid((-(-size // COARSER),) * 3), 3, stride=1, padding=1) > TRACE
        likely = torch.nonzero(F.interpolate(coarse.float(), (size, size, size))[0, 0])
        centres = (likely.flip(-1) + 0.5) * (2 / size) - 1
        density = coarse.new_zeros((1, 1, size, size, size), dtype=torch.float32)
        density[0, 0, *likely.T] = field(centres[None])[0, :, 0].float()
        return cls(F.max_pool3d(density, 3, stride=1, padding=1)[0, 0] > EMPTY)

    def __call__(self, points: Float[Tensor, "*shape 3"]) -> Bool[Tensor, "*shape"]:
        """Whether points in field coordinates lie in such cells; those outside of the cube count to its border."""
        size = self.cells.shape[0]
        x, y, z = ((points + 1) * (size / 2)).long().clamp_(0, size - 1).unbind(-1)
        return self.cells.reshape(-1)[(z * size + y) * size + x]


@torch.no_grad()
def render_pixels(
    function: ImplicitFunction,
    origins: Float[Tensor, "ray 3"],
    directions: Float[Tensor, "ray 3"],
    *,
    samples: int,
    occupied: OccupiedCells | None = None,
    background: Float[Tensor, "3"] | None = None,
) -> Rendered:
    """Any number of rays through one function, in chunks; the result has a batch of 1.

    With `occupied`, the same samples are taken, but those in empty cells and those behind what is opaque are not read
    out (on CUDA, with nerfacc's extension, those in empty cells).  Without it all are.
    """
    parts = []
    for start in range(0, max(len(origins), 1), CHUNK):
        rays = origins[None, start : start + CHUNK], directions[None, start : start + CHUNK]
        if occupied is None:
            parts.append(render_rays(function, *rays, samples=samples, background=background))
        elif packed.available(origins.device):
            parts.append(
                packed.render_packed(function, *rays, samples=samples, cells=occupied.cells, background=background)
            )
        else:
            parts.append(_culled(function, *rays, samples, occupied, background))
    return Rendered(
        torch.cat([part.colour for part in parts], dim=1),
        torch.cat([part.opacity for part in parts], dim=1),
        torch.cat([part.depth for part in parts], dim=1),
    )


def _culled(
    function: ImplicitFunction,
    origins: Tensor,
    directions: Tensor,
    samples: int,
    occupied: OccupiedCells,
    background: Tensor | None,
) -> Rendered:
    near, far = box_interval(origins, directions)
    edges, at = sample_edges(near, far, samples)
    points = origins[:, :, None] + at[..., None] * directions[:, :, None]
    wanted = occupied(points) & (far > near)
    colours, density = torch.zeros_like(points), torch.zeros_like(at)
    lengths = edges[..., 1:] - edges[..., :-1]
    depth = at.new_zeros(at.shape[:2])  # optical: -log of the transmittance
    limit = -torch.log(torch.tensor(STOPPED))
    for first in range(0, samples, SEGMENT):
        part = slice(first, first + SEGMENT)
        _, ray, sample = torch.nonzero(wanted[:, :, part] & (depth < limit)[..., None], as_tuple=True)
        if len(ray) == 0:
            continue
        sample = sample + first
        values = function(points[:, ray, sample], directions[:, ray]).float()
        colours[0, ray, sample], density[0, ray, sample] = values[0, :, :3], values[0, :, 3]
        depth = depth + (density[:, :, part] * lengths[:, :, part]).sum(-1)
    return composite(colours, density, edges, at, background)
