"""Attributes of furniture read off its occupancy alone, so that a generated shape can be held against its prompt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32
from scipy import ndimage

from ddmi_modalities.geometry.furniture_attributes import THICK, Back, FurnitureAttributes, Kind, Top

SMALLEST = 48
"""Cells a side: legs 0.03 thick are narrower than 1.5 cells of a coarser grid and may fall between two cells."""
SLAB = 0.6
"""Share of the largest slice's area from which on a horizontal slice is of a top, or perhaps of a foot or shelf."""
ROUND = 0.89
"""Share of its bounding box that a slice fills: pi / 4 for a disc, 1 for a rectangle."""
CHIP = 0.01
"""Share of the largest connected piece's volume below which a piece is a chip in the air, and left out."""
EIGHT = np.ones((3, 3), dtype=int)
"""Cells that touch at a corner are connected: a thin round leg may be a diagonal of cells."""


@dataclass(frozen=True, kw_only=True)
class MeasuredFurniture:
    """What a volume looks like; None where it cannot be told, and everywhere for an empty volume."""

    kind: Kind | None = None
    """"chair" where something rises above the top by a tenth of the height."""
    top: Top | None = None
    legs: int | None = None
    """Whatever was counted, also 2 or 7; a pedestal has 1."""
    thick: bool | None = None
    arms: bool | None = None
    back: Back | None = None
    layers: int | None = None

    def agreement(self, wanted: FurnitureAttributes) -> dict[str, bool]:
        """For each attribute, whether it is as `wanted`."""
        return {name: getattr(self, name) == value for name, value in vars(wanted).items()}


def measure(occupied: Bool[np.ndarray, "z y x"]) -> MeasuredFurniture:
    """The attributes of the shape in a volume.

    Args:
        occupied: Whether the centre of each cell of the unit cube is inside; axes z, y, x as `ImplicitFunction.grid`
            has them, y up, the front to +z.

    The top is the highest run of horizontal slices with at least `SLAB` of the largest slice's area.  Legs are the
    connected pieces of slices below it, the most frequent number; shelves and feet are slices of a much larger area.
    Of 400 items at 64 cells a side, all agree in everything but `thick`, and 95 % in that, since legs may be as thick
    as the boundary `THICK`.

    Raises:
        ValueError: The volume is no cube or has fewer than `SMALLEST` cells a side.
    """
    if len(set(occupied.shape)) != 1 or len(occupied) < SMALLEST:
        raise ValueError(
            f"measure: wanted a cube of at least {SMALLEST} cells a side, got {occupied.shape}; sample it more finely"
        )
    slices = _without_chips(occupied).transpose(1, 0, 2)  # y, then z, x
    area = slices.sum((1, 2))
    (heights,) = np.nonzero(area)
    if not len(heights):
        return MeasuredFurniture()
    floor, ceiling = int(heights[0]), int(heights[-1]) + 1
    wide = area >= SLAB * area.max()
    upper = int(np.nonzero(wide)[0][-1]) + 1  # the slice above the top
    lower = upper
    while lower > floor and wide[lower - 1]:
        lower -= 1
    plate = slices[lower + (upper - lower) // 3]  # legs end, and backs begin, in the other thirds
    kind: Kind = "chair" if ceiling - upper > 0.1 * (ceiling - floor) else "table"
    legs, layers, side = _below(slices[floor:lower])
    back, arms = _above(slices[upper:ceiling], plate) if kind == "chair" else ("none", False)
    return MeasuredFurniture(
        kind=kind,
        top=_outline(plate),
        legs=legs,
        thick=None if side is None else side / len(occupied) >= THICK,
        arms=arms,
        back=back,
        layers=layers,
    )


def _without_chips(occupied: Bool[np.ndarray, "n n n"]) -> Bool[np.ndarray, "n n n"]:
    labels, count = ndimage.label(occupied, structure=np.ones((3, 3, 3), dtype=int))
    if count < 2:
        return occupied
    volumes = np.bincount(labels.ravel())
    volumes[0] = 0
    return (volumes >= CHIP * volumes.max())[labels] & occupied


def _outline(plate: Bool[np.ndarray, "z x"]) -> Top:
    rows, columns = np.nonzero(plate.any(1))[0], np.nonzero(plate.any(0))[0]
    box = (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
    return "round" if plate.sum() / box < ROUND else "square"


def _pieces(plane: Bool[np.ndarray, "z x"]) -> int:
    return int(ndimage.label(plane, structure=EIGHT)[1])


def _below(slices: Bool[np.ndarray, "y z x"]) -> tuple[int | None, int | None, float | None]:
    """Legs, shelves, and the side of a leg in cells."""
    filled = [plane for plane in slices if plane.any()]
    if not filled:
        return None, None, None
    areas = np.array([int(plane.sum()) for plane in filled])
    counts = [_pieces(plane) for plane in filled]
    clear = np.median(areas[len(areas) // 4 :])  # a foot is in the lowest quarter, a shelf is a small part of the rest
    slim = areas < 1.8 * clear
    legs = _most_frequent([count for count, thin in zip(counts, slim, strict=True) if thin] or counts)
    runs, number = ndimage.label(~slim)
    layers = sum(1 for run in range(1, number + 1) if _is_shelf(np.nonzero(runs == run)[0], len(areas)))
    bare = [plane for plane, count, thin in zip(filled, counts, slim, strict=True) if thin and count == legs]
    return legs, layers, float(np.median([_side(plane) for plane in bare])) if bare else None


def _side(plane: Bool[np.ndarray, "z x"]) -> float:
    """The mean side of the pieces' bounding boxes in cells; of one piece, a round column, the diameter by its area."""
    labels, count = ndimage.label(plane, structure=EIGHT)
    if count == 1:
        return float(np.sqrt(4 / np.pi * plane.sum()))
    return float(np.mean([part.stop - part.start for box in ndimage.find_objects(labels) for part in box]))


def _is_shelf(run: np.ndarray, height: int) -> bool:
    """Whether slices are a shelf: neither a foot at the bottom nor the rounded edge of the top."""
    return bool(run[0] > 0 and run[-1] < height - 1)


def _above(slices: Bool[np.ndarray, "y z x"], seat: Bool[np.ndarray, "z x"]) -> tuple[Back | None, bool]:
    """The back, by the pieces of its slices, and whether something stands on the front half of the seat."""
    rows = np.nonzero(seat.any(1))[0]
    front = (rows[0] + rows[-1]) // 2 + 1
    arms = bool((slices[:, front:].any((1, 2))).mean() > 0.15)
    # Above the arms, which join the outer slats, and below the rail, which joins all
    start, stop = len(slices) * 0.6, len(slices) * 0.72
    pieces = [_pieces(plane[:front]) for plane in slices[int(start) : max(int(stop), int(start) + 1)] if plane.any()]
    if not pieces:
        return None, arms
    return ("solid" if _most_frequent(pieces) == 1 else "slatted"), arms


def _most_frequent(values: Sequence[int]) -> int:
    return Counter(values).most_common(1)[0][0]


def cell_centres(n: int) -> Float32[np.ndarray, "cell 3"]:
    """World coordinates (x, y, z) of the n^3 cells of a volume, in the order of its axes z, y, x."""
    at = ((np.arange(n, dtype=np.float32) + np.float32(0.5)) / n) - np.float32(0.5)
    z, y, x = np.meshgrid(at, at, at, indexing="ij")
    return np.stack([x, y, z], axis=-1).reshape(-1, 3)
