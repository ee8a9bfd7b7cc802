"""Coloured solids in a fixed light: what Turntable's scenes are made of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import trimesh
from jaxtyping import Float, Float32, Float64, Int, UInt8

from ddmi_modalities.geometry.solids import Solid, Union

RADIUS = 0.62
"""World units: how far the corners of a placed object's bounding box are from the centre, unless that is out of the
unit cube."""
LAMP = np.array([0.45, 0.80, 0.40])
"""Where the light comes from, in the world: from above, before, and the right of the object."""
DEEP = 1e-4
"""World units below its surface a point is inside the part that it belongs to, and above it is not inside another."""


def lit(albedo: Float[np.ndarray, "n 3"], normals: Float[np.ndarray, "n 3"]) -> Float32[np.ndarray, "n 3"]:
    """Colours in [0, 1] of matt surfaces with these outward normals: a function of the place in the world alone.

    Light from everywhere, more from above, and a lamp at infinity.  No shadows and no glints: the colour of a point is
    the same from every camera, so that a radiance field can explain all pictures exactly.
    """
    lamp = LAMP / np.linalg.norm(LAMP)
    shade = 0.56 + 0.14 * normals[:, 1] + 0.34 * np.clip(normals @ lamp, 0, None)
    return np.clip(albedo * shade[:, None], 0, 1).astype(np.float32)


@dataclass(frozen=True)
class Facets:
    """Triangles in the world, each of one colour."""

    mesh: trimesh.Trimesh
    """The closed surfaces of all parts, one after the other; what lies in another part is still there."""
    colours: UInt8[np.ndarray, "face 3"]
    """RGB in the light."""


@dataclass(frozen=True)
class Painted:
    """Solids with a colour each, put in the middle of the unit cube."""

    solids: tuple[Solid, ...]
    colours: Float64[np.ndarray, "part 3"]
    """Albedo, RGB in [0, 1]."""
    turn: Float64[np.ndarray, "3 3"]
    """Rotation from the solids' axes to the world's."""

    @cached_property
    def union(self) -> Union:
        return Union(self.solids)

    @cached_property
    def placement(self) -> tuple[Float64[np.ndarray, "3"], float]:
        """Middle of the solids' bounding box, and world units per unit of theirs."""
        low, high = np.array(self.union.bounds)
        half = (high - low) / 2
        return (low + high) / 2, float(min(RADIUS / np.linalg.norm(half), 0.5 / half.max()))

    def facets(self) -> Facets:
        middle, scale = self.placement
        meshes = [solid.mesh() for solid in self.solids]
        vertices = np.concatenate([mesh.vertices for mesh in meshes])
        starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes[:-1])])
        faces = np.concatenate([mesh.faces + start for mesh, start in zip(meshes, starts, strict=True)])
        part = np.repeat(np.arange(len(meshes)), [len(mesh.faces) for mesh in meshes])
        whole = trimesh.Trimesh((vertices - middle) @ self.turn.T * scale, faces, process=False)
        colours = lit(self.colours[part], whole.face_normals)
        return Facets(whole, (colours * 255).round().astype(np.uint8))

    def cloud(self, count: int, rng: np.random.Generator) -> Float32[np.ndarray, "count 6"]:
        """Exact points, even over the visible surface, with their colours in the light."""
        middle, scale = self.placement
        points, normals = self.union.surface(count, rng)
        albedo = self.colours[self._part_of(points - np.float32(DEEP) * normals)]
        world = (points.astype(np.float64) - middle) @ self.turn.T * scale
        return np.concatenate([world.astype(np.float32), lit(albedo, normals @ self.turn.T)], axis=1)

    def _part_of(self, points: Float32[np.ndarray, "n 3"]) -> Int[np.ndarray, " n"]:
        """The first part that each point is inside of."""
        return np.argmax([Union((solid,)).inside(points) for solid in self.solids], axis=0)
