"""Miniature scenes in each layout: pictures with a dot where a known point of our world must be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from ddmi_modalities.geometry.cameras import Cameras

POINT = np.array([0.1, 0.2, -0.15])
"""In our world, y up."""
FILE_POINT = np.array([0.1, 0.15, 0.2])
"""The same in a world with z up."""
ROWS, COLUMNS, FOCAL = 40, 48, 60.0
CENTRE = (22.0, 21.0)
"""cx, cy: not the middle of the picture, so that mixing them up shows."""


def look_at(position: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Camera to world, OpenCV style, of a camera that looks at the origin; written without the package."""
    forward = -position / np.linalg.norm(position)
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3] = np.stack([right, np.cross(forward, right), forward, position], axis=1)
    return pose


def z_up_poses(count: int) -> list[np.ndarray]:
    """Cameras around the z axis, a little above, 1.5 from the origin."""
    turns = 0.3 + 2 * np.pi * np.arange(count) / count
    return [look_at(1.5 * np.array([np.cos(t) * 0.9, np.sin(t) * 0.9, 0.436]), np.array([0, 0, 1.0])) for t in turns]


def dot_of(pose: np.ndarray, centre: tuple[float, float] = CENTRE, focal: float = FOCAL) -> tuple[int, int]:
    """Row and column of the pixel where `FILE_POINT` is seen; by hand."""
    x, y, z = pose[:3, :3].T @ (FILE_POINT - pose[:3, 3])
    return int(focal * y / z + centre[1]), int(focal * x / z + centre[0])


def picture(row: int, column: int, channels: int = 3, shape: tuple[int, int] = (ROWS, COLUMNS)) -> np.ndarray:
    """White, or transparent, with one dark red pixel."""
    pixels = np.full((*shape, channels), 255, np.uint8)
    if channels == 4:
        pixels[:] = (0, 0, 0, 0)
    pixels[row, column, :3] = (120, 10, 20)
    if channels == 4:
        pixels[row, column, 3] = 255
    return pixels


def write_srn(folder: Path, count: int = 5) -> Path:
    (folder / "rgb").mkdir(parents=True)
    (folder / "pose").mkdir()
    for view, pose in enumerate(z_up_poses(count)):
        Image.fromarray(picture(*dot_of(pose))).save(folder / "rgb" / f"{view:06d}.png")
        (folder / "pose" / f"{view:06d}.txt").write_text(" ".join(f"{number:.8f}" for number in pose.ravel()))
    lines = [f"{FOCAL} {CENTRE[0]} {CENTRE[1]} 0.", "0. 0. 0.", "0.", "1.", f"{ROWS} {COLUMNS}"]
    (folder / "intrinsics.txt").write_text("\n".join(lines) + "\n")
    return folder


def opengl(pose: np.ndarray) -> np.ndarray:
    """y up and z backward, column by column."""
    return np.stack([pose[:, 0], -pose[:, 1], -pose[:, 2], pose[:, 3]], axis=1)


def write_transforms(folder: Path, count: int = 5, name: str = "transforms.json", suffix: str = ".png") -> Path:
    (folder / name.removesuffix(".json")).mkdir(parents=True)
    frames = []
    for view, pose in enumerate(z_up_poses(count)):
        path = f"./{name.removesuffix('.json')}/r_{view}"
        Image.fromarray(picture(*dot_of(pose), channels=4)).save(folder / f"{path}.png")
        frames.append({"file_path": path + suffix, "transform_matrix": opengl(pose).tolist()})
    intrinsics = {"fl_x": FOCAL, "fl_y": FOCAL, "cx": CENTRE[0], "cy": CENTRE[1], "w": COLUMNS, "h": ROWS}
    (folder / name).write_text(json.dumps({**intrinsics, "frames": frames}))
    return folder


def sampled_arrays(count: int = 5, size: int = 40) -> dict[str, np.ndarray]:
    """Square pictures, since the layout's field of view is that of the width."""
    focal = size / 2 / np.tan(0.6911112070083618 / 2)
    poses = z_up_poses(count)
    dots = [dot_of(pose, (size / 2, size / 2), focal) for pose in poses]
    return {
        "images": np.stack([picture(*dot, shape=(size, size)) for dot in dots]).astype(np.float32) / 255,
        "cam_poses": np.stack([opengl(pose) for pose in poses]).astype(np.float32),
        "data": np.concatenate([np.tile(FILE_POINT, (7, 1)), np.full((7, 3), 0.25)], axis=1),
    }


def write_sampled_file(file: Path, **changed: np.ndarray | None) -> Path:
    arrays = {key: value for key, value in {**sampled_arrays(), **changed}.items() if value is not None}
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez(file, **arrays)
    return file


def dots(images: np.ndarray) -> np.ndarray:
    """(column, row) of the one dark pixel of each picture."""
    found = [np.argwhere(image.min(axis=-1) < 128) for image in images]
    assert all(len(one) == 1 for one in found)
    return np.concatenate(found)[:, ::-1]


def projected(cameras: Cameras) -> np.ndarray:
    """(column, row) of the pixel where each camera sees `POINT`."""
    pixels, depth = cameras.project(POINT[None])
    assert (depth > 0).all()
    return np.floor(pixels[:, 0]).astype(int)
