"""Points of files in any unit, in the unit cube around the origin, which functions are about."""

from __future__ import annotations

import logging

import numpy as np
from jaxtyping import Float, Float32

logger = logging.getLogger("ddmi")

SMALLEST = 0.2
"""Of a largest side: smaller things are of another unit, such as metres for what is held in a hand."""
SLACK = 1e-3
FAR = 1e6
"""World units from the origin at which nothing is: single precision would know nothing of the unit cube there."""
FARTHEST = 1e12
"""The same, in any unit."""


def in_unit_cube(points: Float[np.ndarray, "point channel"], name: str) -> Float32[np.ndarray, "point channel"]:
    """Points whose first three numbers are a place, where they are if they fit the cube [-1/2, 1/2]^3.

    What leaves it, or is a speck in it, is centred and its largest side scaled to 1, and that is said.
    Raises ValueError that names the file, where a number is not finite, or is no place.
    """
    if not (np.abs(points) <= FARTHEST).all():
        raise ValueError(f"{name}: holds points that are not finite, or beyond {FARTHEST:g}; remove them")
    low, high = points[:, :3].min(0), points[:, :3].max(0)
    side = float((high - low).max())
    if np.abs(points[:, :3]).max() <= 0.5 + SLACK and side >= SMALLEST:
        return points.astype(np.float32)
    logger.warning("%s: its largest side is %.4g; centred and scaled to 1", name, side)
    moved = points.copy()
    moved[:, :3] = (points[:, :3] - (low + high) / 2) / max(side, 1e-12)
    return moved.astype(np.float32)
