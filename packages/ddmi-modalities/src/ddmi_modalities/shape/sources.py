"""Where shapes come from: the data set that a modality's `source` names, and single files of the user."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32

from ddmi_modalities.modality import DataSet
from ddmi_modalities.shape.furniture import Furniture, HoldOut
from ddmi_modalities.shape.items import ShapeItem
from ddmi_modalities.splits import Split, check_split

__all__ = ["HoldOut", "SourceSettings", "open_source", "prompted_items", "read_cloud"]


@runtime_checkable
class SourceSettings(Protocol):
    """What `ShapeModality` says about its data."""

    @property
    def source(self) -> str: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def captions_file(self) -> str | None: ...
    @property
    def items(self) -> int: ...
    @property
    def hold_out(self) -> HoldOut: ...
    @property
    def repair(self) -> bool: ...


def open_source(settings: SourceSettings, split: Split) -> DataSet[ShapeItem]:
    """Furniture, ShapeNet (with captions: Text2Shape) where class folders hold lists, or a folder of meshes.

    The test split of furniture has all combinations of attributes, also those that training does not see.  Captions lie
    where they are named, or below the root.
    """
    check_split(split)
    if settings.source == "furniture":
        if split == "test":
            return Furniture("test")
        return Furniture("train", settings.items, hold_out=settings.hold_out)
    root = Path(settings.source)
    if any(root.glob("*/train.lst")):
        from ddmi_modalities.shape.shapenet import ShapeNet
        from ddmi_modalities.shape.text2shape import Text2Shape

        shapes = ShapeNet(root, split, settings.classes or None)
        if settings.captions_file is None:
            return shapes
        captions = Path(settings.captions_file).expanduser()
        return Text2Shape(captions if captions.is_file() else root / captions, shapes)
    from ddmi_modalities.shape.mesh_folder import MeshFolder

    return MeshFolder(root, split, repair=settings.repair)


def prompted_items(settings: SourceSettings) -> DataSet[ShapeItem]:
    """Held-out items whose captions are asked for in evaluation: of furniture, where training leaves combinations of
    attributes out, these combinations only."""
    if settings.source == "furniture" and settings.hold_out == "combinations":
        return Furniture("test", hold_out="combinations")
    return open_source(settings, "test")


def read_cloud(path: Path, count: int) -> Float32[np.ndarray, "point 3"]:
    """Points of a file: of a point cloud all, of a mesh `count` drawn evenly over its surface.

    What leaves the unit cube is centred and its largest side scaled to 1; what fits stays where it is.  `.npz` files
    hold "points", everything else is read by trimesh.

    Raises:
        ValueError: the file is missing or broken, holds no points, or points that are not finite.
    """
    import trimesh

    remedy = "give a PLY, OBJ, STL, OFF, GLB or XYZ file, or an NPZ file with an array 'points' of (n, 3)"
    try:
        if path.suffix == ".npz":
            points = np.load(path)["points"]
        else:
            loaded = trimesh.load(path)
            solid: Any = loaded.to_geometry() if isinstance(loaded, trimesh.Scene) else loaded
            if isinstance(solid, trimesh.Trimesh) and len(solid.faces):
                points = trimesh.sample.sample_surface(solid, count, seed=0)[0]
            else:
                points = solid.vertices
    except Exception as error:  # readers of third-party formats raise anything
        raise ValueError(f"{path}: cannot be read as a point cloud or mesh ({error}); {remedy}") from error
    points = np.asarray(points, np.float32)
    if points.ndim != 2 or points.shape[1] != 3 or not len(points):
        raise ValueError(f"{path}: holds points of shape {points.shape}; {remedy}")
    if not np.isfinite(points).all():
        raise ValueError(f"{path}: holds points that are not finite; remove them")
    if np.abs(points).max() > 0.5 + 1e-3:
        low, high = points.min(0), points.max(0)
        points = (points - (low + high) / 2) / max(float((high - low).max()), 1e-12)
    return points
