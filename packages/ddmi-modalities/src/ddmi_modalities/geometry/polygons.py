"""Faces of any number of corners as triangles that cover the same surface."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import manifold3d
import numpy as np
from jaxtyping import Float64, Int

FLAT = 1e-9
"""A corner turns the wrong way where the sine of its angle, times the face's size squared, is below minus this."""


def triangles_of(vertices: Float64[np.ndarray, "vertex 3"], faces: Iterable[Any]) -> Int[np.ndarray, "face 3"]:
    """Each face, numbers of its corners in order: a fan from the first of a convex one, ears of a concave one.

    Raises ValueError that names a face with fewer than three corners, or one that is not among the vertices.
    """
    triangles: list[Int[np.ndarray, "face 3"]] = []
    for number, face in enumerate(faces):
        corners = np.asarray(face, np.int64)
        if len(corners) < 3 or corners.min() < 0 or corners.max() >= len(vertices):
            raise ValueError(
                f"face {number} has the corners {corners.tolist()}; wanted three or more of {len(vertices)} vertices"
            )
        triangles.append(corners[split(vertices[corners])])
    return np.concatenate(triangles) if triangles else np.zeros((0, 3), np.int64)


def split(corners: Float64[np.ndarray, "corner 3"]) -> Int[np.ndarray, "face 3"]:
    """Numbers of a polygon's corners, three a triangle.  It should be flat, and may be a little bent."""
    count = len(corners)
    fan = np.stack([np.zeros(count - 2, np.int64), np.arange(1, count - 1), np.arange(2, count)], axis=1)
    if count == 3:
        return fan
    local = corners - corners.mean(axis=0)
    normal = np.cross(local, np.roll(local, -1, axis=0)).sum(axis=0)  # Newell's: twice the area along the normal
    length = np.linalg.norm(normal)
    ahead = np.roll(local, -1, axis=0) - local
    turns = np.cross(ahead, np.roll(ahead, -1, axis=0)) @ normal / max(length, 1e-300)
    if length == 0 or (turns >= -FLAT * length).all():
        return fan
    normal /= length
    across = np.cross(normal, np.eye(3)[np.abs(normal).argmin()])
    across /= np.linalg.norm(across)
    flat = np.stack([local @ across, local @ np.cross(normal, across)], axis=1)  # counter-clockwise, as is wanted
    return np.asarray(manifold3d.triangulate([flat]), np.int64)
