"""A folder of meshes as a data set of solids that can be sampled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh
from jaxtyping import Bool, Float32

from ddmi_modalities.datasets.array_cache import default_cache
from ddmi_modalities.datasets.checked_sources import content_digest
from ddmi_modalities.datasets.folders import names_below
from ddmi_modalities.datasets.left_out import leave_out
from ddmi_modalities.datasets.splits import Split, check_split, listed_split, split_folders, split_of
from ddmi_modalities.files.kinds import MESHES
from ddmi_modalities.geometry.solids import check_count
from ddmi_modalities.geometry.watertight import contains, load_closed
from ddmi_modalities.shape.items import draw_points


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

    def cloud(self, count: int, rng: np.random.Generator) -> Float32[np.ndarray, "count 3"]:
        return self.surface(count, rng)[0]

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
    names = names_below(root, MESHES)
    if not names:
        raise ValueError(f"{doing}: no meshes below {str(root)!r}; wanted {MESHES.wanted}")
    return names


def open_mesh(root: Path, name: str, repair: bool) -> MeshItem:
    """The mesh `name` below `root`; ValueError without its name, see `load_closed`."""
    closed = load_closed(root / name, repair)
    x, y, z = closed.loc.tolist()
    return MeshItem(name, closed.mesh, (x, y, z), closed.scale)


def meshes_of_split(root: Path, split: Split, doing: str) -> tuple[Path, list[str]]:
    """The folder that holds the split, and the paths of its meshes below that folder, sorted.

    Two folders named train and test (or val) decide, or with names that end so; or lists of names (see `listed_split`);
    otherwise the hash of a mesh's path, by which about every tenth is held out.
    """
    if folder := split_folders(root).get(split):
        return folder, mesh_names(folder, doing)
    names = mesh_names(root, doing)
    if (listed := listed_split(root, split, names)) is not None:
        return root, listed
    return root, [name for name in names if split_of(name) == split]


class MeshFolder:
    """The meshes below `root` (OBJ, PLY, STL, OFF, GLB), each in the middle of the unit cube, its largest side 1.

    What is held out, see `meshes_of_split`.  All meshes of a split are read at once and stay in memory; convert a large
    collection with `ddmi prepare shapes`.  Meshes that cannot be read or are not watertight are left out and reported.

    Args:
        root: The folder; links are followed, hidden parts left out.
        split: "train" or "test".
        repair: Close meshes that are not watertight by filling holes, where that can be done.
        strict: Refuse the folder when any mesh is no solid, instead of leaving it out.

    Raises:
        ValueError: There is no such folder, it has no usable mesh in this split, or `strict` found a bad one.
    """

    def __init__(self, root: Path | str, split: Split, *, repair: bool = False, strict: bool = False) -> None:
        self.root, names = meshes_of_split(Path(root).expanduser(), check_split(split), "MeshFolder")
        if not names:
            raise ValueError(
                f"MeshFolder: no mesh below {str(self.root)!r} falls into the split {split!r}; add meshes, about one "
                "in nine is for testing, or make folders named train and test"
            )
        items: dict[str, MeshItem] = {}
        self.skipped: dict[str, str] = {}
        """Why each mesh that is not in the data set was left out."""
        for name in names:
            try:
                items[name] = open_mesh(self.root, name, repair)
            except ValueError as error:
                self.skipped[name] = str(error)
        remedy = "repair or remove them" if repair else "pass repair=True (--modality.repair), or remove them"
        source = f"MeshFolder {str(self.root)!r}"
        leave_out(source, "meshes", self.skipped, len(names), remedy=remedy, strict=strict)
        self.names = tuple(items)
        self._items = tuple(items.values())

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> MeshItem:
        return self._items[index]

    def digest(self) -> str:
        """A hash of the content of all meshes."""
        return content_digest(self.root, self.names, what="meshes", cache=default_cache())

    def describe(self) -> str:
        """How many meshes were left out."""
        return f"{len(self.skipped)} left out"
