"""From a mesh file to a surface in the unit cube: where it is watertight, a closed outward one that knows inside."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh
from jaxtyping import Bool, Float32, Float64

from ddmi_modalities.geometry.mesh_files import load_geometry

DIRECTIONS = np.array([[0.44, 0.62, 0.65], [-0.71, 0.36, -0.61], [0.29, -0.88, 0.37]])
"""Of the rays that vote on a point: askew, so that they rarely run along the edges of a model."""


@dataclass(frozen=True)
class SolidMesh:
    """A mesh in the unit cube, and where it was."""

    mesh: trimesh.Trimesh
    """The centre of its bounding box at 0, its largest side 1; if closed, outward and without overlaps of its parts."""
    loc: Float64[np.ndarray, "3"]
    scale: float
    """Coordinates in the file are scale * world + loc."""
    loose: int = 0
    """Edges that do not join two faces."""
    edges: int = 0
    """All of them, where some are loose."""

    @property
    def closed(self) -> bool:
        """Whether `contains` knows what is inside; otherwise `winds_round` does."""
        return not self.loose


def load_solid(file: Path, repair: bool = False) -> SolidMesh:
    """Read a mesh file; what is watertight is made a solid, other meshes stay as they are.

    Vertices at one place are merged.  Of a watertight mesh, parts that overlap become one (Manifold), inside-out parts
    are turned, and a part within another one that faces the other way stays a cavity.  A part that cuts through itself
    is not untangled.

    Args:
        file: OBJ, PLY, STL, OFF or GLB; scenes are taken as one mesh.
        repair: Drop degenerate and double faces and fill holes first, if it is not watertight.

    Raises:
        ValueError: It cannot be read, has no extent, or is watertight and no solid; the reason without the name of the
            file.
    """
    try:
        return _solid(file, repair)
    except (MemoryError, ValueError):
        raise
    except Exception as error:  # trimesh and Manifold raise whatever damaged geometry leads to
        raise ValueError(f"cannot be made a solid ({type(error).__name__}: {error})") from error


def _solid(file: Path, repair: bool) -> SolidMesh:
    mesh = _load(file)
    if not mesh.is_watertight and repair:
        mesh = _repaired(mesh)
    low, high = mesh.bounds
    loc, scale = (low + high) / 2, float((high - low).max())
    # scaled first: booleans compute in single precision
    unit = trimesh.Trimesh((mesh.vertices - loc) / scale, mesh.faces, process=False)
    if mesh.is_watertight:
        return SolidMesh(_one_solid(unit), loc, scale)
    uses = np.bincount(mesh.edges_unique_inverse)
    return SolidMesh(unit, loc, scale, int((uses != 2).sum()), len(uses))


def contains(mesh: trimesh.Trimesh, points: Float32[np.ndarray, "point 3"]) -> Bool[np.ndarray, " point"]:
    """Whether points are inside a closed `SolidMesh`: exact, but within about 1e-6 of the surface.

    A ray from the inside of an outward surface first meets a face from behind.  One ray in 10^5 or so slips through an
    edge, so the majority of three `DIRECTIONS` decides.
    """
    votes = np.zeros(len(points), dtype=np.int64)
    bounds = mesh.bounds
    (boxed,) = np.nonzero(((points >= bounds[0]) & (points <= bounds[1])).all(axis=1))
    if not len(boxed):
        return votes > 0
    backward = mesh.face_normals @ DIRECTIONS.T > 0
    for number, direction in enumerate(DIRECTIONS):
        faces = mesh.ray.intersects_first(points[boxed], np.tile(direction, (len(boxed), 1)))
        votes[boxed] += (faces >= 0) & backward[faces, number]
    return votes >= 2


def _load(file: Path) -> trimesh.Trimesh:
    try:
        loaded = load_geometry(file)
    except Exception as error:  # trimesh's readers raise whatever their parsers do
        raise ValueError(f"cannot be read ({type(error).__name__}: {error})") from error
    if not isinstance(loaded, trimesh.Trimesh) or not len(loaded.faces):
        raise ValueError("has no faces")
    # Without textures and normals, whose seams would keep vertices of one place apart
    mesh = trimesh.Trimesh(loaded.vertices, loaded.faces, process=True)
    if not len(mesh.faces) or not mesh.extents.max() > 0:
        raise ValueError("has no extent")
    return mesh


def _repaired(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    mesh = mesh.copy()
    mesh.merge_vertices(digits_vertex=max(0, int(6 - np.log10(mesh.scale))))
    mesh.update_faces(mesh.unique_faces() & mesh.nondegenerate_faces())
    mesh.remove_unreferenced_vertices()
    mesh.fix_normals()  # holes are filled along the faces around them
    mesh.fill_holes()
    return _clean(mesh)


def _one_solid(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    """The union of the connected parts, each outward, without its cavities."""
    parts = []
    for part in mesh.split(only_watertight=False, repair=False):
        if not part.is_winding_consistent:
            part.fix_normals(multibody=False)
        if not part.is_winding_consistent:
            raise ValueError("has a part with one side only, like a Klein bottle")
        parts.append((part, _signed_volume(part)))
    if sum(volume for _, volume in parts) < 0:
        parts = [(_turned(part), -volume) for part, volume in parts]
    parts = [(part, volume) for part, volume in parts if abs(volume) > 1e-9]  # folded sheets hold nothing
    if not parts:
        raise ValueError("encloses no volume")
    solids = [_clean(part) for part, volume in parts if volume > 0]
    if len(parts) == 1:
        return solids[0]
    hollows: dict[int, list[trimesh.Trimesh]] = {}
    for part in (_turned(part) for part, volume in parts if volume < 0):
        holder = _holder(part, solids)
        if holder is None:
            solids.append(part)
        else:
            hollows.setdefault(holder, []).append(part)
    hollowed = [
        trimesh.boolean.difference([solid, *hollows[index]], engine="manifold", check_volume=False)
        if index in hollows
        else solid
        for index, solid in enumerate(solids)
    ]
    joined = trimesh.boolean.union(hollowed, engine="manifold", check_volume=False)
    if not joined.is_volume:
        raise ValueError("its parts cannot be joined to one solid")
    return joined


def _signed_volume(mesh: trimesh.Trimesh) -> float:
    """Below 0 where faces look inwards; 0, without a warning, where they hold nothing."""
    a, b, c = mesh.triangles.transpose(1, 0, 2)
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)


def _turned(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    """Inside out, as a new mesh: after trimesh's own `invert` (5.2) normals may still be the old ones."""
    return trimesh.Trimesh(mesh.vertices, np.ascontiguousarray(mesh.faces[:, ::-1]), process=False)


def _clean(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    """Without what was computed before, and maybe before faces were turned."""
    return trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)


def _holder(part: trimesh.Trimesh, solids: list[trimesh.Trimesh]) -> int | None:
    """The smallest solid that has the whole part within it."""
    low, high = part.bounds
    some = part.vertices[:: max(1, len(part.vertices) // 64)].astype(np.float32)
    around = [
        index
        for index, solid in enumerate(solids)
        if (solid.bounds[0] < low).all() and (solid.bounds[1] > high).all() and contains(solid, some).all()
    ]
    return min(around, key=lambda index: _signed_volume(solids[index]), default=None)
