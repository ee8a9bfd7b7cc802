"""Scenes as Scene Representation Networks (Sitzmann et al. 2019) distribute them: SRN Cars and Chairs.

SCENE/rgb/000000.png, SCENE/pose/000000.txt and SCENE/intrinsics.txt.  A pose is the camera-to-world matrix, 16 numbers
row by row, in OpenCV's camera axes; the world has z up (PixelNeRF, which reads these files as they are, turns its
camera paths about z).  Cars fit into the unit cube, the cameras are 1.3 from its centre.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float64

from ddmi_modalities.datasets.folders import names_below, subfolders, walk
from ddmi_modalities.files.kinds import PICTURES
from ddmi_modalities.files.text import read_text
from ddmi_modalities.geometry.cameras import Cameras, check_aspect, check_lenses, check_poses
from ddmi_modalities.nerf.data.picture_files import read_pictures
from ddmi_modalities.nerf.data.recorded import Recording, every_nth
from ddmi_modalities.nerf.items import Views


def srn_scenes(root: Path) -> list[Path]:
    """Folders of scenes: `root` itself, its sub-folders, or theirs (the archive of chairs nests once more)."""
    below = subfolders(root) if root.is_dir() else []
    for folders in ([root], below, [folder for first in below for folder in subfolders(first)]):
        found = [folder for folder in folders if (folder / "rgb").is_dir() and (folder / "pose").is_dir()]
        if found:
            return found
    return []


def read_srn(folder: Path, hold_out: int) -> Recording:
    """One scene.  Raises ValueError that names the file that is missing, broken, or does not fit the others."""
    pictures = [folder / "rgb" / name for name in names_below(folder / "rgb", PICTURES)]
    poses = sorted(file for _, files in walk(folder / "pose") for file in files if file.suffix.lower() == ".txt")
    if not pictures:
        raise ValueError(f"{folder / 'rgb'}: holds no pictures; wanted 000000.png and so on, so unpack the scene again")
    if [file.stem for file in pictures] != [file.stem for file in poses]:
        raise ValueError(
            f"{folder}: has {len(pictures)} pictures in rgb and {len(poses)} poses in pose, and their names must be "
            "the same; remove what has no counterpart"
        )
    focal, centre, rows, columns = _intrinsics(folder / "intrinsics.txt")
    to_world = np.stack([_pose(file) for file in poses])
    check_poses(to_world, [f"{file}: the pose" for file in poses])
    images, masks = read_pictures(pictures, shaped=(columns, rows))
    both, lens = np.ones((len(poses), 2)), str(folder / "intrinsics.txt")
    check_aspect(lens, (columns, rows), (images.shape[2], images.shape[1]))
    cameras = Cameras(to_world, focal * both, centre * both, rows, columns).resized(*images.shape[1:3])
    check_lenses(cameras, [lens] * len(poses), sized=True)
    return Recording(Views(images, masks, cameras), every_nth(len(images), hold_out)).from_z_up()


def _pose(file: Path) -> Float64[np.ndarray, "4 4"]:
    numbers = _numbers(file, read_text(file))
    if len(numbers) != 16:
        raise ValueError(f"{file}: holds {len(numbers)} numbers, wanted the 16 of a camera-to-world matrix; repair it")
    return np.array(numbers).reshape(4, 4)


def _intrinsics(file: Path) -> tuple[float, Float64[np.ndarray, "2"], int, int]:
    """Focal length and principal point in pixels of a picture of this many rows and columns."""
    if not file.is_file():
        raise ValueError(
            f"{file}: is missing; wanted the focal length and principal point 'f cx cy 0.' in its first line and the "
            "pictures' 'rows columns' in its last"
        )
    lines = read_text(file).strip().splitlines()
    first, last = (_numbers(file, "".join(line)) for line in (lines[:1], lines[-1:]))
    if len(first) < 3 or len(last) != 2 or first[0] <= 0 or min(last) < 1 or not np.isfinite([*first, *last]).all():
        raise ValueError(
            f"{file}: begins with {first} and ends with {last}; wanted 'f cx cy 0.' in its first line and 'rows "
            "columns' in its last"
        )
    return first[0], np.array(first[1:3]), int(last[0]), int(last[1])


def _numbers(file: Path, text: str) -> list[float]:
    try:
        return [float(word) for word in text.split()]
    except ValueError as error:
        raise ValueError(f"{file}: {error}; wanted numbers between spaces, so unpack the scene again") from error
