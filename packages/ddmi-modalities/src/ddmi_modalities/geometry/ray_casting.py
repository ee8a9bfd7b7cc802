"""Which pixels a solid can cover, and pixels as means of the rays through them: what all casters of rays share."""

from __future__ import annotations

import numpy as np
import trimesh
from jaxtyping import Bool, Int, Shaped, UInt8
from trimesh.ray.ray_pyembree import RayMeshIntersector

from ddmi_modalities.geometry.cameras import Cameras
from ddmi_modalities.geometry.painted import Facets

SAMPLES = 2
"""Rays a side of each pixel."""

Pixels = tuple[Int[np.ndarray, " ray"], Int[np.ndarray, " ray"], Int[np.ndarray, " ray"]]
"""View, row and column of each."""


def render_facets(
    facets: Facets, cameras: Cameras
) -> tuple[UInt8[np.ndarray, "view rows columns 3"], Bool[np.ndarray, "view rows columns"]]:
    """RGB on white, the mean of `SAMPLES`^2 rays a pixel, and where the object covers at least half of them."""
    fine = oversampled(cameras)
    pixels = covered_pixels(facets.mesh, fine)
    hit = RayMeshIntersector(facets.mesh).intersects_first(*fine.rays(*pixels))
    palette = np.concatenate([facets.colours, np.full((1, 3), 255, np.uint8)])  # the last, number -1, is nothing
    shape = (len(fine), fine.rows, fine.columns)
    images = np.full((*shape, 3), 255, np.uint8)
    images[pixels] = palette[hit]
    covered = np.zeros(shape, bool)
    covered[pixels] = hit >= 0
    rays = SAMPLES**2
    return ((sums_over_rays(images) + rays // 2) // rays).astype(np.uint8), sums_over_rays(covered) * 2 >= rays


def oversampled(cameras: Cameras) -> Cameras:
    """The same views with `SAMPLES` times the pixels a side: a ray each."""
    return cameras.resized(cameras.rows * SAMPLES, cameras.columns * SAMPLES)


def sums_over_rays(
    fine: Shaped[np.ndarray, "view fine_rows fine_columns *channel"],
) -> Shaped[np.ndarray, "view rows columns *channel"]:
    """Over the rays of each pixel; slices are added since numpy's mean over such axes takes five times as long."""
    parts = [fine[:, row::SAMPLES, column::SAMPLES] for row in range(SAMPLES) for column in range(SAMPLES)]
    total: np.ndarray = parts[0].astype(np.float32 if fine.dtype.kind == "f" else np.int64)
    for part in parts[1:]:
        total += part
    return total


def covered_pixels(mesh: trimesh.Trimesh, cameras: Cameras) -> Pixels:
    """The pixels between the outermost projections of the corners of the mesh's bounding box: no others see it."""
    low, high = mesh.bounds
    corners = np.stack(np.meshgrid(*zip(low, high, strict=True)), axis=-1).reshape(-1, 3)
    pixels, depth = cameras.project(corners)
    # a box that reaches behind a camera has no bounds in its picture
    behind = depth.min(axis=1) <= 0
    pixels[behind] = 0
    inside = np.array([cameras.columns, cameras.rows])
    first = np.clip(np.floor(pixels.min(axis=1)), 0, inside).astype(int)
    last = np.clip(np.ceil(pixels.max(axis=1)), 0, inside).astype(int)
    first[behind], last[behind] = 0, inside
    parts = []
    for view, ((left, top), (right, bottom)) in enumerate(zip(first, last, strict=True)):
        grid = np.indices((bottom - top, right - left)).reshape(2, -1)
        parts.append(np.stack([np.full(grid.shape[1], view), grid[0] + top, grid[1] + left]))
    views, rows, columns = np.concatenate(parts, axis=1)
    return views, rows, columns
