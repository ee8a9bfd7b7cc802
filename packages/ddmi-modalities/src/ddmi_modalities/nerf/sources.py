"""Where scenes come from: the data set that a modality's `source` names, and single scenes of the user."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from ddmi_modalities.modality import DataSet
from ddmi_modalities.nerf.clouds import MESHES, cloud_of, read_coloured_points
from ddmi_modalities.nerf.recorded import Read, RecordedScene, RecordedScenes
from ddmi_modalities.nerf.sampled import read_sampled, sampled_scenes
from ddmi_modalities.nerf.scenes import SceneItem
from ddmi_modalities.nerf.srn import read_srn, srn_scenes
from ddmi_modalities.nerf.transforms_json import read_transforms, transforms_scenes
from ddmi_modalities.nerf.turntable import COUNTS, Turntable
from ddmi_modalities.splits import Split, check_split, split_of

HOLD_OUT = 5
"""Of so many views of a recorded scene one is held out, where the data do not say which."""


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
) -> DataSet[SceneItem]:
    """The scenes of a split.

    Of a folder, the split is the sub-folder whose name ends in train or test (or val) where there are both; otherwise
    about a tenth of the scenes is held out, by their names.  A folder that is itself one scene is both splits.

    Args:
        source: "turntable", or a folder in one of `LAYOUTS`.
        split: "train" or "test".
        items: Training scenes of "turntable", which is unlimited; as many test scenes, but 100 at most.
        size: Pixels a side of "turntable"; recorded scenes have theirs.
        seed: Of "turntable".
        cache: Where "turntable" keeps its pictures.
        hold_out: Of so many views of a recorded scene one is held out, where the data do not say which.
        scale: Our world units per unit of a folder's: objects should fill the unit cube.

    Raises:
        ValueError: There is no such folder, it has none of the layouts, or no scene for the split.
    """
    check_split(split)
    if source == "turntable":
        count = items if split == "train" else min(items, COUNTS["test"])
        return Turntable(split, count, size=size, seed=seed, cache=cache)
    root = Path(source).expanduser()
    if not source or not root.exists():
        raise ValueError(f"scenes: {source!r} does not exist; give 'turntable' or the path of a folder of scenes")
    part, by_name = _split_folder(root, split)
    for layout in LAYOUTS:
        if paths := layout.find(part):
            alone = paths == [root]
            scenes = [_scene(part, path, layout, hold_out, scale) for path in paths]
            chosen = [scene for scene in scenes if alone or not by_name or split_of(scene.name) == split]
            if not chosen:
                raise ValueError(
                    f"scenes: none of the {len(scenes)} scenes in {source!r} falls into the split {split!r}; add "
                    "scenes, about one in nine is for testing, or make folders named train and test"
                )
            return RecordedScenes(tuple(chosen))
    raise ValueError(
        f"scenes: {str(part)!r} holds no scene; wanted one of {'; '.join(known.wanted for known in LAYOUTS)}"
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


def _split_folder(root: Path, split: Split) -> tuple[Path, bool]:
    """The folder to search, and whether its scenes have still to be split by name."""
    if not root.is_dir():
        return root, True
    folders = sorted(path for path in root.iterdir() if path.is_dir())
    ends = {end: [path for path in folders if path.name.endswith(end)] for end in ("train", "test", "val")}
    held_out = ends["test"] or ends["val"]
    if len(ends["train"]) != 1 or len(held_out) != 1 or any(layout.find(root) == [root] for layout in LAYOUTS):
        return root, True
    return (ends["train"] if split == "train" else held_out)[0], False
