"""Regular grids of coordinates: values sit at cell centres."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

Crop = Sequence[tuple[int, int]]


def cell_centres(
    count: int, start: int = 0, stop: int | None = None, *, device: torch.device | str | None = None
) -> Float[Tensor, " cell"]:
    """Centres of the cells [start, stop) of `count` equal cells that tile [-1, 1]: `(2 i + 1) / count - 1`.

    Rounded once to float32; without `device` they are on torch's default device.

    Examples:
        >>> cell_centres(4).tolist()
        [-0.75, -0.25, 0.25, 0.75]
    """
    stop = count if stop is None else stop
    index = torch.arange(start, stop, device="cpu", dtype=torch.float64)  # not every device has float64
    return ((2 * index + 1) / count - 1).float().to(torch.get_default_device() if device is None else device)


def check_crop(size: Sequence[int], crop: Crop | None) -> tuple[tuple[int, int], ...]:
    """The crop as (start, stop) pairs, the whole grid where there is none. Raises ValueError outside the grid."""
    if any(int(count) != count or count < 1 for count in size):
        raise ValueError(f"grid: sizes must be positive whole numbers, got {tuple(size)}")
    if crop is None:
        return tuple((0, int(count)) for count in size)
    if len(crop) != len(size):
        raise ValueError(f"grid: crop has {len(crop)} (start, stop) pairs for {len(size)} dimensions of {tuple(size)}")
    for (start, stop), count in zip(crop, size, strict=True):
        if not 0 <= start <= stop <= count:
            raise ValueError(
                f"grid: crop ({start}, {stop}) is not within the {count} cells of its dimension; "
                "it counts cells of the full grid, in the grid's (reverse axis) order"
            )
    return tuple((int(start), int(stop)) for start, stop in crop)


def grid_coordinates(
    size: Sequence[int], crop: Crop | None = None, *, device: torch.device | str | None = None
) -> Float[Tensor, "1 query axis"]:
    """Coordinates of all cells of a grid, flattened with the last dimension of `size` fastest.

    `size` is in reverse axis order, as tensors are: an image's is (y, x), a volume's (z, y, x), and the coordinate's
    components come out as (x, y[, z]).  `crop` counts cells of the full grid in the order of `size`.

    Examples:
        >>> grid_coordinates((1, 2)).tolist()  # one row of two cells, as (x, y)
        [[[-0.5, 0.0], [0.5, 0.0]]]
    """
    window = check_crop(size, crop)
    lines = [cell_centres(count, start, stop, device=device) for count, (start, stop) in zip(size, window, strict=True)]
    mesh = torch.meshgrid(*lines, indexing="ij")
    return torch.stack([axis.reshape(-1) for axis in reversed(mesh)], dim=-1)[None]


def boxes(shape: Sequence[int], cells: int) -> Iterator[tuple[slice, ...]]:
    """Boxes of at most `cells` cells that tile `shape`, as close to cubes as the shape lets them be."""
    sides = [1] * len(shape)
    budget = cells
    for rank, dimension in enumerate(sorted(range(len(shape)), key=lambda d: shape[d])):
        root = max(1, math.floor(budget ** (1 / (len(shape) - rank)) + 1e-9))
        sides[dimension] = max(1, min(shape[dimension], root))
        budget //= sides[dimension]
    starts = [range(0, max(count, 1), side) for count, side in zip(shape, sides, strict=True)]
    for corner in itertools.product(*starts):
        yield tuple(
            slice(start, min(start + side, count)) for start, side, count in zip(corner, sides, shape, strict=True)
        )
