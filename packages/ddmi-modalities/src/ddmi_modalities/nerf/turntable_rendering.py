"""Pictures of coloured solids by casting rays, all views of a scene at once."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int, Shaped, UInt8
from trimesh.ray.ray_pyembree import RayMeshIntersector

from ddmi_modalities.nerf.cameras import Cameras
from ddmi_modalities.nerf.painted import Facets

SAMPLES = 2
"""Rays a side of each pixel."""


def render(
    facets: Facets, cameras: Cameras
) -> tuple[UInt8[np.ndarray, "view rows columns 3"], Bool[np.ndarray, "view rows columns"]]:
    """RGB on white, the mean of `SAMPLES`^2 rays a pixel, and where the object covers at least half of them.

    Only pixels that the object's bounding box can cover are cast.
    """
    fine = cameras.resized(cameras.rows * SAMPLES, cameras.columns * SAMPLES)
    views, rows, columns = _window(facets, fine)
    origins, directions = fine.rays(views, rows, columns)
    hit = RayMeshIntersector(facets.mesh).intersects_first(origins, directions)
    palette = np.concatenate([facets.colours, np.full((1, 3), 255, np.uint8)])  # the last, number -1, is nothing
    shape = (len(fine), fine.rows, fine.columns)
    images = np.full((*shape, 3), 255, np.uint8)
    images[views, rows, columns] = palette[hit]
    covered = np.zeros(shape, bool)
    covered[views, rows, columns] = hit >= 0
    rays = SAMPLES**2
    return ((_sums(images) + rays // 2) // rays).astype(np.uint8), _sums(covered) * 2 >= rays


def _sums(
    fine: Shaped[np.ndarray, "view fine_rows fine_columns *channel"],
) -> Int[np.ndarray, "view rows columns *channel"]:
    """Over the rays of each pixel; slices are added since numpy's mean over such axes takes five times as long."""
    parts = [fine[:, row::SAMPLES, column::SAMPLES] for row in range(SAMPLES) for column in range(SAMPLES)]
    total = parts[0].astype(np.int64)
    for part in parts[1:]:
        total += part
    return total


def _window(
    facets: Facets, cameras: Cameras
) -> tuple[Int[np.ndarray, " ray"], Int[np.ndarray, " ray"], Int[np.ndarray, " ray"]]:
    """View, row and column of the pixels between the outermost projections of the bounding box's corners."""
    low, high = facets.mesh.bounds
    corners = np.stack(np.meshgrid(*zip(low, high, strict=True)), axis=-1).reshape(-1, 3)
    pixels, depth = cameras.project(corners)
    inside = np.array([cameras.columns, cameras.rows])
    first = np.clip(np.floor(pixels.min(axis=1)), 0, inside).astype(int)
    last = np.clip(np.ceil(pixels.max(axis=1)), 0, inside).astype(int)
    # a box that reaches behind a camera has no bounds in its picture
    behind = depth.min(axis=1) <= 0
    first[behind], last[behind] = 0, inside
    parts = []
    for view, ((left, top), (right, bottom)) in enumerate(zip(first, last, strict=True)):
        grid = np.indices((bottom - top, right - left)).reshape(2, -1)
        parts.append(np.stack([np.full(grid.shape[1], view), grid[0] + top, grid[1] + left]))
    views, rows, columns = np.concatenate(parts, axis=1)
    return views, rows, columns
