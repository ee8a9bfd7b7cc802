"""Times of fields on the sphere as a data set, and which of them are held out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ddmi_modalities.datasets.splits import Split
from ddmi_modalities.geometry.sphere_grid import SphereGrid
from ddmi_modalities.sphere.data.fields import Fields


@dataclass(frozen=True, eq=False)
class SphereItem:
    """One time: values on a grid, in physical units."""

    name: str
    grid: SphereGrid
    values: Float[Tensor, "channel rows columns"]
    month: int | None
    """1 to 12, where it is known."""


class SphereTimes:
    """The times of a split: the last ones are held out as a block, because neighbours in time are alike.

    Args:
        fields: Of all times.
        split: Which.
        held_out: How many of the last times are held out.
        gap: How many before them are in no split.
    """

    def __init__(self, fields: Fields, split: Split, held_out: int, gap: int) -> None:
        count = len(fields.times)
        if held_out < 1:
            raise ValueError(f"sphere: at least 1 time has to be held out (--modality.held-out), got {held_out}")
        first = count - held_out
        if first - gap < 2:
            raise ValueError(
                f"sphere: {count} times are too few to hold the last {held_out} out, and {gap} before them; give more, "
                "or lower --modality.held-out and --modality.gap"
            )
        self.fields = fields
        self.times = range(first - gap) if split == "train" else range(first, count)

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, index: int) -> SphereItem:
        time = self.times[index]
        values = torch.from_numpy(self.fields.values[time])
        return SphereItem(self.fields.times[time], self.fields.grid, values, self.fields.months[time])

    def describe(self) -> str:
        """For the dry run."""
        rows, columns = self.fields.grid.shape
        names = ", ".join(f"{one.name} in {one.units}" for one in self.fields.channels)
        times = self.fields.times
        return f"{times[self.times[0]]} to {times[self.times[-1]]} on {rows} x {columns} points, {names}"
