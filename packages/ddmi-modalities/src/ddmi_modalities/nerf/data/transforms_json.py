"""Scenes with a transforms.json, as NeRF's synthetic scenes, nerfstudio and instant-ngp have them.

Camera-to-world matrices in OpenGL's camera axes, the world with z up.  Intrinsics are fl_x, fl_y, cx, cy, w, h, of the
file or of a frame, or camera_angle_x.  NeRF's synthetic scenes have transforms_train.json, transforms_val.json and
transforms_test.json instead: there the frames of the first are given, those of the last (or of the second) held out.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from ddmi_modalities.geometry.cameras import OPENGL, Cameras, check_poses
from ddmi_modalities.nerf.data.picture_files import SUFFIXES, read_pictures
from ddmi_modalities.nerf.data.recorded import Recording, every_nth
from ddmi_modalities.nerf.items import Views

NAME, TRAIN, HELD_OUT = "transforms.json", "transforms_train.json", ("transforms_test.json", "transforms_val.json")
DISTORTION = ("k1", "k2", "k3", "k4", "p1", "p2")


def transforms_scenes(root: Path) -> list[Path]:
    """Folders of scenes: `root` itself or its sub-folders."""
    for folders in ([root], root.glob("*/")):
        found = sorted(f for f in folders if (f / NAME).is_file() or (f / TRAIN).is_file())
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
    to_world = np.stack([_pose(file, frame) for file, _, frame in frames])
    check_poses(to_world, [f"{file}: the transform_matrix of {frame['file_path']!r}" for file, _, frame in frames])
    images, masks = read_pictures([_picture(file, frame) for file, _, frame in frames])
    rows, columns = images.shape[1:3]
    numbers = np.array([_intrinsics(file, {**content, **frame}, rows, columns) for file, content, frame in frames])
    cameras = Cameras(to_world @ OPENGL, numbers[:, :2], numbers[:, 2:], rows, columns)
    views = Views(images, masks, cameras)
    if len(files) == 1:
        return Recording(views, every_nth(len(views), hold_out)).from_z_up()
    given = sum(file == files[0] for file, _, _ in frames)
    return Recording(views, np.arange(given, len(views))).from_z_up()


def _load(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
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
    return dict(content)


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


def _picture(file: Path, frame: dict[str, Any]) -> Path:
    """The picture of a frame, whose path may lack its suffix."""
    named = file.parent / frame["file_path"]
    for path in (named, *(named.with_name(named.name + suffix) for suffix in SUFFIXES)):
        if path.is_file():
            return path
    raise ValueError(
        f"{file}: there is no picture {frame['file_path']!r}, with or without {', '.join(SUFFIXES)}; remove the frame "
        "or copy the picture there"
    )


def _intrinsics(file: Path, says: dict[str, Any], rows: int, columns: int) -> tuple[float, float, float, float]:
    """fx, fy, cx, cy in the pixels of a picture of this size."""
    keys = ("fl_x", "fl_y", "cx", "cy", "w", "h", "camera_angle_x", "camera_angle_y", *DISTORTION)
    number: dict[str, float] = {}
    for key in keys:
        if says.get(key) is not None:
            if not isinstance(says[key], int | float) or not math.isfinite(says[key]):
                raise ValueError(f"{file}: {key} is {says[key]!r}; wanted a finite number")
            number[key] = float(says[key])
    if any(number.get(key, 0.0) != 0 for key in DISTORTION):
        raise ValueError(
            f"{file}: has lens distortion ({', '.join(key for key in DISTORTION if number.get(key))}), and a pinhole "
            "camera is wanted; undistort the pictures first (COLMAP's image_undistorter does)"
        )
    wide, high = number.get("w", columns), number.get("h", rows)
    fx = number.get("fl_x")
    if fx is None and "camera_angle_x" in number:
        fx = wide / 2 / math.tan(number["camera_angle_x"] / 2)
    if fx is None or fx <= 0 or min(wide, high) <= 0:
        raise ValueError(
            f"{file}: has no intrinsics; wanted camera_angle_x in radians, or fl_x, fl_y, cx, cy, w, h in pixels"
        )
    fy = number.get("fl_y")
    if fy is None:
        fy = high / 2 / math.tan(number["camera_angle_y"] / 2) if "camera_angle_y" in number else fx
    across, down = columns / wide, rows / high  # the file may speak of the pictures at another size
    return fx * across, fy * down, number.get("cx", wide / 2) * across, number.get("cy", high / 2) * down
