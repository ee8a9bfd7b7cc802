"""Grids of latitude and longitude: their points as unit vectors, the areas of their cells, and values between them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

Degrees = Float64[np.ndarray, "..."]


def unit_vectors(latitude: Degrees, longitude: Degrees) -> Float[Tensor, "... 3"]:
    """Points of the unit sphere: x towards (0, 0), y towards (0, 90 E), z towards the north pole.

    Longitudes that differ by whole turns give the same vector, bit for bit, and so do all longitudes of a pole.

    Args:
        latitude, longitude: In degrees, of shapes that broadcast.
    """
    north, east = np.broadcast_arrays(latitude, np.mod(longitude, 360.0))
    away = np.where(np.abs(north) >= 90, 0.0, np.cos(np.radians(north)))
    points = (away * np.cos(np.radians(east)), away * np.sin(np.radians(east)), np.sin(np.radians(north)))
    return torch.from_numpy(np.stack(points, axis=-1) + 0.0).float()  # + 0.0: no negative zeros


@dataclass(frozen=True, eq=False)
class SphereGrid:
    """A grid that goes once round the sphere; values on it are (..., latitude, longitude)."""

    latitude: Float64[np.ndarray, " rows"]
    """Degrees north of the rows, descending from at most 90: the first row is the northernmost."""
    longitude: Float64[np.ndarray, " columns"]
    """Degrees east of the columns, ascending in equal steps, one turn in all."""

    @classmethod
    def even(cls, rows: int) -> SphereGrid:
        """Cells of equal angles, twice as many columns as rows, from 180 W to 180 E; points are their centres."""
        step = 180 / rows
        return cls(90 - step * (np.arange(rows) + 0.5), -180 + step * (np.arange(2 * rows) + 0.5))

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.latitude), len(self.longitude)

    @cached_property
    def points(self) -> Float[Tensor, "rows columns 3"]:
        """Unit vectors."""
        return unit_vectors(self.latitude[:, None], self.longitude[None, :])

    @cached_property
    def row_shares(self) -> Float64[np.ndarray, " rows"]:
        """The part of the sphere's area that each row covers; cells end half way to the next latitude, or at a pole.

        For rows of equal steps this is proportional to cos(latitude), to second order in the step.
        """
        between = (self.latitude[1:] + self.latitude[:-1]) / 2
        heights = np.sin(np.radians(np.concatenate(([90.0], between, [-90.0]))))
        return (heights[:-1] - heights[1:]) / 2

    @cached_property
    def areas(self) -> Float[Tensor, "rows columns"]:
        """The part of the sphere's area that each cell covers; they sum to 1."""
        rows, columns = self.shape
        return torch.from_numpy(self.row_shares / columns).float()[:, None].expand(rows, columns)

    def mean(self, values: Float[Tensor, "*shape rows columns"]) -> Float[Tensor, "*shape"]:
        """The mean over the sphere."""
        return (values * self.areas.to(values)).sum((-2, -1))

    def even_cells(self, places: Float[Tensor, "*shape 2"]) -> tuple[Tensor, Tensor]:
        """Rows and columns of the cells at places of the unit square, so that uniform places are uniform by area."""
        ends = torch.from_numpy(np.cumsum(self.row_shares)[:-1]).to(places)
        rows = torch.searchsorted(ends, places[..., 0].contiguous(), right=True)
        return rows, (places[..., 1] * len(self.longitude)).long().clamp(max=len(self.longitude) - 1)

    def every(self, step: int) -> SphereGrid:
        """The coarser grid of every so many-th row and column.  ValueError where that goes not once round."""
        if len(self.longitude) % step or (len(self.latitude) - 1) // step < 1:
            raise ValueError(
                f"sphere grid: {len(self.longitude)} columns and {len(self.latitude)} rows have no grid of every {step}"
                "-th; take a step that divides the columns"
            )
        return SphereGrid(self.latitude[::step], self.longitude[::step])

    def interpolate(
        self, values: Float[Tensor, "*shape rows columns"], latitude: Degrees, longitude: Degrees
    ) -> Float[Tensor, "..."]:
        """Values between the points of the grid, bilinear in degrees; beyond the last row that row's.

        Args:
            values: On the grid.
            latitude, longitude: Where, in degrees, of one shape, which replaces the last two dimensions.
        """
        rows, columns = self.shape
        place = np.interp(-latitude, -self.latitude, np.arange(rows))
        step = 360 / columns
        turn = np.mod(longitude - self.longitude[0], 360.0) / step
        top, left = np.minimum(np.floor(place).astype(int), max(rows - 2, 0)), np.floor(turn).astype(int) % columns
        down, right = torch.from_numpy(place - top).to(values), torch.from_numpy(turn - np.floor(turn)).to(values)
        low, after = np.minimum(top + 1, rows - 1), (left + 1) % columns
        north = torch.lerp(values[..., top, left], values[..., top, after], right)
        south = torch.lerp(values[..., low, left], values[..., low, after], right)
        return torch.lerp(north, south, down)


def globe(
    size: int, latitude: float, longitude: float
) -> tuple[Float64[np.ndarray, "size size"], Float64[np.ndarray, "size size"]]:
    """Latitude and longitude in degrees seen by each pixel of a globe from far away (orthographic projection).

    NaN beside the globe.  Snyder 1987, "Map projections", eqs. (20-14) to (20-18).

    Args:
        size: Pixels a side.
        latitude, longitude: Of the point in the middle, in degrees; north is up.
    """
    line = (np.arange(size) + 0.5) * (2 / size) - 1
    right, up = np.meshgrid(line * 1.02, -line * 1.02)
    squared = right**2 + up**2
    towards = np.sqrt(np.clip(1 - squared, 0, None))
    tilt = np.radians(latitude)
    z = up * np.cos(tilt) + towards * np.sin(tilt)
    ahead = towards * np.cos(tilt) - up * np.sin(tilt)
    north = np.degrees(np.arcsin(np.clip(z, -1, 1)))
    east = longitude + np.degrees(np.arctan2(right, ahead))
    beside = squared > 1
    return np.where(beside, np.nan, north), np.where(beside, np.nan, east)
