"""One moving drawing: its colour and opacity at any point of space and time, averaged over a pixel."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ddmi_modalities.drawings.raster_cache import Raster
from ddmi_modalities.video.data.motion import Motion

SMALLEST_PART = 0.5
"""Of the drawing's square that counts as drawn at least: a dot shall not be enlarged to fill the frame."""


Place = tuple[float, float, float]
"""(x, y, side) of what is drawn: its centre and its longer side, in sides of the raster."""


def place_of(raster: Raster) -> Place:
    """Where the drawing is in its raster.  Take one size of raster: others differ by fractions of a cell."""
    drawn = raster[..., 3] > 127
    rows, columns = np.flatnonzero(drawn.any(1)), np.flatnonzero(drawn.any(0))
    if len(rows) == 0:
        return 0.5, 0.5, 1.0
    ends = [(int(line[0]), int(line[-1]) + 1) for line in (columns, rows)]
    x, y = ((first + last) / 2 / len(drawn) for first, last in ends)
    return x, y, max(SMALLEST_PART, *((last - first) / len(drawn) for first, last in ends))


@dataclass(frozen=True, eq=False)
class MovingDrawing:
    """A raster that follows a motion."""

    raster: Raster
    place: Place
    motion: Motion

    def colours(
        self,
        times: Float[Tensor, " time"],
        x: Float[Tensor, "#time columns"],
        y: Float[Tensor, "#time rows"],
        size: int,
    ) -> Float[Tensor, "4 time rows columns"]:
        """RGB times alpha, and alpha, in [0, 1], averaged over the pixels around every pair of x and y of each time.

        Points are in [0, 1]; a pixel is 1 / `size` wide.  The raster is brought to two cells a pixel by exact area
        averages and looked up at the centres of a pixel's quarters: together an average over the pixel's area.
        """
        middle_x, middle_y, part = self.place
        sides = self.motion.spans(times) / part  # of the drawing's square in the frame
        cells = min(len(self.raster), max(4, math.ceil(2 * size * self.motion.span / part)))
        plane = _resized(torch.from_numpy(np.asarray(self.raster)), cells)
        quarter = torch.tensor([-0.25, 0.25]) / size
        x, y = ((line[..., None] + quarter).flatten(1) for line in (x, y))
        # into the drawing's square, turned back and scaled to [-1, 1]
        angles, (to_x, to_y) = self.motion.angles(times), self.motion.centre(times)
        c, s = (2 * wave(angles) / sides for wave in (torch.cos, torch.sin))
        from_x = 2 * middle_x - 1 - c * to_x - s * to_y
        from_y = 2 * middle_y - 1 + s * to_x - c * to_y
        c, s, from_x, from_y = (one[:, None] for one in (c, s, from_x, from_y))
        at = torch.empty(len(times), y.shape[1], x.shape[1], 2)
        torch.add((c * x + from_x)[:, None], (s * y)[..., None], out=at[..., 0])
        torch.add((from_y - s * x)[:, None], (c * y)[..., None], out=at[..., 1])
        found = F.grid_sample(plane[None], at.flatten(1, 2)[None], padding_mode="zeros", align_corners=False)
        return F.avg_pool2d(found.unflatten(3, at.shape[1:3])[0], 2).clamp_(0, 1)


def _resized(raster: Tensor, cells: int) -> Float[Tensor, "4 cells cells"]:
    """The raster in `cells` x `cells` area averages, sharpened as much as bilinear look-up will blur it.

    At a random place, linear interpolation blurs by a variance of 1/6 cell^2; [-1, 14, -1] / 12 takes as much away.
    """
    side = raster.shape[0]
    edges = torch.linspace(0, side, cells + 1)
    pixels = torch.arange(side)
    overlap = torch.minimum(edges[1:, None], pixels + 1) - torch.maximum(edges[:-1, None], pixels)
    average = overlap.clamp(min=0) * (cells / side)
    padded = F.pad(average, (0, 0, 1, 1))
    sharp = (14 * average - padded[:-2] - padded[2:]) / 12
    columns = sharp @ (raster.float() / 255).flatten(1)
    planes = columns.unflatten(1, (side, 4)).permute(2, 0, 1)
    return planes @ sharp.T
