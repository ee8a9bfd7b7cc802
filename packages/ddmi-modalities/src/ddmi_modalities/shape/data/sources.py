"""Where shapes come from: the data set that a modality's `source` names, and single files of the user."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from ddmi_modalities.datasets.sources import Layout, open_source
from ddmi_modalities.datasets.splits import Split, check_split
from ddmi_modalities.files.npz import read_npz
from ddmi_modalities.geometry.mesh_files import load_geometry
from ddmi_modalities.geometry.unit_cube import in_unit_cube
from ddmi_modalities.modality import DataSet
from ddmi_modalities.shape.data.furniture import Furniture, HoldOut
from ddmi_modalities.shape.items import MOST_AMBIGUOUS, ShapeItem

VOLUME = ("occupancies", "occupancy", "sdf", "sdfs", "labels", "inside")
"""Arrays beside points that say on which side of the surface these are."""


def open_shapes(
    source: str,
    split: Split,
    *,
    classes: Sequence[str] = (),
    captions_file: str | None = None,
    items: int = 20_000,
    hold_out: HoldOut = "none",
    repair: bool = False,
    most_ambiguous: float = MOST_AMBIGUOUS,
) -> DataSet[ShapeItem]:
    """Furniture, ShapeNet (with captions: Text2Shape) where class folders hold lists, or a folder of meshes.

    The test split of furniture has all combinations of attributes, also those that training does not see.

    Args:
        source: "furniture", or the folder.
        split: "train" or "test".
        classes: Of ShapeNet, by name or number; empty: all.
        captions_file: Of ShapeNet, Text2Shape's table: a path, or one below the folder.
        items, hold_out: Of furniture's training split.
        repair: Close meshes that are not watertight, where that can be done.
        most_ambiguous: See `MeshFolder`.
    """
    check_split(split)
    layouts: tuple[Layout[DataSet[ShapeItem]], ...] = (
        Layout(
            "ShapeNet's class folders with train.lst",
            lambda root: any(root.glob("*/train.lst")),
            lambda root: _shapenet(root, split, classes, captions_file),
        ),
        Layout("a folder of meshes", Path.is_dir, lambda root: _meshes(root, split, repair, most_ambiguous)),
    )
    return open_source(
        source,
        {"furniture": lambda: Furniture("test") if split == "test" else Furniture("train", items, hold_out=hold_out)},
        layouts,
    )


def _shapenet(root: Path, split: Split, classes: Sequence[str], captions_file: str | None) -> DataSet[ShapeItem]:
    from ddmi_modalities.shape.data.shapenet import ShapeNet
    from ddmi_modalities.shape.data.text2shape import Text2Shape

    shapes = ShapeNet(root, split, classes or None)
    if captions_file is None:
        return shapes
    captions = Path(captions_file).expanduser()
    return Text2Shape(captions if captions.is_file() else root / captions, shapes)


def _meshes(root: Path, split: Split, repair: bool, most_ambiguous: float) -> DataSet[ShapeItem]:
    from ddmi_modalities.shape.data.mesh_folder import MeshFolder

    return MeshFolder(root, split, repair=repair, most_ambiguous=most_ambiguous)


def read_cloud(path: Path, count: int) -> Float32[np.ndarray, "point 3"]:
    """Points of a file: of a point cloud all, of a mesh `count` drawn evenly over its surface.

    In the unit cube, see `in_unit_cube`.  `.npz` files hold "points" of a surface.

    Raises:
        ValueError: the file is missing or broken, holds no points, or points that are not finite or not of a surface.
    """
    import trimesh

    remedy = "give a PLY, OBJ, STL, OFF, GLB or XYZ file, or an NPZ file with an array 'points' of (n, 3)"
    if path.suffix.lower() == ".npz":
        arrays = read_npz(path, ["points"], VOLUME, remedy=remedy)
        if of_volume := [name for name in VOLUME if name in arrays]:
            raise ValueError(
                f"{path}: holds {of_volume[0]} beside its points, which are of the volume and not of the surface; give "
                "the points of the surface, such as pointcloud.npz"
            )
        points = arrays["points"]
    else:
        try:
            solid = load_geometry(path)
            if isinstance(solid, trimesh.Trimesh) and len(solid.faces):
                points = trimesh.sample.sample_surface(solid, count, seed=0)[0]
            else:
                points = solid.vertices
        except Exception as error:  # readers of third-party formats raise anything
            raise ValueError(f"{path}: cannot be read as a point cloud or mesh ({error}); {remedy}") from error
    if points.dtype.kind not in "fiu" or points.ndim != 2 or points.shape[1] != 3 or not len(points):
        raise ValueError(f"{path}: holds points of shape {points.shape} and type {points.dtype}; {remedy}")
    return in_unit_cube(np.asarray(points, np.float64), str(path))
