"""Conversion of a folder of meshes to ShapeNet's layout: slow work done once, for collections of any size."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from ddmi_modalities.datasets.preparation import Item, Plan
from ddmi_modalities.datasets.splits import SPLITS
from ddmi_modalities.files.npz import npz_bytes
from ddmi_modalities.files.text import read_json
from ddmi_modalities.geometry.solids import check_count
from ddmi_modalities.shape.data.mesh_folder import meshes_of_split, open_mesh, said_of_shares
from ddmi_modalities.shape.data.shapenet import CLASSES, CLOUD, POINTS
from ddmi_modalities.shape.items import MOST_AMBIGUOUS
from ddmi_modalities.shape.modality import ShapeModality

LOOSE = "shapes"
"""Class folder of the meshes that are not in a folder of their own."""
OPEN = "open.json"
"""Beside the points of a mesh that is not closed."""
SAME_OF_ALL = frozenset({"model", "models", "model_normalized"})
"""What ShapeNet calls every mesh, and the folder of it: its models keep their numbers, by which captions name them."""


@dataclass(frozen=True, kw_only=True)
class ShapePreparation:
    """Meshes as OBJ, PLY, STL, OFF or GLB to points with occupancy, OUT/CLASS/MODEL/points.npz and pointcloud.npz.

    The first folder of a mesh's path becomes its class, 'shapes' without one; the rest of the path without its suffix
    becomes the model.  Points of the volume are uniform in the unit cube, in half precision (0.6 MB for 100,000),
    occupancy being that of the rounded points; a model's points depend on its name only.  Lists train.lst and test.lst
    are those of `MeshFolder`; there is no val.lst.  Of a mesh that is not closed, open.json has the share of its box
    that is ambiguous.
    """

    count: int = 100_000
    """Points stored of each shape, as many in the volume as on the surface."""
    repair: bool = False
    """Repair meshes that are not watertight."""
    most_ambiguous: float = MOST_AMBIGUOUS
    """Of meshes that are not watertight, the largest share of the box in which the winding number may lie between 1/4
    and 3/4; others are left out."""

    def plan(self, modality: ShapeModality) -> Plan:
        """All meshes of the modality's source and classes.  ValueError where there are none."""
        check_count(self.count)
        root = Path(modality.source).expanduser().resolve()
        if any(root.glob("*/train.lst")):
            raise ValueError(
                f"prepare: {modality.source!r} is in the layout that training reads; pass it to --data of `ddmi train`"
            )
        items = []
        for split in SPLITS:
            folder, names = meshes_of_split(root, split, "prepare")
            for name in names:
                model = _model_of(name)
                kind = model.split("/")[0]
                if modality.classes and not {kind, CLASSES.get(kind)} & {*modality.classes}:
                    continue
                make = partial(_files, folder, name, model, self.count, self.repair, self.most_ambiguous)
                source = (folder / name).relative_to(root).as_posix()
                items.append(Item(name=model, split=split, sources=(source,), make=make))
        if not items:
            raise ValueError(
                f"prepare: no meshes in folders named {', '.join(modality.classes)} in {modality.source!r}; name its "
                "folders so, or by their numbers in ShapeNet"
            )
        captions = modality.captions_file
        return Plan(
            what="shapes",
            source=root,
            items=items,
            settings={
                "count": self.count,
                "repair": self.repair,
                "most_ambiguous": self.most_ambiguous,
                "classes": modality.classes,
            },
            lists=_lists,
            remedy="give closed meshes"
            + ("" if self.repair else ", mend them with --repair")
            + ", or take more of them with --most-ambiguous",
            closing=_said_of_open,
            options="--modality.near None" + (f" --modality.captions-file {root / captions}" if captions else ""),
        )


def _model_of(name: str) -> str:
    *folders, last = PurePosixPath(name).with_suffix("").parts
    head, *rest = folders or [LOOSE]
    return f"{head}/{'_'.join([part for part in (*rest, last) if part not in SAME_OF_ALL] or [last])}"


def _files(
    root: Path, name: str, model: str, count: int, repair: bool, most_ambiguous: float
) -> Iterator[tuple[str, bytes]]:
    item, share = open_mesh(root, name, repair, most_ambiguous)
    rng = np.random.default_rng(list(hashlib.sha256(name.encode()).digest()))
    points = (rng.random((count, 3), dtype=np.float32) - np.float32(0.5)).astype(np.float16)
    occupied = np.packbits(item.inside(points.astype(np.float32)))
    surface, normals = item.surface(count, rng)
    place = dict(loc=np.array(item.loc), scale=np.array(item.scale))
    yield f"{model}/{POINTS}", npz_bytes(points=points, occupancies=occupied, **place)
    yield f"{model}/{CLOUD}", npz_bytes(points=surface, normals=normals.astype(np.float16), **place)
    if share is not None:
        yield f"{model}/{OPEN}", json.dumps({"ambiguous": round(share, 5)}).encode()


def _said_of_open(out: Path, made: Sequence[Item]) -> str:
    shares = {item.name: out / item.name / OPEN for item in made}
    return said_of_shares({name: read_json(file)["ambiguous"] for name, file in shares.items() if file.exists()})


def _lists(made: Sequence[Item]) -> dict[str, str]:
    """The models of each class and split."""
    models: dict[str, str] = {}
    for folder in dict.fromkeys(item.name.split("/")[0] for item in made):
        models.update({f"{folder}/{split}.lst": "" for split in SPLITS})
    for item in sorted(made, key=lambda item: item.name):
        folder, model = item.name.split("/")
        models[f"{folder}/{item.split}.lst"] += f"{model}\n"
    return models
