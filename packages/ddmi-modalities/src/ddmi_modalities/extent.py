"""The map between the world and field coordinates: one affine map per axis."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

FIELD_HALF = 0.55
"""Half the side, in world units, of the cube that shapes and scenes are functions of: the unit cube and 10 %."""


@dataclass(frozen=True)
class Extent:
    """The box of the world that is [-1, 1] per axis in field coordinates.

    Functions take field coordinates only; metres, frames and normals are the business of the modality.  For a gradient,
    d value / d world = `scale` * d value / d field.
    """

    low: tuple[float, ...]
    """World coordinates of the corner that is -1 on every axis, in the order of the layout's axes."""
    high: tuple[float, ...]
    """World coordinates of the corner that is 1 on every axis."""

    def __post_init__(self) -> None:
        if len(self.low) != len(self.high) or not self.low:
            raise ValueError(
                f"Extent: low has {len(self.low)} axes and high has {len(self.high)}; give both one number per axis"
            )
        # written so that a NaN is refused, too
        if not all(low < high for low, high in zip(self.low, self.high, strict=True)):
            raise ValueError(
                f"Extent: low {self.low} must lie below high {self.high} on every axis; swap or widen them"
            )
        if not all(abs(bound) < float("inf") for bound in (*self.low, *self.high)):
            raise ValueError(f"Extent: the bounds must be finite, got low {self.low} and high {self.high}")

    @classmethod
    def cube(cls, half: float = FIELD_HALF, axes: int = 3) -> Extent:
        """[-half, half] on each of `axes` axes; the default is that of shapes and scenes."""
        return cls((-half,) * axes, (half,) * axes)

    @property
    def scale(self) -> tuple[float, ...]:
        """d field / d world per axis."""
        return tuple(2 / (high - low) for low, high in zip(self.low, self.high, strict=True))

    def to_field(self, world: Float[Tensor, "*shape axis"]) -> Float[Tensor, "*shape axis"]:
        """World to field coordinates; points outside of the box go beyond [-1, 1]."""
        centre, half = self._centre_and_half(world)
        return (world - centre) / half

    def to_world(self, field: Float[Tensor, "*shape axis"]) -> Float[Tensor, "*shape axis"]:
        """Field to world coordinates; the inverse of `to_field`."""
        centre, half = self._centre_and_half(field)
        return field * half + centre

    def _centre_and_half(self, like: Tensor) -> tuple[Tensor, Tensor]:
        if like.shape[-1:] != (len(self.low),):
            raise ValueError(
                f"Extent: wanted coordinates with {len(self.low)} axes in the last dimension, got {tuple(like.shape)}"
            )
        # the sums in float64: of a bound such as 0.55, float32 would keep seven digits before the subtraction
        low, high = (torch.tensor(bound, dtype=torch.float64) for bound in (self.low, self.high))
        return ((high + low) / 2).to(like), ((high - low) / 2).to(like)
