"""Conversion of a folder of meshes to ShapeNet's layout: slow work done once, for collections of any size."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ddmi_modalities.shape.items import check_count
from ddmi_modalities.shape.meshes import MeshItem, mesh_names, open_mesh, some_of
from ddmi_modalities.shape.shapenet import CLOUD, POINTS
from ddmi_modalities.splits import SPLITS, split_of

LOOSE = "shapes"
"""Class folder of the meshes that are not in a folder of their own."""


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """What `prepare_shapes` did."""

    written: tuple[str, ...]
    """Models, as class/model."""
    kept: tuple[str, ...]
    """Models that an earlier run had written with the same count."""
    refused: dict[str, str]
    """Why meshes were left out, by path below the source."""


def prepare_shapes(
    source: Path | str,
    out: Path | str,
    count: int = 100_000,
    repair: bool = False,
    note: Callable[[str], None] = print,
) -> Preparation:
    """Convert a folder of meshes to the layout that `ShapeNet` reads; goes on where an earlier run stopped.

    The first folder of a mesh's path becomes its class, `LOOSE` without one; the rest of the path without its suffix
    becomes the model.  points.npz has `count` points, uniform in the unit cube, in half precision (0.6 MB for
    100,000), occupancy being that of the rounded points; pointcloud.npz has `count` points of the surface.  A model's
    points depend on its name only.  Lists train.lst and test.lst are those of `MeshFolder`; there is no val.lst.
    A model appears whole or not at all; meshes that are no solids are left out and reported.

    Raises:
        ValueError: There is no such folder or no mesh in it, two meshes would become one model, or none is a solid.
    """
    check_count(count)
    source, out = Path(source).expanduser(), Path(out).expanduser()
    models: dict[str, str] = {}
    for name in mesh_names(source, "prepare_shapes"):
        model = _model_of(name)
        if model in models:
            raise ValueError(
                f"prepare_shapes: {models[model]!r} and {name!r} below {str(source)!r} would both become the model "
                f"{model!r}; rename one"
            )
        models[model] = name
    written, kept, refused = [], [], {}
    for done, (model, name) in enumerate(models.items(), 1):
        if _is_prepared(out / model, count):
            kept.append(model)
            continue
        try:
            item = open_mesh(source, name, repair)
        except ValueError as error:
            refused[name] = str(error)
            continue
        _write_model(item, out / model, count)
        written.append(model)
        if done % 100 == 0:
            note(f"prepare_shapes: {done} of {len(models)} meshes")
    sound = sorted([*written, *kept])
    if refused:
        note(f"prepare_shapes: left out {len(refused)} of {len(models)} meshes: {some_of(refused)}")
    if not sound:
        raise ValueError(
            f"prepare_shapes: none of the {len(models)} meshes below {str(source)!r} is a solid: {some_of(refused)}; "
            + ("give closed meshes" if repair else "pass repair=True")
        )
    for folder in dict.fromkeys(map(_class, sound)):
        for split in SPLITS:
            listed = [model for model in sound if _class(model) == folder and split_of(models[model]) == split]
            _write_whole(out / folder / f"{split}.lst", "".join(f"{model.split('/')[1]}\n" for model in listed))
            if not listed:
                note(f"prepare_shapes: {folder}/{split}.lst is empty: none of its meshes falls into that split")
    return Preparation(written=tuple(written), kept=tuple(kept), refused=refused)


def _class(model: str) -> str:
    return model.split("/")[0]


def _model_of(name: str) -> str:
    *folders, last = name.split("/")
    head, *rest = folders or [LOOSE]
    return f"{head}/{'_'.join([*rest, last.rsplit('.', 1)[0]])}"


def _is_prepared(model: Path, count: int) -> bool:
    """Whether both files are there and sound, with that many points."""
    try:
        with (model / POINTS).open("rb") as handle, np.load(handle, allow_pickle=False) as stored:
            points = len(stored["occupancies"]) == -(-count // 8) and stored["points"].shape == (count, 3)
        with (model / CLOUD).open("rb") as handle, np.load(handle, allow_pickle=False) as stored:
            return bool(points and stored["normals"].shape == (count, 3))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return False


def _write_model(item: MeshItem, folder: Path, count: int) -> None:
    """Both files in a temporary folder, which then gets the model's name."""
    rng = np.random.default_rng(list(hashlib.sha256(item.name.encode()).digest()))
    points = (rng.random((count, 3), dtype=np.float32) - np.float32(0.5)).astype(np.float16)
    occupied = item.inside(points.astype(np.float32))
    surface, normals = item.surface(count, rng)
    loc, scale = np.array(item.loc), np.array(item.scale)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".writing-"))
    try:
        np.savez(temporary / POINTS, points=points, occupancies=np.packbits(occupied), loc=loc, scale=scale)
        np.savez(temporary / CLOUD, points=surface, normals=normals.astype(np.float16), loc=loc, scale=scale)
        temporary.chmod(0o755)  # mkdtemp's folders are for their owner only
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_whole(file: Path, text: str) -> None:
    temporary = file.with_name(f".writing-{file.name}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, file)
