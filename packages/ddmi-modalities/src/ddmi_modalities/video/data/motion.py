"""How a drawing moves: its place, angle and size as smooth functions of time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

SLOWEST, FASTEST = 0.5 / 32, 2 / 32
"""Speed of the centre in frame sides a frame: half a pixel and two pixels at 32 x 32."""
SMALLEST, LARGEST = 0.4, 0.8
"""Span of the drawing as a part of the frame's side."""
LEAVES = 0.06
"""Part of the frame's side by which a drawing may leave it."""


@dataclass(frozen=True, kw_only=True)
class Motion:
    """The centre goes round an ellipse, while the drawing turns at a constant rate and breathes.

    Lengths are in frame sides, (0, 0) is the upper left corner, times are in frames, angles in radians, clockwise.
    """

    middle: tuple[float, float]
    """(x, y) of the ellipse's centre."""
    radii: tuple[float, float]
    """Half axes of the ellipse."""
    tilt: float
    """Angle of its first axis."""
    rate: float
    """Radians a frame round the ellipse; negative: anticlockwise."""
    phase: float
    """Where on the ellipse the drawing is at time 0."""
    angle: float
    """Of the drawing at time 0."""
    turn: float
    """Radians a frame that it turns."""
    span: float
    """The longer side of what is drawn, on average."""
    swell: float
    """Relative amplitude of its change."""
    swell_rate: float
    """Radians a frame of this change."""

    @classmethod
    def draw(cls, rng: np.random.Generator, largest: float = LARGEST) -> Motion:
        """A random motion within the limits of this module, of a drawing that spans at most `largest`."""
        swell = rng.uniform(0, 0.15)
        span = rng.uniform(SMALLEST / (1 - swell), largest / (1 + swell))
        room = (1 - span * (1 + swell)) / 2 + LEAVES
        longer = rng.uniform(0.6, 1) * room
        speed = rng.uniform(2 * SLOWEST, FASTEST)
        # the shorter axis is at least half of the longer, so that the slowest part is at least half as fast
        shorter = longer * rng.uniform(0.5, 1)
        x, y = 0.5 + rng.uniform(-1, 1, 2) * (room - longer)
        return cls(
            middle=(x, y),
            radii=(longer, shorter),
            tilt=rng.uniform(0, math.pi),
            rate=rng.choice((-1, 1)) * speed / longer,
            phase=rng.uniform(0, 2 * math.pi),
            angle=rng.uniform(-0.4, 0.4),
            turn=rng.uniform(-0.06, 0.06),
            span=span,
            swell=swell,
            swell_rate=rng.uniform(0.1, 0.3),
        )

    def centre(self, times: Float[Tensor, " time"]) -> tuple[Float[Tensor, " time"], Float[Tensor, " time"]]:
        """(x, y) at these times."""
        along = self.radii[0] * torch.cos(self.rate * times + self.phase)
        across = self.radii[1] * torch.sin(self.rate * times + self.phase)
        c, s = math.cos(self.tilt), math.sin(self.tilt)
        return self.middle[0] + c * along - s * across, self.middle[1] + s * along + c * across

    def angles(self, times: Float[Tensor, " time"]) -> Float[Tensor, " time"]:
        """The drawing's angle at these times."""
        return self.angle + self.turn * times

    def spans(self, times: Float[Tensor, " time"]) -> Float[Tensor, " time"]:
        """The drawing's span at these times."""
        return self.span * (1 + self.swell * torch.sin(self.swell_rate * times + self.phase))
