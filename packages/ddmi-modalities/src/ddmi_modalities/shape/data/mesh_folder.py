"""A folder of meshes as a data set of solids that can be sampled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh
from jaxtyping import Bool, Float32

from ddmi_modalities.datasets.array_cache import default_cache
from ddmi_modalities.datasets.checked_sources import check_stamped, content_digest, stamp
from ddmi_modalities.datasets.folders import names_below
from ddmi_modalities.datasets.left_out import leave_out
from ddmi_modalities.datasets.splits import Split, check_split, listed_split, split_folders, split_of
from ddmi_modalities.files.kinds import MESHES
from ddmi_modalities.files.text import read_lines
from ddmi_modalities.geometry.solids import check_count
from ddmi_modalities.geometry.watertight import SolidMesh, contains, load_solid
from ddmi_modalities.geometry.winding import ambiguous_share, winds_round
from ddmi_modalities.shape.items import MOST_AMBIGUOUS, draw_points


@dataclass(frozen=True)
class MeshItem:
    """One mesh; a `ShapeItem`."""

    name: str
    """The path below the root, with forward slashes."""
    solid: trimesh.Trimesh
    loc: tuple[float, float, float]
    scale: float
    """Coordinates in the file are scale * world + loc."""
    closed: bool = True
    captions: tuple[str, ...] = ()
    """The lines of the text of the same name, where there is one (`chair.obj`, `chair.txt`)."""

    @property
    def label(self) -> str | None:
        """The first folder of its path; None right below the root."""
        return self.name.split("/")[0] if "/" in self.name else None

    def inside(self, points: Float32[np.ndarray, "point 3"]) -> Bool[np.ndarray, " point"]:
        """Whether world points are inside, by rays (`contains`), or by winding numbers (`winds_round`)."""
        return contains(self.solid, points) if self.closed else winds_round(self.solid, points)

    def surface(
        self, count: int, rng: np.random.Generator
    ) -> tuple[Float32[np.ndarray, "count 3"], Float32[np.ndarray, "count 3"]]:
        """Even over the area, with the normals of the faces."""
        shares = np.cumsum(self.solid.area_faces)
        draws = rng.random((check_count(count), 3))
        faces = np.searchsorted(shares / shares[-1], draws[:, 0], side="right").clip(max=len(shares) - 1)
        u, v = np.where(draws[:, 1:].sum(1, keepdims=True) > 1, 1 - draws[:, 1:], draws[:, 1:]).T[..., None]
        a, b, c = self.solid.triangles[faces].transpose(1, 0, 2)
        points = a + u * (b - a) + v * (c - a)
        return points.astype(np.float32), self.solid.face_normals[faces].astype(np.float32)

    def cloud(self, count: int, rng: np.random.Generator) -> Float32[np.ndarray, "count 3"]:
        return self.surface(count, rng)[0]

    def points(
        self, count: int, rng: np.random.Generator, near: float | None, spread: float = 0.03
    ) -> tuple[Float32[np.ndarray, "count 3"], Bool[np.ndarray, " count"]]:
        return draw_points(self.surface, self.inside, count, rng, near, spread)

    def mesh(self) -> trimesh.Trimesh:
        return self.solid.copy()


def mesh_names(root: Path, doing: str) -> list[str]:
    """Paths of all meshes below `root`, sorted; ValueError, which begins with `doing`, where there are none."""
    if not root.is_dir():
        what = "is a file" if root.exists() else "does not exist"
        raise ValueError(f"{doing}: {str(root)!r} {what}; give the path of a folder of meshes")
    names = names_below(root, MESHES)
    if not names:
        raise ValueError(f"{doing}: no meshes below {str(root)!r}; wanted {MESHES.wanted}")
    return names


def open_mesh(root: Path, name: str, repair: bool, most_ambiguous: float) -> tuple[MeshItem, float | None]:
    """The mesh `name` below `root`, and the share of its box that is ambiguous if it is not closed.

    ValueError, without its name, where `load_solid` raises it or the share is too large.
    """
    solid = load_solid(root / name, repair)
    share = None if solid.closed else ambiguous_share(solid.mesh)
    if share is not None:
        check_share(solid, share, most_ambiguous)
    return _item(root, name, solid), share


def _item(root: Path, name: str, solid: SolidMesh) -> MeshItem:
    x, y, z = solid.loc.tolist()
    text = (root / name).with_suffix(".txt")
    captions = tuple(read_lines(text)) if text.is_file() else ()
    return MeshItem(name, solid.mesh, (x, y, z), solid.scale, solid.closed, captions)


def check_share(solid: SolidMesh, share: float, most: float) -> None:
    """ValueError where more of the box of a mesh that is not closed is ambiguous than `most`."""
    if share > most:
        raise ValueError(
            f"not watertight: {solid.loose} of {solid.edges} edges do not join two faces, and {share:.1%} of its box "
            f"are neither inside nor outside, more than {most:.1%}"
        )


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
    collection with `ddmi prepare shapes`.  Of meshes that are not watertight, winding numbers say what is inside; how
    much of their box that leaves open is measured once and remembered in the cache by path, size and time of change.
    Meshes that cannot be read, or leave too much open, are left out and reported.

    Args:
        root: The folder; links are followed, hidden parts left out.
        split: "train" or "test".
        repair: Close meshes that are not watertight by filling holes, where that can be done.
        strict: Refuse the folder when any mesh is no solid, instead of leaving it out.
        most_ambiguous: Share of the box of a mesh that is not closed where the winding number may lie between 1/4 and
            3/4.
        cache: Where shares are remembered, default `$XDG_CACHE_HOME/ddmi`.

    Raises:
        ValueError: There is no such folder, it has no usable mesh in this split, or `strict` found a bad one.
    """

    def __init__(
        self,
        root: Path | str,
        split: Split,
        *,
        repair: bool = False,
        strict: bool = False,
        most_ambiguous: float = MOST_AMBIGUOUS,
        cache: Path | None = None,
    ) -> None:
        self._cache = cache or default_cache()
        self.root, names = meshes_of_split(Path(root).expanduser(), check_split(split), "MeshFolder")
        if not names:
            raise ValueError(
                f"MeshFolder: no mesh below {str(self.root)!r} falls into the split {split!r}; add meshes, about one "
                "in nine is for testing, or make folders named train and test"
            )
        solids: dict[str, SolidMesh] = {}
        self.skipped: dict[str, str] = {}
        """Why each mesh that is not in the data set was left out."""
        for name in names:
            try:
                solids[name] = load_solid(self.root / name, repair)
            except ValueError as error:
                self.skipped[name] = str(error)
        self.shares: dict[str, float] = {}
        """Of each mesh that is not closed, how much of its box is ambiguous."""
        for name, share in self._measured(solids, repair).items():
            try:
                if isinstance(share, str):
                    raise ValueError(share)
                check_share(solids[name], share[0], most_ambiguous)
                self.shares[name] = share[0]
            except ValueError as error:
                self.skipped[name] = str(error)
        remedy = "repair or remove them" if repair else "pass repair=True (--modality.repair), or remove them"
        if any("neither inside" in reason for reason in self.skipped.values()):
            remedy += "; most_ambiguous (--modality.most-ambiguous) says how much is accepted"
        source = f"MeshFolder {str(self.root)!r}"
        leave_out(source, "meshes", self.skipped, len(names), remedy=remedy, strict=strict)
        self._items = tuple(
            _item(self.root, name, solids[name]) for name in names if name in solids and name not in self.skipped
        )
        self.names = tuple(item.name for item in self._items)

    def _measured(self, solids: dict[str, SolidMesh], repair: bool) -> dict[str, list[float] | str]:
        """Of each mesh that is not closed, what `ambiguous_share` says."""
        stamps = {name: stamp(self.root / name) for name, solid in solids.items() if not solid.closed}
        what = "repaired open meshes" if repair else "open meshes"
        return check_stamped(
            self.root, stamps, lambda name: [ambiguous_share(solids[name].mesh)], what=what, cache=self._cache
        )

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> MeshItem:
        return self._items[index]

    def digest(self) -> str:
        """A hash of the content of all meshes."""
        return content_digest(self.root, self.names, what="meshes", cache=self._cache)

    def describe(self) -> str:
        """How many meshes are not closed and how ambiguous these are, and how many were left out."""
        return f"{said_of_shares(self.shares)}{len(self.skipped)} left out"


def said_of_shares(shares: Mapping[str, float]) -> str:
    """How many meshes are not closed, and the most ambiguous of them; nothing where all are closed."""
    if not shares:
        return ""
    worst = max(shares, key=lambda name: shares[name])
    return f"{len(shares)} not closed, read by winding numbers, at most {shares[worst]:.1%} ambiguous ({worst}); "
