"""Scenes with a transforms.json, as NeRF's synthetic scenes, nerfstudio and instant-ngp have them.

Camera-to-world matrices in OpenGL's camera axes, the world with z up.  Intrinsics are fl_x, fl_y, cx, cy, w, h, of the
file or of a frame, or camera_angle_x.  NeRF's synthetic scenes have transforms_train.json, transforms_val.json and
transforms_test.json instead: there the frames of the first are given, those of the last (or of the second) held out.
One file may say so itself, by train_filenames and test_filenames (or val_filenames).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from ddmi_modalities.datasets.folders import subfolders
from ddmi_modalities.datasets.splits import HELD_OUT_NAMES, Split, check_apart
from ddmi_modalities.files.text import named_file, read_json
from ddmi_modalities.geometry.cameras import OPENGL, Cameras, check_aspect, check_lenses, check_poses
from ddmi_modalities.nerf.data.picture_files import SUFFIXES, read_pictures
from ddmi_modalities.nerf.data.recorded import Recording, every_nth
from ddmi_modalities.nerf.items import Views

NAME, TRAIN, HELD_OUT = "transforms.json", "transforms_train.json", ("transforms_test.json", "transforms_val.json")
DISTORTION = ("k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2")
PINHOLES = ("PINHOLE", "SIMPLE_PINHOLE", "PERSPECTIVE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "FULL_OPENCV")
"""Camera models, COLMAP's and nerfstudio's, that are pinholes where they distort nothing."""
NO_PINHOLES = ("is_fisheye", "fisheye", "latlong", "equirectangular", "orthographic", "is_ortho", "ftheta_p0")
"""Keys, instant-ngp's among them, that say of other lenses what they are."""


def transforms_scenes(root: Path) -> list[Path]:
    """Folders of scenes: `root` itself or its sub-folders."""
    for folders in ([root], subfolders(root) if root.is_dir() else []):
        found = [folder for folder in folders if (folder / NAME).is_file() or (folder / TRAIN).is_file()]
        if found:
            return found
    return []


def read_transforms(folder: Path, hold_out: int) -> Recording:
    """One scene.  Raises ValueError that names the file that is missing, broken, or does not fit the others."""
    if (folder / NAME).is_file():
        files = [folder / NAME]
    else:
        files = [folder / TRAIN, *[folder / name for name in HELD_OUT if (folder / name).is_file()][:1]]
    frames = [(file, content, frame) for file in files for content in [_load(file)] for frame in content["frames"]]
    stated = frames[0][1]["stated"] if len(files) == 1 else None
    if stated is not None:  # frames that are in no list take no part
        frames = [one for one in frames if one[2]["file_path"] in stated]
    pictures = [_file(file, frame, "file_path", SUFFIXES) for file, _, frame in frames]
    to_world = np.stack([_pose(file, frame) for file, _, frame in frames])
    names = [f"{file}: {frame['file_path']!r}" for file, _, frame in frames]
    check_poses(to_world, [f"{file}: the transform_matrix of {frame['file_path']!r}" for file, _, frame in frames])
    masks = [_file(file, frame, "mask_path") if frame.get("mask_path") else None for file, _, frame in frames]
    lenses = [_lens(file, {**content, **frame}) for file, content, frame in frames]
    sized = "w" in lenses[0] and "h" in lenses[0]
    images, found = read_pictures(
        pictures, masks, shaped=(round(lenses[0]["w"]), round(lenses[0]["h"])) if sized else None
    )
    rows, columns = images.shape[1:3]
    numbers = np.array([_intrinsics(*pair, rows, columns) for pair in zip(names, lenses, strict=True)])
    cameras = Cameras(to_world @ OPENGL, numbers[:, :2], numbers[:, 2:], rows, columns)
    check_lenses(cameras, names, sized=sized)
    views = Views(images, found, cameras)
    if stated is not None:
        held_out = [stated[frame["file_path"]] != "train" for _, _, frame in frames]
        return Recording(views, np.flatnonzero(held_out)).from_z_up()
    if len(files) == 1:
        return Recording(views, every_nth(len(views), hold_out)).from_z_up()
    given = sum(file == files[0] for file, _, _ in frames)
    check_apart(str(folder), [str(path) for path in pictures[:given]], [str(path) for path in pictures[given:]])
    return Recording(views, np.arange(given, len(views))).from_z_up()


def _load(file: Path) -> dict[str, Any]:
    try:
        content = read_json(file)
    except ValueError as error:
        raise ValueError(f"{file}: cannot be read as JSON ({error}); repair it") from error
    frames = content.get("frames") if isinstance(content, dict) else None
    if not isinstance(frames, list) or not frames:
        raise ValueError(f"{file}: has no frames; wanted a list 'frames' with a file_path and a transform_matrix each")
    for number, frame in enumerate(frames):
        if (
            not isinstance(frame, dict)
            or not isinstance(frame.get("file_path"), str)
            or "transform_matrix" not in frame
        ):
            raise ValueError(f"{file}: frame {number} has no file_path or no transform_matrix; add them or remove it")
    return {**content, "stated": _stated(file, content)}


def _stated(file: Path, content: dict[str, Any]) -> dict[str, Split] | None:
    """The split of each frame that the file's own lists name, by its file_path; None where it has none."""
    lists = {key: content[f"{key}_filenames"] for key in ("train", *HELD_OUT_NAMES) if f"{key}_filenames" in content}
    for key, names in lists.items():
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError(f"{file}: {key}_filenames is no list of names; write the file_path of frames")
        known = {frame["file_path"] for frame in content["frames"]}
        if absent := [name for name in names if name not in known]:
            raise ValueError(
                f"{file}: {len(absent)} of {len(names)} {key}_filenames are the file_path of no frame, such as "
                f"{absent[0]!r}; correct the list"
            )
        if key != "train":
            check_apart(str(file), lists.get("train", []), names)
    held_out = next((lists[key] for key in HELD_OUT_NAMES if key in lists), None)
    if "train" not in lists or not held_out:
        return None
    return {**dict.fromkeys(lists["train"], "train"), **dict.fromkeys(held_out, "test")}


def _pose(file: Path, frame: dict[str, Any]) -> Float64[np.ndarray, "4 4"]:
    try:
        pose = np.array(frame["transform_matrix"], np.float64)
    except (TypeError, ValueError):
        pose = np.empty(0)
    if pose.shape == (3, 4):
        pose = np.concatenate([pose, [[0.0, 0.0, 0.0, 1.0]]])
    if pose.shape != (4, 4):
        raise ValueError(f"{file}: the transform_matrix of {frame['file_path']!r} is no 4 x 4 matrix; repair it")
    return pose


def _file(file: Path, frame: dict[str, Any], key: str, suffixes: tuple[str, ...] = ()) -> Path:
    """What a frame names, whose path may lack its suffix."""
    found = named_file(file.parent, frame[key], suffixes) if isinstance(frame[key], str) else None
    if found is None:
        without = " with or without a picture's suffix," if suffixes else ""
        raise ValueError(
            f"{file}: there is no picture {frame[key]!r},{without} that {key} names; remove the frame or copy the "
            "picture there"
        )
    return found


def _lens(file: Path, says: dict[str, Any]) -> dict[str, float]:
    """The numbers of a frame's lens, which is a pinhole."""
    name = f"{file}: {says['file_path']!r}"
    model = says.get("camera_model")
    other = [key for key in NO_PINHOLES if says.get(key)]
    if other or (model is not None and str(model).upper() not in PINHOLES):
        raise ValueError(
            f"{name}: its camera is no pinhole ({', '.join(other) or f'camera_model {model!r}'}); undistort the "
            "pictures to pinholes first (COLMAP's image_undistorter does)"
        )
    keys = ("fl_x", "fl_y", "cx", "cy", "w", "h", "camera_angle_x", "camera_angle_y", *DISTORTION)
    number: dict[str, float] = {}
    for key in keys:
        if says.get(key) is not None:
            if isinstance(says[key], bool) or not isinstance(says[key], int | float) or not math.isfinite(says[key]):
                raise ValueError(f"{name}: {key} is {says[key]!r}; wanted a finite number")
            number[key] = float(says[key])
    if any(number.get(key, 0.0) != 0 for key in DISTORTION):
        raise ValueError(
            f"{name}: has lens distortion ({', '.join(key for key in DISTORTION if number.get(key))}), and a pinhole "
            "camera is wanted; undistort the pictures first (COLMAP's image_undistorter does)"
        )
    for key in ("camera_angle_x", "camera_angle_y"):
        if not 0 < number.get(key, 1.0) < math.pi:
            raise ValueError(
                f"{name}: {key} is {number[key]:g}; wanted radians between 0 and pi, so divide degrees by 57.2958"
            )
    if min(number.get("w", 1.0), number.get("h", 1.0)) <= 0:
        raise ValueError(f"{name}: w and h are {number.get('w')} and {number.get('h')}; wanted the pictures' pixels")
    return number


def _intrinsics(name: str, number: dict[str, float], rows: int, columns: int) -> tuple[float, float, float, float]:
    """fx, fy, cx, cy in the pixels of a picture of this size."""
    wide, high = number.get("w", float(columns)), number.get("h", float(rows))
    check_aspect(name, (wide, high), (columns, rows))
    fx = number.get("fl_x")
    if fx is None and "camera_angle_x" in number:
        fx = wide / 2 / math.tan(number["camera_angle_x"] / 2)
    if fx is None or fx <= 0:
        raise ValueError(
            f"{name}: has no intrinsics; wanted camera_angle_x in radians, or fl_x, fl_y, cx, cy, w, h in pixels"
        )
    fy = number.get("fl_y")
    if fy is None:
        fy = high / 2 / math.tan(number["camera_angle_y"] / 2) if "camera_angle_y" in number else fx
    across, down = columns / wide, rows / high  # the file may speak of the pictures at another size
    return fx * across, fy * down, number.get("cx", wide / 2) * across, number.get("cy", high / 2) * down
