"""Coloured surface points from posed pictures alone: the visual hull (Laurentini 1994), carved from a cube of voxels.

Hollows that no silhouette shows stay filled: a hull is never smaller than its object, but for pixels wrongly masked.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int
from scipy import ndimage

from ddmi_modalities.geometry.cameras import Cameras
from ddmi_modalities.nerf.items import Views

BEST = 3
"""Views whose colours a point gets, by how straight they look at it."""
SEEN = 0.5
"""Share of the views that a voxel must be in the picture of."""


@dataclass(frozen=True, eq=False)
class Hull:
    """Voxels at the surface."""

    centres: Float64[np.ndarray, "voxel 3"]
    colours: Float32[np.ndarray, "voxel 3"]
    """RGB in [0, 1]."""
    spacing: float
    """World units between neighbouring voxels."""

    def points(self, count: int, rng: np.random.Generator) -> Float32[np.ndarray, "count 6"]:
        """`count` points, each anywhere in a voxel, as evenly over the voxels as can be."""
        if count < 1:
            raise ValueError(f"visual hull: wanted at least 1 point, got {count}; ask for more")
        turns = -(-count // len(self.centres))
        chosen = np.concatenate([rng.permutation(len(self.centres)) for _ in range(turns)])[:count]
        places = self.centres[chosen] + (rng.random((count, 3)) - 0.5) * self.spacing
        return np.concatenate([places.astype(np.float32), self.colours[chosen]], axis=1)


def visual_hull(views: Views, *, half: float = 0.5, resolution: int = 96, misses: float = 0.02) -> Hull:
    """The hull of the object within the cube around the world's origin.

    Args:
        views: Pictures whose masks are the object's silhouettes, the more sides the better.
        half: Half the side of the cube in world units.
        resolution: Voxels a side.
        misses: Share of the views seeing a voxel that may have it outside their mask, as where white paint was taken
            for background.

    Raises:
        ValueError: A number is out of range, or nothing is left: the masks are empty, or the object is not in the cube.
    """
    if not (half > 0 and resolution >= 8 and 0 <= misses < 1):
        raise ValueError(
            f"visual hull: wanted half above 0, a resolution of at least 8 and misses from 0 to below 1, got {half}, "
            f"{resolution} and {misses}"
        )
    occupied = _carve(views, half, resolution, misses)
    if not occupied.any():
        raise ValueError(
            f"visual hull: nothing is left of the cube of half side {half} round the world's origin after {len(views)} "
            "masks; check the masks, or scale the scene so that the object is in that cube"
        )
    shell = occupied & ~ndimage.binary_erosion(occupied)  # what lies at the cube's border is surface, too
    spacing = 2 * half / resolution
    cells = np.argwhere(shell)
    centres = (cells + 0.5) * spacing - half
    soft = ndimage.gaussian_filter(occupied.astype(np.float32), 1.5)
    slopes = np.stack([ndimage.sobel(soft, axis)[tuple(cells.T)] for axis in range(3)], axis=1)
    normals = -slopes / np.maximum(np.linalg.norm(slopes, axis=1, keepdims=True), 1e-12)
    return Hull(centres, _colours(views, centres, normals, spacing), spacing)


def _carve(views: Views, half: float, resolution: int, misses: float) -> Bool[np.ndarray, "x y z"]:
    """Which voxels are in the object, by their centres."""
    line = (np.arange(resolution) + 0.5) * (2 * half / resolution) - half
    cells = np.arange(resolution**3)
    seen, missed = np.zeros((2, resolution**3), np.int32)
    allowed = int(misses * len(views))
    for view in range(len(views)):
        x, y, z = np.unravel_index(cells, (resolution,) * 3)
        at, there = _pixels(views.cameras[view : view + 1], np.stack([line[x], line[y], line[z]], axis=1))
        outside = np.zeros(len(cells), bool)
        outside[there] = ~views.masks[view][at[there, 1], at[there, 0]]
        seen[cells[there]] += 1
        missed[cells[outside]] += 1
        cells = cells[missed[cells] <= allowed]
    kept = cells[(seen[cells] >= SEEN * len(views)) & (missed[cells] <= misses * seen[cells])]
    occupied = np.zeros(resolution**3, bool)
    occupied[kept] = True
    return occupied.reshape((resolution,) * 3)


def _pixels(
    camera: Cameras, points: Float64[np.ndarray, "n 3"]
) -> tuple[Int[np.ndarray, "n 2"], Bool[np.ndarray, " n"]]:
    """Column and row of points in a camera's picture, and whether they are in it."""
    pixels, depth = camera.project(points)
    at = np.floor(np.clip(pixels[0], -1, 2**20)).astype(np.int64)
    size = np.array([camera.columns, camera.rows])
    return at, (depth[0] > 0) & (at >= 0).all(axis=1) & (at < size).all(axis=1)


def _colours(
    views: Views, centres: Float64[np.ndarray, "n 3"], normals: Float[np.ndarray, "n 3"], spacing: float
) -> Float32[np.ndarray, "n 3"]:
    """The mean of the `BEST` views by the cosine of the angle at which they see each point, of those that see it.

    A point is hidden in a view where another one is nearer by more than two voxels; pixels at the edge of the mask,
    whose colour is half background, are taken only where there is nothing else.
    """
    weights = np.zeros((len(views), len(centres)), np.float32)
    colours = np.zeros((len(views), len(centres), 3), np.float32)
    for view in range(len(views)):
        camera = views.cameras[view : view + 1]
        at, there = _pixels(camera, centres)
        mask = views.masks[view]
        inner = ndimage.binary_erosion(mask, border_value=1)
        rays = centres - camera.positions[0]
        distance = np.linalg.norm(rays, axis=1)
        column, row = at[there].T
        # a voxel may be wider than a pixel: look for nearer ones in blocks of the picture as wide as a voxel
        block = max(1, int(np.ceil(spacing * camera.focal[0].max() / distance.min())))
        nearest = np.full((mask.shape[0] // block + 1, mask.shape[1] // block + 1), np.inf)
        np.minimum.at(nearest, (row // block, column // block), distance[there])
        visible = distance[there] <= nearest[row // block, column // block] + 2 * spacing
        facing = np.clip(-(normals[there] * rays[there]).sum(1) / distance[there], 0.02, None)
        trust = np.where(inner[row, column], 1.0, 0.02) * mask[row, column]
        weights[view, there] = np.where(visible, facing, 1e-3 * facing) * trust
        colours[view, there] = views.images[view][row, column].astype(np.float32) / 255
    best = np.argpartition(weights, -min(BEST, len(views)), axis=0)[-min(BEST, len(views)) :]
    chosen = np.take_along_axis(weights, best, axis=0)[..., None]
    total = (np.take_along_axis(colours, best[..., None], axis=0) * chosen).sum(0)
    return (total / np.maximum(chosen.sum(0), 1e-12)).astype(np.float32)
