"""What a mesh holds that is not closed: generalised winding numbers (Jacobson, Kavan and Sorkine-Hornung 2013).

By libigl, whose wheels hold all that is needed: far faces by their moments (Barill et al. 2018), near ones exactly, in
time that hardly grows with their number.
"""

from __future__ import annotations

import igl
import numpy as np
import trimesh
from jaxtyping import Bool, Float32, Float64

UNSURE = 0.02
"""A fast winding number this close to one half is computed again, exactly; the fast ones are wrong by 0.005 or less."""
AMBIGUOUS = (0.25, 0.75)
"""Where |w| lies between these, it is the holes of a mesh, or faces that look both ways, that decide."""
PLACES = 4096
"""Points of a mesh's box, and beside its faces, at which it is judged."""
BESIDE = 2e-3
"""Distance from the faces at which something must be inside, in sides of the unit cube: 2 mm of a chair of 1 m."""


def winding_numbers(
    mesh: trimesh.Trimesh,
    points: Float32[np.ndarray, "point 3"] | Float64[np.ndarray, "point 3"],
    *,
    exact: bool = True,
) -> Float64[np.ndarray, " point"]:
    """How often the faces go round each point: the sum of their signed solid angles, over 4 pi.

    In a closed outward surface 1, outside 0, where k such parts overlap k; -1 where faces look inwards.  A hole takes
    its own solid angle over 4 pi.  Exact to rounding, in time proportional to points times faces; or not, to about
    0.005, which is ten times as fast for 10,000 faces.
    """
    if not len(points):
        return np.zeros(0)
    corners = np.ascontiguousarray(mesh.vertices, np.float64)
    faces = np.ascontiguousarray(mesh.faces, np.int64)
    compute = igl.winding_number if exact else igl.fast_winding_number
    return np.asarray(compute(corners, faces, np.ascontiguousarray(points, np.float64)), np.float64).reshape(-1)


def winds_round(mesh: trimesh.Trimesh, points: Float32[np.ndarray, "point 3"]) -> Bool[np.ndarray, " point"]:
    """Whether points are inside: in the mesh's bounding box, and |w| > 1/2, whichever way its faces look."""
    low, high = mesh.bounds
    inside = ((points >= low) & (points <= high)).all(axis=1)
    places = points[inside]
    numbers = np.abs(winding_numbers(mesh, places, exact=False))
    unsure = np.abs(numbers - 0.5) < UNSURE
    numbers[unsure] = np.abs(winding_numbers(mesh, places[unsure]))
    inside[inside] = numbers > 0.5
    return inside


def ambiguous_share(mesh: trimesh.Trimesh) -> float:
    """The share of a mesh's box, with 1/100 of its longest side around it, whose |w| is `AMBIGUOUS`; always the same.

    Above some percent the mesh has no inside that anybody would agree on: sheets, cloths, parts whose faces look both
    ways.  ValueError where it holds nothing: faces that are all there twice, once each way.
    """
    rng = np.random.default_rng(0)
    low, high = mesh.bounds
    margin = (high - low).max() / 100
    places = rng.uniform(low - margin, high + margin, (PLACES, 3))
    numbers = np.abs(winding_numbers(mesh, places, exact=False))
    if not (numbers > 0.5).any():
        shares = mesh.area_faces / mesh.area_faces.sum()
        faces = rng.choice(len(shares), PLACES // 2, p=shares)
        weights = rng.dirichlet(np.ones(3), len(faces))[..., None]
        beside = (weights * mesh.triangles[faces]).sum(axis=1)
        normals = mesh.face_normals[faces] * BESIDE
        around = np.concatenate([beside - normals, beside + normals])
        if not (np.abs(winding_numbers(mesh, around, exact=False)) > 0.5).any():
            raise ValueError("encloses no volume")
    return float(((numbers > AMBIGUOUS[0]) & (numbers < AMBIGUOUS[1])).mean())
