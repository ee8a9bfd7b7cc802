"""Where scenes come from: the data set that a modality's `source` names, and single scenes of the user."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from ddmi_modalities.datasets.array_cache import default_cache
from ddmi_modalities.datasets.checked_sources import check_sources
from ddmi_modalities.datasets.left_out import leave_out
from ddmi_modalities.datasets.splits import Split, check_split, listed_split, split_folders, split_of
from ddmi_modalities.geometry.cameras import looking_away
from ddmi_modalities.modality import DataSet
from ddmi_modalities.nerf.data.clouds import MESHES, cloud_of, read_coloured_points
from ddmi_modalities.nerf.data.recorded import Read, RecordedScene, RecordedScenes
from ddmi_modalities.nerf.data.sampled import read_sampled, sampled_scenes
from ddmi_modalities.nerf.data.srn import read_srn, srn_scenes
from ddmi_modalities.nerf.data.transforms_json import read_transforms, transforms_scenes
from ddmi_modalities.nerf.data.turntable import COUNTS, Turntable
from ddmi_modalities.nerf.items import NerfItem
from ddmi_modalities.said import say_once

HOLD_OUT = 5
"""Of so many views of a recorded scene one is held out, where the data do not say which."""
OUTWARDS = 50
"""Percent of a scene's cameras: where more look away from the origin, that is said."""


@dataclass(frozen=True)
class Layout:
    """A way of storing scenes."""

    wanted: str
    """What it looks like, for people."""
    find: Callable[[Path], list[Path]]
    """The scenes of a folder; none where it has another layout."""
    read: Read


LAYOUTS = (
    Layout("SCENE/rgb, SCENE/pose and SCENE/intrinsics.txt (SRN)", srn_scenes, read_srn),
    Layout("SCENE/transforms.json or transforms_train.json (NeRF, nerfstudio)", transforms_scenes, read_transforms),
    Layout("sampled/SCENE.npz", sampled_scenes, read_sampled),
)


def open_scenes(
    source: str,
    split: Split,
    *,
    items: int,
    size: int,
    seed: int = 0,
    cache: Path | None = None,
    hold_out: int = HOLD_OUT,
    scale: float = 1.0,
    strict: bool = False,
) -> DataSet[NerfItem]:
    """The scenes of a split; of a folder those that can be read, the others are reported.

    Args:
        source: "turntable", or a folder in one of `LAYOUTS`.
        split: "train" or "test", see `find_scenes`.
        items: Training scenes of "turntable", which is unlimited; as many test scenes, but 100 at most.
        size: Pixels a side of "turntable"; recorded scenes have theirs.
        seed: Of "turntable".
        cache: Where "turntable" keeps its pictures, and which scenes can be read; default `$XDG_CACHE_HOME/ddmi`.
        hold_out: Of so many views of a recorded scene one is held out, where the data do not say which.
        scale: Our world units per unit of a folder's: objects should fill the unit cube.
        strict: Refuse a folder when any scene is broken, instead of leaving it out.

    Raises:
        ValueError: There is no such folder, it has none of the layouts, no scene for the split, or `strict` found a
            broken one.
    """
    if source == "turntable":
        count = items if check_split(split) == "train" else min(items, COUNTS["test"])
        return Turntable(split, count, size=size, seed=seed, cache=cache)
    folder, found = find_scenes(source, split, hold_out=hold_out, scale=scale)
    scenes = {scene.path.relative_to(folder).as_posix(): scene for scene in found}

    def views_and_away(path: Path) -> list[int]:
        """How many views a scene has, which is read to its end, and what percentage of them look away from it."""
        views = scenes[path.relative_to(folder).as_posix()].forgotten().recording.views
        return [len(views), round(100 * looking_away(views.cameras))]

    cache = cache or default_cache()
    read = check_sources(folder, list(scenes), views_and_away, what="scenes", cache=cache)
    broken = {name: result for name, result in read.items() if isinstance(result, str)}
    leave_out(f"scenes of {source!r}", "scenes", broken, len(scenes), remedy="repair or remove them", strict=strict)
    outwards = [name for name, result in read.items() if not isinstance(result, str) and result[1] > OUTWARDS]
    if outwards:
        say_once((folder, "outwards"), outwards_message(f"scenes of {source!r}", outwards, len(scenes)))
    return RecordedScenes(
        tuple(scene for name, scene in scenes.items() if name not in broken), len(broken), folder=folder, cache=cache
    )


def outwards_message(source: str, outwards: Sequence[str], total: int) -> str:
    """What to say of scenes most of whose cameras have the world's origin behind them."""
    return (
        f"{source}: in {len(outwards)} of {total} scenes, such as {outwards[0]!r}, these cameras look outwards, away "
        "from the world's origin: is the axis convention right?  Matrices are camera to world, those of a "
        "transforms.json in OpenGL's camera axes"
    )


def find_scenes(
    source: str, split: Split, *, hold_out: int = HOLD_OUT, scale: float = 1.0
) -> tuple[Path, list[RecordedScene]]:
    """A folder in which the scenes of a split lie, and these; nothing of them is read.

    The split is the sub-folder whose last word is train or test (or val) where there are both; or that of lists in the
    folder (see `listed_split`); otherwise about a tenth of the scenes is held out, by their names.  A folder that is
    itself one scene is both splits.
    """
    check_split(split)
    root = Path(source).expanduser()
    if not source or not root.exists():
        raise ValueError(f"scenes: {source!r} does not exist; give 'turntable' or the path of a folder of scenes")
    one_scene = any(layout.find(root) == [root] for layout in LAYOUTS)
    part = None if one_scene else split_folders(root).get(split)
    folder = part or root
    for layout in LAYOUTS:
        if paths := layout.find(folder):
            scenes = [_scene(folder, path, layout, hold_out, scale) for path in paths]
            by_name = part is None and not one_scene
            listed = listed_split(folder, split, [scene.name for scene in scenes]) if by_name else None
            if listed is not None:
                chosen = [scene for scene in scenes if scene.name in listed]
            else:
                chosen = [scene for scene in scenes if not by_name or split_of(scene.name) == split]
            if not chosen:
                raise ValueError(
                    f"scenes: none of the {len(scenes)} scenes in {source!r} falls into the split {split!r}; add "
                    "scenes, about one in nine is for testing, or make folders named train and test"
                )
            return folder.parent if one_scene else folder, chosen
    raise ValueError(
        f"scenes: {str(folder)!r} holds no scene; wanted one of {'; '.join(known.wanted for known in LAYOUTS)}"
    )


def open_scene(path: Path, *, hold_out: int = HOLD_OUT, scale: float = 1.0) -> RecordedScene:
    """The one scene that a folder or NPZ file holds; ValueError where that holds none or several."""
    for layout in LAYOUTS:
        if len(found := layout.find(path)) == 1:
            return _scene(path.parent, found[0], layout, hold_out, scale)
    raise ValueError(
        f"{path}: is not one scene; wanted a scene of the layout {'; or '.join(known.wanted for known in LAYOUTS)}"
    )


def read_scene(path: Path, count: int, half: float, scale: float = 1.0) -> Float32[np.ndarray, "count 6"]:
    """`count` coloured points of a scene's folder or NPZ file, or of a coloured point cloud or mesh.

    Those of a scene that holds none are made from its pictures, within the cube of this half side.  The same points
    every time.  Raises ValueError that names the file.
    """
    if path.suffix.lower() in MESHES:
        return read_coloured_points(path, count)
    return cloud_of(open_scene(path, scale=scale), count, half, np.random.default_rng(0))


def _scene(root: Path, path: Path, layout: Layout, hold_out: int, scale: float) -> RecordedScene:
    if not 0 < scale < float("inf"):
        raise ValueError(f"scenes: wanted a scale above 0, got {scale}; give our world units per unit of the files")
    below = path.relative_to(root).parts if path != root else (path.name,)
    name = "/".join(part for part in below if part != "sampled").removesuffix(".npz")
    return RecordedScene(name, path, layout.read, hold_out, scale)
