"""One mesh of a folder as a solid that can be sampled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh
from jaxtyping import Bool, Float32

from ddmi_modalities.shape.items import check_count, draw_points
from ddmi_modalities.shape.watertight import contains, load_closed

SUFFIXES = frozenset({".obj", ".ply", ".stl", ".off", ".glb"})


@dataclass(frozen=True)
class MeshItem:
    """One closed mesh; a `ShapeItem`."""

    name: str
    """The path below the root, with forward slashes."""
    closed: trimesh.Trimesh
    loc: tuple[float, float, float]
    scale: float
    """Coordinates in the file are scale * world + loc."""

    @property
    def captions(self) -> tuple[str, ...]:
        return ()

    @property
    def label(self) -> str | None:
        """The first folder of its path; None right below the root."""
        return self.name.split("/")[0] if "/" in self.name else None

    def inside(self, points: Float32[np.ndarray, "point 3"]) -> Bool[np.ndarray, " point"]:
        """Whether world points are inside, by rays; see `contains`."""
        return contains(self.closed, points)

    def surface(
        self, count: int, rng: np.random.Generator
    ) -> tuple[Float32[np.ndarray, "count 3"], Float32[np.ndarray, "count 3"]]:
        """Even over the area, with the normals of the faces."""
        shares = np.cumsum(self.closed.area_faces)
        draws = rng.random((check_count(count), 3))
        faces = np.searchsorted(shares / shares[-1], draws[:, 0], side="right").clip(max=len(shares) - 1)
        u, v = np.where(draws[:, 1:].sum(1, keepdims=True) > 1, 1 - draws[:, 1:], draws[:, 1:]).T[..., None]
        a, b, c = self.closed.triangles[faces].transpose(1, 0, 2)
        points = a + u * (b - a) + v * (c - a)
        return points.astype(np.float32), self.closed.face_normals[faces].astype(np.float32)

    def points(
        self, count: int, rng: np.random.Generator, near: float | None, spread: float = 0.03
    ) -> tuple[Float32[np.ndarray, "count 3"], Bool[np.ndarray, " count"]]:
        return draw_points(self.surface, self.inside, count, rng, near, spread)

    def mesh(self) -> trimesh.Trimesh:
        return self.closed.copy()


def mesh_names(root: Path, doing: str) -> list[str]:
    """Paths of all meshes below `root`, sorted; ValueError, which begins with `doing`, where there are none."""
    if not root.is_dir():
        what = "is a file" if root.exists() else "does not exist"
        raise ValueError(f"{doing}: {str(root)!r} {what}; give the path of a folder of meshes")
    names = sorted(
        path.relative_to(root).as_posix()
        for path in root.rglob("*")
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
    if not names:
        raise ValueError(
            f"{doing}: no meshes below {str(root)!r}; wanted files that end in {', '.join(sorted(SUFFIXES))}"
        )
    return names


def open_mesh(root: Path, name: str, repair: bool) -> MeshItem:
    """The mesh `name` below `root`; ValueError without its name, see `load_closed`."""
    closed = load_closed(root / name, repair)
    x, y, z = closed.loc.tolist()
    return MeshItem(name, closed.mesh, (x, y, z), closed.scale)


def some_of(refused: dict[str, str]) -> str:
    """At most five names with their reasons."""
    listed = "; ".join(f"{name}: {reason}" for name, reason in list(refused.items())[:5])
    return listed + (f"; and {len(refused) - 5} more" if len(refused) > 5 else "")
