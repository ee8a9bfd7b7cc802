"""Where a picture is taken from: a pinhole camera that looks at the centre of the world."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64


@dataclass(frozen=True, kw_only=True)
class Camera:
    """A square picture of the world's centre.

    The default cuts nothing off from any azimuth but the corners of a shape that fills the unit cube like a box (which
    needs a distance of 3.25).
    """

    azimuth: int | float = 35.0
    """Degrees about the y axis: 0 looks at the front (the camera is on +z), 90 is on +x."""
    elevation: int | float = 25.0
    """Degrees above the horizon, from -90 to 90."""
    distance: int | float = 2.9
    """From the centre, in world units."""
    field_of_view: int | float = 30.0
    """Degrees from the upper to the lower edge of the picture."""

    def __post_init__(self) -> None:
        if not -90 <= self.elevation <= 90:
            raise ValueError(f"Camera: elevation goes from -90 to 90 degrees, got {self.elevation}")
        if not (0 < self.field_of_view < 180 and self.distance > 0):
            raise ValueError(
                "Camera: wanted a positive distance and a field of view between 0 and 180 degrees, got "
                f"{self.distance} and {self.field_of_view}"
            )

    @property
    def to_world(self) -> Float64[np.ndarray, "4 4"]:
        """Camera-to-world matrix, OpenCV style: columns are x (right), y (down), z (forward) and the position."""
        turn, lift = math.radians(self.azimuth), math.radians(self.elevation)
        right = np.array([math.cos(turn), 0.0, -math.sin(turn)])
        forward = -np.array([math.sin(turn) * math.cos(lift), math.sin(lift), math.cos(turn) * math.cos(lift)])
        matrix = np.eye(4)
        matrix[:3] = np.stack([right, np.cross(forward, right), forward, -self.distance * forward], axis=1)
        return matrix

    def rays(self, size: int) -> Float64[np.ndarray, "size size 3"]:
        """Directions of unit length through the pixels' centres, (row, column, xyz) in the world."""
        line = ((np.arange(size) + 0.5) / size * 2 - 1) * math.tan(math.radians(self.field_of_view) / 2)
        rows, columns = np.meshgrid(line, line, indexing="ij")
        directions = np.stack([columns, rows, np.ones_like(rows)], axis=-1)
        directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
        return directions @ self.to_world[:3, :3].T
