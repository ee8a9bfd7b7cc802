"""ShapeNet as occupancy networks distribute it: points with packed occupancy, surface points, lists of models."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, NoReturn

import numpy as np
import trimesh
from jaxtyping import Bool, Float32

from ddmi_modalities.datasets.array_cache import default_cache
from ddmi_modalities.datasets.checked_sources import content_digest
from ddmi_modalities.datasets.folders import subfolders
from ddmi_modalities.datasets.left_out import leave_out
from ddmi_modalities.datasets.splits import check_apart
from ddmi_modalities.files.npz import read_npz
from ddmi_modalities.files.text import read_lines, read_text
from ddmi_modalities.geometry.solids import check_count
from ddmi_modalities.geometry.unit_cube import FAR, FARTHEST

ShapeNetSplit = Literal["train", "val", "test"]
SPLIT_NAMES = ("train", "val", "test")

CLASSES = {
    "02691156": "airplane",
    "02828884": "bench",
    "02933112": "cabinet",
    "02958343": "car",
    "03001627": "chair",
    "03211117": "display",
    "03636649": "lamp",
    "03691459": "loudspeaker",
    "04090263": "rifle",
    "04256520": "sofa",
    "04379243": "table",
    "04401088": "telephone",
    "04530566": "vessel",
}
"""WordNet synsets of the 13 classes of 3D-R2N2 (Choy et al. 2016), and their names in ShapeNet."""

POINTS, CLOUD = "points.npz", "pointcloud.npz"
REMEDY = "copy it anew or take it off the lists"


@dataclass(frozen=True)
class ShapeNetItem:
    """One model; a `ShapeItem`.  Of its two files each array is read once, when first asked for."""

    root: Path
    synset: str
    model: str
    label: str
    """The name of its class, "chair"."""

    @property
    def name(self) -> str:
        return f"{self.synset}/{self.model}"

    @property
    def captions(self) -> tuple[str, ...]:
        return ()

    @cached_property
    def stored_points(self) -> tuple[Float32[np.ndarray, "point 3"], Bool[np.ndarray, " point"]]:
        """All points of points.npz and whether they are inside.  Half precision stays as it is: nothing is added."""
        file = self.root / self.name / POINTS
        arrays = read_npz(file, ["points", "occupancies"], remedy=REMEDY)
        points = _vectors(file, "points", arrays["points"])
        return points, _bits(file, arrays["occupancies"], len(points))

    @cached_property
    def stored_cloud(self) -> Float32[np.ndarray, "point 3"]:
        """All points of pointcloud.npz, which has to have normals, too."""
        file = self.root / self.name / CLOUD
        return _vectors(file, "points", read_npz(file, ["points"], unread=["normals"], remedy=REMEDY)["points"])

    @cached_property
    def stored_surface(self) -> tuple[Float32[np.ndarray, "point 3"], Float32[np.ndarray, "point 3"]]:
        """All points of pointcloud.npz and their unit normals; a normal stored as zero stays so."""
        file = self.root / self.name / CLOUD
        points = self.stored_cloud
        normals = _vectors(file, "normals", read_npz(file, ["normals"], remedy=REMEDY)["normals"])
        if len(points) != len(normals):
            _refuse(file, f"it has {len(points)} points and {len(normals)} normals")
        length = np.linalg.norm(normals, axis=1, keepdims=True)
        return points, normals / np.where(length > 0, length, np.float32(1))

    @cached_property
    def placement(self) -> tuple[Float32[np.ndarray, "3"], float]:
        """(loc, scale): original coordinates are scale * world + loc.  (0, 1) where the file does not say."""
        file = self.root / self.name / POINTS
        arrays = read_npz(file, [], ["loc", "scale"], remedy=REMEDY)
        loc, scale = arrays.get("loc", np.zeros(3)), arrays.get("scale", np.ones(()))
        if loc.shape != (3,) or scale.size != 1 or loc.dtype.kind not in "fiu" or scale.dtype.kind not in "fiu":
            _refuse(file, f"loc is {loc.dtype} {loc.shape} and scale {scale.dtype} {scale.shape}, wanted (3,) and ()")
        loc, scale = loc.astype(np.float64), scale.astype(np.float64)
        if not (np.abs(loc) <= FARTHEST).all() or not 0 < scale.reshape(()) <= FARTHEST:
            _refuse(file, f"loc is {loc.tolist()} and scale {scale.tolist()}, wanted numbers that say where it was")
        return loc.astype(np.float32), float(scale.reshape(()))

    def surface(
        self, count: int, rng: np.random.Generator
    ) -> tuple[Float32[np.ndarray, "count 3"], Float32[np.ndarray, "count 3"]]:
        """Drawn with replacement from the stored points."""
        points, normals = self.stored_surface
        chosen = rng.integers(len(points), size=check_count(count))
        return points[chosen], normals[chosen]

    def cloud(self, count: int, rng: np.random.Generator) -> Float32[np.ndarray, "count 3"]:
        """As `surface`; normals stay in their file."""
        return self.stored_cloud[rng.integers(len(self.stored_cloud), size=check_count(count))]

    def points(
        self, count: int, rng: np.random.Generator, near: float | None, spread: float = 0.03
    ) -> tuple[Float32[np.ndarray, "count 3"], Bool[np.ndarray, " count"]]:
        """Drawn with replacement from the stored points; `near` must be None."""
        if near is not None:
            raise ValueError(
                f"ShapeNet: {self.name} has stored points only and cannot tell about points near its surface, "
                f"got near {near}; pass near=None (--modality.near None)"
            )
        points, occupied = self.stored_points
        chosen = rng.integers(len(points), size=check_count(count))
        return points[chosen], occupied[chosen]

    def mesh(self) -> trimesh.Trimesh:
        raise ValueError(
            f"ShapeNet: {self.name} is stored as points, without a mesh; compare with its surface points, "
            "or open the meshes themselves with MeshFolder"
        )


class ShapeNet:
    """ROOT/<synset>/<model>/points.npz and pointcloud.npz, with ROOT/<synset>/train.lst, val.lst, test.lst.

    Lists and the existence of files are checked here, what is in a file when an item is read.  Listed models without
    both files are left out and reported; their names stay in `missing`.

    Args:
        root: The folder of the class folders.
        split: "train", "val" or "test": which lists.
        classes: Synsets or names, such as "chair" or "03001627", which metadata.yaml or `CLASSES` knows; default all.
        strict: Refuse the folder when any listed model lacks its files, instead of leaving it out.

    Raises:
        ValueError: There is no such folder, class or list, a list is empty, or no listed model has its files.
    """

    def __init__(
        self,
        root: Path | str,
        split: ShapeNetSplit,
        classes: Sequence[str] | None = None,
        *,
        strict: bool = False,
    ) -> None:
        if split not in SPLIT_NAMES:
            raise ValueError(f"ShapeNet: there is no split {split!r}; choose 'train', 'val' or 'test'")
        self.root = Path(root).expanduser()
        self.split = split
        if not self.root.is_dir():
            what = "is a file" if self.root.exists() else "does not exist"
            raise ValueError(f"ShapeNet: {str(self.root)!r} {what}; give the folder that holds the class folders")
        names = {**CLASSES, **_metadata(self.root / "metadata.yaml")}
        present = [path.name for path in subfolders(self.root) if _is_class(path, names)]
        if not present:
            raise ValueError(
                f"ShapeNet: no class folder in {str(self.root)!r}; wanted folders such as 03001627 with {split}.lst"
            )
        self.labels = {synset: names.get(synset, synset).split(",")[0].strip() for synset in present}
        """The name of each class that is there, by synset."""
        chosen = present if classes is None else [_find(wanted, present, names, self.root) for wanted in classes]
        listed = [(synset, model) for synset in dict.fromkeys(chosen) for model in _models(self.root / synset, split)]
        for synset in dict.fromkeys(chosen):
            _check_lists(self.root / synset)
        sound = [pair for pair in listed if _has_files(self.root.joinpath(*pair))]
        self.missing = tuple("/".join(pair) for pair in sorted({*listed} - {*sound}))
        """Listed models without both files."""
        leave_out(
            f"ShapeNet {str(self.root)!r}, {split}.lst", "models",
            dict.fromkeys(self.missing, f"it lacks {POINTS} or {CLOUD}"), len(listed),
            remedy="unpack the data there", strict=strict,
        )  # fmt: skip
        self.models = tuple(sound)

    def __len__(self) -> int:
        return len(self.models)

    def digest(self) -> str:
        """A hash of the content of all models' files."""
        names = [f"{synset}/{model}/{file}" for synset, model in self.models for file in (POINTS, CLOUD)]
        return content_digest(self.root, names, what="models", cache=default_cache())

    def describe(self) -> str:
        """How many models were left out."""
        return f"{len(self.missing)} left out"

    def __getitem__(self, index: int) -> ShapeNetItem:
        synset, model = self.models[index]
        return ShapeNetItem(self.root, synset, model, self.labels[synset])


def _is_class(folder: Path, names: dict[str, str]) -> bool:
    return folder.name in names or any((folder / f"{split}.lst").is_file() for split in SPLIT_NAMES)


def _has_files(model: Path) -> bool:
    return os.path.isfile(model / POINTS) and os.path.isfile(model / CLOUD)  # also of names that no file can have


def _text(file: Path, remedy: str) -> str:
    try:
        return read_text(file)
    except ValueError as error:
        raise ValueError(f"ShapeNet: {error}; {remedy}") from error


def _metadata(file: Path) -> dict[str, str]:
    """Synset to names: the two levels that metadata.yaml has, read without a YAML library."""
    if not file.is_file():
        return {}
    names: dict[str, str] = {}
    synset = ""
    for line in _text(file, "repair or remove it").splitlines():
        if head := re.match(r"""['"]?([\w-]+)['"]?:\s*$""", line):
            synset = head[1]
        elif (entry := re.match(r"""\s+name:\s*['"]?(.*?)['"]?\s*$""", line)) and synset:
            names[synset] = entry[1]
    return names


def _find(wanted: str, present: list[str], names: dict[str, str], root: Path) -> str:
    for synset in present:
        words = [word.strip() for word in names.get(synset, "").split(",")]
        if wanted in (synset, CLASSES.get(synset), *words):
            return synset
    known = ", ".join(f"{synset} ({names[synset]})" if synset in names else synset for synset in present)
    raise ValueError(f"ShapeNet: no class {wanted!r} in {str(root)!r}; choose from {known}")


def _models(folder: Path, split: str) -> list[str]:
    file = folder / f"{split}.lst"
    lines = _text(file, "make it, one model id a line, or leave the class out with classes=").splitlines()
    models = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not models:
        raise ValueError(
            f"ShapeNet: {str(file)!r} lists no model; write one model id a line, or leave the class out with classes="
        )
    return models


def _check_lists(folder: Path) -> None:
    """ValueError where a model is in the list of the training and in another one."""
    models = {name: read_lines(file) for name in SPLIT_NAMES if (file := folder / f"{name}.lst").is_file()}
    for name in ("val", "test"):
        check_apart(f"{folder}: train.lst, {name}.lst", models.get("train", []), models.get(name, []))


def _refuse(file: Path, why: str) -> NoReturn:
    raise ValueError(f"{file}: {why}; {REMEDY}")


def _vectors(file: Path, key: str, array: np.ndarray) -> Float32[np.ndarray, "point 3"]:
    if array.dtype.kind != "f" or array.ndim != 2 or array.shape[1] != 3 or not len(array):
        _refuse(file, f"{key} is {array.dtype} {array.shape}, wanted floating-point numbers (n, 3)")
    with np.errstate(over="ignore"):  # what is beyond single precision becomes infinite, and is refused
        vectors = array.astype(np.float32)
    if not (vectors.min() >= -FAR and vectors.max() <= FAR):
        unsound = (~(np.abs(vectors) <= FAR)).any(axis=1)
        _refuse(file, f"{key} has {int(unsound.sum())} rows with NaN or infinity, or beyond {FAR:g}")
    return vectors


def _bits(file: Path, array: np.ndarray, count: int) -> Bool[np.ndarray, " point"]:
    packed = -(-count // 8)
    if array.dtype == np.bool_ and array.shape == (count,):
        return array
    if array.dtype != np.uint8 or array.shape != (packed,):
        _refuse(
            file,
            f"occupancies is {array.dtype} {array.shape}, wanted uint8 ({packed},) from numpy.packbits "
            f"or bool ({count},) for {count} points",
        )
    return np.unpackbits(array, count=count).astype(bool)
