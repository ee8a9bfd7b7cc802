"""Which 2D planes span a domain, and which coordinate runs along which side of each plane."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class PlaneLayout:
    """The axes of a domain and the pairs of axes that its planes span.

    Convention: a plane named "xy" is a tensor (batch, channel, y, x). The first-named axis runs along the last
    dimension (columns), the second-named along the one before it (rows).

    Examples:
        >>> PlaneLayout("xyz", ("xy", "yz", "xz")).plane_axes
        ((0, 1), (1, 2), (0, 2))
    """

    axes: str
    """One letter an axis, in the order of the coordinate's components."""
    planes: tuple[str, ...]
    """Two different letters of `axes` for each plane."""
    align_corners: bool = False
    """False: values sit at cell centres. True: the first and last value of a plane sit at -1 and 1."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "planes", tuple(self.planes))
        if len(set(self.axes)) != len(self.axes) or len(self.axes) < 2:
            raise ValueError(f"PlaneLayout: axes {self.axes!r} must be at least two different letters, such as 'xyz'")
        if not self.planes:
            raise ValueError(f"PlaneLayout: no planes for the axes {self.axes!r}; name at least one, such as 'xy'")
        for plane in self.planes:
            if len(plane) != 2 or plane[0] == plane[1] or not set(plane) <= set(self.axes):
                raise ValueError(
                    f"PlaneLayout: plane {plane!r} must name two different axes of {self.axes!r}, such as "
                    f"{self.axes[:2]!r}"
                )
        unused = set(self.axes) - set("".join(self.planes))
        if unused:
            raise ValueError(
                f"PlaneLayout: no plane of {self.planes} depends on {sorted(unused)}; the function would be constant "
                "along it: add a plane or drop the axis"
            )

    @classmethod
    def image(cls) -> PlaneLayout:
        """One plane: x to the right, y down."""
        return cls("xy", ("xy",))

    @classmethod
    def triplane(cls, *, align_corners: bool = False) -> PlaneLayout:
        """Three planes of a volume, for shapes and scenes."""
        return cls("xyz", ("xy", "yz", "xz"), align_corners)

    @classmethod
    def video(cls, *, align_corners: bool = False) -> PlaneLayout:
        """Three planes of space and time."""
        return cls("xyt", ("xy", "yt", "xt"), align_corners)

    @property
    def plane_axes(self) -> tuple[tuple[int, int], ...]:
        """For each plane, the positions in `axes` of its (column, row) axis."""
        return tuple((self.axes.index(plane[0]), self.axes.index(plane[1])) for plane in self.planes)

    def plane_sizes(self, size: dict[str, int]) -> tuple[tuple[int, int], ...]:
        """(rows, columns) of each plane when the axis `a` has `size[a]` cells."""
        missing = set(self.axes) - set(size)
        if missing:
            raise ValueError(f"plane_sizes: no size given for {sorted(missing)}; have {size}")
        return tuple((size[plane[1]], size[plane[0]]) for plane in self.planes)

    def project(self, coords: Float[Tensor, "batch query axis"]) -> tuple[Float[Tensor, "batch query 2"], ...]:
        """Orthogonal projection of points onto every plane, as (column, row) coordinates in [-1, 1]."""
        if coords.ndim != 3 or coords.shape[-1] != len(self.axes):
            raise ValueError(
                f"coordinates must have the shape (batch, query, {len(self.axes)}) in the order {self.axes!r}, "
                f"got {tuple(coords.shape)}"
            )
        parts = coords.unbind(-1)  # a list of places as an index would be sent to the device each time
        return tuple(torch.stack((parts[column], parts[row]), dim=-1) for column, row in self.plane_axes)
