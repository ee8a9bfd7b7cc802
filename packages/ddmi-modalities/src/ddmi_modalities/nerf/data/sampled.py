"""Scenes as one NPZ file each: the layout sampled/*.npz of data sets with point clouds.

images (view, rows, columns, 3 or 4), uint8 or floats in [0, 1]; cam_poses (view, 4, 4), camera to world in OpenGL's
camera axes; data (point, 6), position and colour in [0, 1].  The world has z up, as Blender has it.  The layout stores
no intrinsics: the horizontal field of view is `ANGLE`, that of Blender's default camera and of NeRF's synthetic scenes.

Files that `sampled_file` makes have three more arrays, which are optional: intrinsics (view, 4) with fx, fy, cx, cy
in pixels, masks (view, rows, columns) and held_out, numbers of views.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from numpy.typing import NDArray

from ddmi_modalities.datasets.folders import is_hidden, subfolders
from ddmi_modalities.files.npz import npz_bytes, read_npz
from ddmi_modalities.geometry.cameras import OPENGL, Z_UP, Cameras, check_lenses, check_poses
from ddmi_modalities.geometry.unit_cube import FAR
from ddmi_modalities.nerf.data.recorded import Recording, every_nth
from ddmi_modalities.nerf.items import Views, mask_of_white

ANGLE = 0.6911112070083618
"""Radians from the left to the right edge of a picture."""


def sampled_scenes(root: Path) -> list[Path]:
    """The files of ROOT/sampled, of ROOT/CLASS/sampled, or of ROOT itself, which may also be one file."""
    if root.suffix.lower() == ".npz" and root.is_file():
        return [root]
    if not root.is_dir():
        return []
    for folders in ([root / "sampled"], [folder / "sampled" for folder in subfolders(root)], [root]):
        there = [file for folder in folders if folder.is_dir() for file in sorted(folder.iterdir())]
        if found := [file for file in there if file.suffix.lower() == ".npz" and not is_hidden(file.name)]:
            return found
    return []


def read_sampled(file: Path, hold_out: int) -> Recording:
    """One scene.  Raises ValueError that names the file and what is wrong in it."""
    arrays = read_npz(
        file, ["images", "cam_poses", "data"], ["intrinsics", "masks", "held_out"], remedy="copy or convert it again"
    )
    images, masks = _pixels(file, arrays["images"])
    poses = _floats(file, "cam_poses", arrays["cam_poses"])
    count, rows, columns = masks.shape
    if poses.shape != (count, 4, 4):
        raise ValueError(
            f"{file}: has {count} images and cam_poses of shape {poses.shape}, wanted {(count, 4, 4)}; write one "
            "camera-to-world matrix for every image"
        )
    check_poses(poses, [f"{file}: cam_poses[{view}]" for view in range(count)])
    data = _floats(file, "data", arrays["data"])
    if data.ndim != 2 or data.shape[1] != 6 or not len(data) or not (np.abs(data) <= FAR).all():
        raise ValueError(
            f"{file}: data has shape {data.shape}, wanted (points, 6) finite numbers up to {FAR:g}, position and "
            "colour; repair it"
        )
    if data[:, 3:].min() < 0 or data[:, 3:].max() > 1:
        raise ValueError(
            f"{file}: colours in data go from {data[:, 3:].min():.3g} to {data[:, 3:].max():.3g}; scale them to [0, 1]"
        )
    focal = columns / 2 / np.tan(ANGLE / 2)
    intrinsics = np.tile([focal, focal, columns / 2, rows / 2], (count, 1))
    intrinsics = _optional(file, arrays, "intrinsics", intrinsics).astype(np.float64)
    masks = _optional(file, arrays, "masks", masks).astype(bool)
    held_out = arrays.get("held_out", every_nth(count, hold_out))
    if held_out.dtype.kind not in "iu" or held_out.ndim != 1 or not np.isin(held_out, np.arange(count)).all():
        raise ValueError(f"{file}: held_out is {held_out.tolist()}, wanted numbers of the {count} views; repair it")
    cameras = Cameras(poses @ OPENGL, intrinsics[:, :2], intrinsics[:, 2:], rows, columns)
    check_lenses(cameras, [f"{file}: intrinsics[{view}]" for view in range(count)], sized=True)
    return Recording(Views(images, masks, cameras), held_out, data.astype(np.float32)).from_z_up()


def sampled_file(recording: Recording, points: Float32[np.ndarray, "point 6"]) -> bytes:
    """The content of a file with the scene and its points."""
    cameras = recording.views.cameras
    return npz_bytes(
        images=recording.views.images,
        masks=recording.views.masks,
        cam_poses=cameras.in_world(Z_UP.T, 1.0).to_world @ OPENGL,
        intrinsics=np.concatenate([cameras.focal, cameras.centre], axis=1),
        data=np.concatenate([points[:, :3] @ Z_UP.astype(np.float32), points[:, 3:]], axis=1),
        held_out=recording.held_out,
    )


def _pixels(
    file: Path, images: NDArray[Any]
) -> tuple[UInt8[np.ndarray, "view rows columns 3"], Bool[np.ndarray, "view rows columns"]]:
    """RGB on white, and masks by alpha or by white."""
    if images.ndim != 4 or images.shape[-1] not in (3, 4) or 0 in images.shape:
        raise ValueError(f"{file}: images has shape {images.shape}; wanted (views, rows, columns, 3 or 4 channels)")
    if images.dtype != np.uint8:
        images = _floats(file, "images", images)
        if not (images.min() >= -1e-3 and images.max() <= 1 + 1e-3):  # so that NaN is refused, too
            raise ValueError(
                f"{file}: images go from {images.min():.3g} to {images.max():.3g}; wanted uint8, or floats in [0, 1]"
            )
        images = (images * 255).round().clip(0, 255).astype(np.uint8)
    if images.shape[-1] == 3:
        return images, mask_of_white(images)
    alpha = images[..., 3:].astype(np.float32) / 255
    on_white = images[..., :3] * alpha + 255 * (1 - alpha)
    return on_white.round().astype(np.uint8), images[..., 3] >= 128


def _floats(file: Path, name: str, array: NDArray[Any]) -> NDArray[np.float64]:
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{file}: {name} is {array.dtype}; wanted numbers")
    return array.astype(np.float64)


def _optional(file: Path, arrays: dict[str, NDArray[Any]], name: str, otherwise: NDArray[Any]) -> NDArray[Any]:
    """An array that must look like `otherwise` where it is there."""
    found = arrays.get(name, otherwise)
    if found.shape != otherwise.shape or found.dtype.kind not in "fiub":
        raise ValueError(
            f"{file}: {name} is {found.dtype} {found.shape}, wanted numbers of shape {otherwise.shape}; repair or "
            "remove it"
        )
    return found
