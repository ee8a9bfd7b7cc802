"""What a shape data set hands out: a solid that can be asked for surface points and for occupancy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
import trimesh
from jaxtyping import Bool, Float32

from ddmi_modalities.extent import FIELD_HALF
from ddmi_modalities.geometry.solids import check_count

MOST_AMBIGUOUS = 0.05
"""Share of the box of a mesh that is not closed in which one may disagree on what is inside."""


@runtime_checkable
class ShapeItem(Protocol):
    """One solid in the unit cube [-0.5, 0.5]^3 of the world, y up.  Lazy: nothing is read before it is asked for."""

    @property
    def name(self) -> str:
        """Unique in its data set."""

    @property
    def captions(self) -> tuple[str, ...]:
        """English descriptions, the fullest first; empty where nobody wrote any."""

    @property
    def label(self) -> str | None:
        """The name of its class, "chair"; None where there are no classes."""

    def surface(
        self, count: int, rng: np.random.Generator
    ) -> tuple[Float32[np.ndarray, "count 3"], Float32[np.ndarray, "count 3"]]:
        """Points spread evenly over the surface, in world units, and the outward unit normals there."""

    def cloud(self, count: int, rng: np.random.Generator) -> Float32[np.ndarray, "count 3"]:
        """The points of `surface` alone, by the same draws."""

    def points(
        self, count: int, rng: np.random.Generator, near: float | None, spread: float = 0.03
    ) -> tuple[Float32[np.ndarray, "count 3"], Bool[np.ndarray, " count"]]:
        """Points of the world and whether they are inside.

        Args:
            count: How many, at least 1.
            rng: Where all randomness comes from.
            near: The share of points close to the surface, in [0, 1]; they come first.  The others are uniform in the
                cube that field coordinates cover.  None: as stored, which for data that stores no points means uniform
                in the unit cube.
            spread: How close, see `draw_points`.

        Raises:
            ValueError: `count`, `near` or `spread` is out of range, or this data has no points near the surface.
        """

    def mesh(self) -> trimesh.Trimesh:
        """Its closed surface.  Raises ValueError where the data holds none."""


def draw_points(
    surface: Callable[[int, np.random.Generator], tuple[Float32[np.ndarray, "near 3"], Float32[np.ndarray, "near 3"]]],
    inside: Callable[[Float32[np.ndarray, "count 3"]], Bool[np.ndarray, " count"]],
    count: int,
    rng: np.random.Generator,
    near: float | None,
    spread: float,
) -> tuple[Float32[np.ndarray, "count 3"], Bool[np.ndarray, " count"]]:
    """`ShapeItem.points` of a solid that answers for any point.

    Of the near points, which are surface points moved by normal noise, every second one has standard deviation
    `spread` (world units) and the others a quarter of it: the wide half covers thin parts from both sides, the narrow
    half says where exactly the surface is.  None leaves the cube of the field.
    """
    check_count(count)
    if near is None:
        uniform = rng.random((count, 3), dtype=np.float32) - np.float32(0.5)
        return uniform, inside(uniform)
    if not 0 <= near <= 1 or not spread > 0:
        raise ValueError(
            f"shape points: wanted a share near in [0, 1] and a spread above 0, got near {near} and spread {spread}; "
            "pass near=None (--modality.near None) for points as stored"
        )
    close = round(near * count)
    points = rng.random((count, 3), dtype=np.float32)
    points -= np.float32(0.5)
    points *= np.float32(2 * FIELD_HALF)
    if close:
        noise = rng.standard_normal((close, 3), dtype=np.float32)
        noise[::2] *= np.float32(spread)
        noise[1::2] *= np.float32(spread / 4)
        noise += surface(close, rng)[0]
        points[:close] = np.clip(noise, -FIELD_HALF, FIELD_HALF)
    return points, inside(points)
