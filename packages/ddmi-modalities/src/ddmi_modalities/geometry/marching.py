"""Marching cubes without holes: scikit-image's, guarded against ties and against its absolute epsilon."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Int
from skimage.measure import marching_cubes


def triangles(
    values: Float32[np.ndarray, "x y z"],
) -> tuple[Float32[np.ndarray, "vertex 3"], Int[np.ndarray, "face 3"]]:
    """Marching cubes of a volume with a border of outside values: vertices in cells, and triangles without a gap.

    Where two diagonals of a face tie exactly, scikit-image may decide differently in the two cells that share it, which
    opens a hole.  Then values are moved by 1e-4 of themselves, that is vertices by less than 1e-4 of a cell.
    """
    # "ascent": scikit-image's default takes the higher side for the outside
    at, faces, _, _ = marching_cubes(values, 0.0, gradient_direction="ascent")
    if not _closed(faces, len(at)):
        draws = np.random.default_rng(0)
        values = np.where(values == 0, np.float32(-0.1), values)
        values = values * draws.uniform(1, 1.0001, values.shape).astype(np.float32)
        at, faces, _, _ = marching_cubes(values, 0.0, gradient_direction="ascent")
    return at, faces


def size_at_surface(values: Float32[np.ndarray, "a a a"]) -> float:
    """The median magnitude of values next to one of the other sign; 1 where there are none."""
    inside, sizes = values > 0, []
    for axis in range(3):
        line, sign = values.swapaxes(0, axis), inside.swapaxes(0, axis)
        change = sign[1:] != sign[:-1]
        sizes += [line[1:][change], line[:-1][change]]
    near = np.abs(np.concatenate(sizes))
    near = near[near > 0]
    return float(np.median(near)) if len(near) else 1.0


def _closed(faces: Int[np.ndarray, "face 3"], vertices: int) -> bool:
    """Whether every edge belongs to two triangles, once in either direction."""
    edges = faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).astype(np.int64)
    there, back = np.sort(edges @ [vertices, 1]), np.sort(edges @ [1, vertices])
    return np.array_equal(there, back) and bool((np.diff(there) > 0).all())
