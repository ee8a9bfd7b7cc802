"""Cameras that cannot be those of their pictures are refused by name; masks and orientation come from one place."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ddmi_modalities.nerf.data.sources import open_scene, open_scenes

from ..miniature_scenes import COLUMNS, ROWS, opengl, write_srn, write_transforms, z_up_poses


def changed(folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    file = write_transforms(folder) / "transforms.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    return folder


def dropped(*names: str) -> Callable[[dict[str, Any]], None]:
    return lambda content: [content.pop(name) for name in names] and None


LENSES: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a fisheye of one frame": (lambda c: c["frames"][2].update(camera_model="FISHEYE"), "r_2.png': its camera is no"),
    "THIN_PRISM": (lambda c: c.update(camera_model="THIN_PRISM_FISHEYE"), "camera_model 'THIN_PRISM_FISHEYE'"),
    "instant-ngp's f-theta": (lambda c: c.update(ftheta_p0=0.1), r"no pinhole \(ftheta_p0\)"),
    "latlong": (lambda c: c.update(latlong=True), r"no pinhole \(latlong\); undistort"),
    "sixth distortion": (lambda c: c.update(k6=0.01), r"lens distortion \(k6\)"),
    "degrees": (lambda c: (dropped("fl_x", "fl_y")(c), c.update(camera_angle_x=40.0)), "camera_angle_x is 40; wan"),
    "degrees in y": (lambda c: c.update(camera_angle_y=-3.0), "camera_angle_y is -3; wanted radians between 0 and pi"),
    "centre outside": (lambda c: c.update(cx=-1.0), r"the principal point \(-1, 21\) is not in the picture of 48 x 40"),
    "centre in a frame": (lambda c: c["frames"][3].update(cy=40.0), "r_3.png': the principal point"),
    "half size unsaid": (lambda c: (dropped("w", "h")(c), c.update(cx=36.0, cy=30.0)), "far from the middle"),
    "aspect": (lambda c: c.update(w=640, h=640), "about pictures of 640 x 640 pixels, and the pictures have 48 x 40"),
    "w of 0": (lambda c: c.update(w=0), "w and h are 0"),
    "an angle of true": (lambda c: c.update(fl_x=True), "fl_x is True; wanted a finite number"),
    "focal length in metres": (lambda c: c.update(fl_x=0.05, fl_y=0.05), "it would see 180 degrees"),
}  # fmt: skip


@pytest.mark.parametrize("lens", LENSES)
def test_lenses_that_cannot_be(tmp_path: Path, lens: str) -> None:
    change, message = LENSES[lens]
    with pytest.raises(ValueError, match=rf"transforms\.json.*{message}"):
        open_scene(changed(tmp_path, change)).views("all")


@pytest.mark.parametrize("model", ["SIMPLE_PINHOLE", "opencv", "SIMPLE_RADIAL"])
def test_pinholes_by_other_names(tmp_path: Path, model: str) -> None:
    assert len(open_scene(changed(tmp_path, lambda c: c.update(camera_model=model, k1=0.0))).views("all")) == 5


def test_numbers_for_larger_pictures_of_nearly_the_same_aspect(tmp_path: Path) -> None:
    folder = changed(tmp_path, lambda c: c.update(w=959, h=800, cx=440.0, cy=420.0, fl_x=1200.0, fl_y=1200.0))
    cameras = open_scene(folder).views("all").cameras
    assert cameras.centre[0] == pytest.approx([22.02, 21.0], abs=0.01)


def test_srn_cameras_are_looked_at_alike(tmp_path: Path) -> None:
    file = write_srn(tmp_path / "car") / "intrinsics.txt"
    text = file.read_text()
    file.write_text(text.replace("22.0 21.0", "220.0 21.0"), encoding="utf-16")
    with pytest.raises(ValueError, match=r"intrinsics\.txt: the principal point \(220, 21\) is not in the picture"):
        open_scene(tmp_path / "car").views("all")
    file.write_text(text.replace(f"{ROWS} {COLUMNS}", f"{COLUMNS} {ROWS}"))
    with pytest.raises(ValueError, match=r"intrinsics\.txt: its cameras are about pictures of 40 x 48 pixels"):
        open_scene(tmp_path / "car").views("all")


def masked(folder: Path, orientation: int | None = None, said: tuple[int, int] | None = (COLUMNS, ROWS)) -> Path:
    """Grey pictures stored with 48 x 40 pixels, whose masks are white in their upper left sixth."""
    picture, mask = Image.new("RGB", (COLUMNS, ROWS), (90, 90, 90)), Image.new("L", (COLUMNS, ROWS), 0)
    picture.paste((200, 0, 0), (0, 0, 16, 20))
    mask.paste(255, (0, 0, 16, 20))
    exif = Image.Exif()
    if orientation is not None:
        exif[274] = orientation
    folder.mkdir()
    frames = []
    for view, pose in enumerate(z_up_poses(4)):
        picture.save(folder / f"{view}.png", exif=exif)
        mask.save(folder / f"m{view}.png", exif=exif)
        frames.append(
            {"file_path": f"{view}.png", "mask_path": f".\\m{view}.png", "transform_matrix": opengl(pose).tolist()}
        )
    size = {} if said is None else {"w": said[0], "h": said[1]}
    (folder / "transforms.json").write_text(json.dumps({"camera_angle_x": 0.8, "frames": frames, **size}))
    return folder


@pytest.mark.parametrize(("orientation", "said", "shape", "corner"), [
    (None, (48, 40), (40, 48), (0, 0)),
    (6, (40, 48), (48, 40), (0, -1)),
    (6, (48, 40), (40, 48), (0, 0)),
    (6, None, (48, 40), (0, -1)),
    (3, (48, 40), (40, 48), (-1, -1)),
])  # fmt: skip
def test_masks_and_pixels_are_turned_alike(
    tmp_path: Path,
    orientation: int | None,
    said: tuple[int, int] | None,
    shape: tuple[int, int],
    corner: tuple[int, int],
) -> None:
    views = open_scene(masked(tmp_path / "s", orientation, said)).views("all")
    assert views.masks.shape[1:] == shape
    assert views.masks.mean() == pytest.approx(1 / 6)
    assert views.masks[0][corner]
    assert np.array_equal(views.images[0][views.masks[0]], np.tile([200, 0, 0], (320, 1)))
    assert (views.images[0][~views.masks[0]] == 255).all(), "what is not the object is background, and that is white"


def test_alpha_is_turned_with_its_pixels(tmp_path: Path) -> None:
    folder = masked(tmp_path / "s", None, None)
    picture, exif = Image.new("RGBA", (COLUMNS, ROWS), (0, 0, 0, 0)), Image.Exif()
    picture.paste((200, 0, 0, 255), (0, 0, 16, 20))
    exif[274] = 8
    content = json.loads((folder / "transforms.json").read_text())
    for frame in content["frames"]:
        del frame["mask_path"]
        picture.save(folder / frame["file_path"], exif=exif)
    (folder / "transforms.json").write_text(json.dumps(content))
    views = open_scene(folder).views("all")
    assert views.masks.shape[1:] == (48, 40)
    assert views.masks[0][-1, 0]
    assert (views.images[0][views.masks[0]] == [200, 0, 0]).all()


def test_a_mask_of_another_size_or_none_is_named(tmp_path: Path) -> None:
    folder = masked(tmp_path / "s")
    Image.new("L", (24, 20)).save(folder / "m1.png")
    with pytest.raises(ValueError, match=r"m1\.png: has 20 x 24 pixels and 1\.png has 40 x 48; bring the mask"):
        open_scene(folder).views("all")
    (folder / "m1.png").unlink()
    with pytest.raises(ValueError, match=r"there is no picture '\.\\+m1\.png', that mask_path names"):
        open_scene(folder).views("all")


def test_cameras_that_look_outwards_are_said(tmp_path: Path, said: list[str]) -> None:
    for name in ("train/a", "train/b", "test/a"):
        folder = changed(tmp_path / "data" / name, lambda c: None)
        if name == "train/b":  # OpenCV's axes where OpenGL's are meant: z forward for z backward
            content = json.loads((folder / "transforms.json").read_text())
            for frame in content["frames"]:
                frame["transform_matrix"] = (np.array(frame["transform_matrix"]) @ np.diag([1, -1, -1, 1])).tolist()
            (folder / "transforms.json").write_text(json.dumps(content))
    open_scenes(str(tmp_path / "data"), "train", items=1, size=8, cache=tmp_path)
    open_scenes(str(tmp_path / "data"), "test", items=1, size=8, cache=tmp_path)
    (message,) = [one for one in said if "outwards" in one]
    assert "in 1 of 2 scenes, such as 'b', these cameras look outwards" in message
    assert "is the axis convention right?" in message


def test_frames_that_the_file_holds_out(tmp_path: Path) -> None:
    names = [f"./transforms/r_{view}.png" for view in range(5)]
    lists = {"train_filenames": names[:2], "val_filenames": names[2:3], "test_filenames": names[3:]}
    scene = open_scene(changed(tmp_path / "a", lambda c: c.update(lists)))
    assert [len(scene.views(which)) for which in ("given", "held_out", "all")] == [2, 2, 4]  # type: ignore[arg-type]
    everything = open_scene(write_transforms(tmp_path / "b")).views("all")
    assert np.array_equal(scene.views("held_out").images, everything.images[3:])
    with pytest.raises(
        ValueError, match=r"1 items are both for training and held out, such as './transforms/r_1\.png'"
    ):
        open_scene(changed(tmp_path / "c", lambda c: c.update(lists, val_filenames=names[1:3]))).views("all")
    with pytest.raises(ValueError, match=r"1 of 1 test_filenames are the file_path of no frame, such as 'r_9'"):
        open_scene(changed(tmp_path / "d", lambda c: c.update(lists, test_filenames=["r_9"]))).views("all")


def test_one_picture_in_two_files_of_splits(tmp_path: Path) -> None:
    write_transforms(tmp_path, name="transforms_train.json")
    write_transforms(tmp_path, name="transforms_test.json")
    file = tmp_path / "transforms_test.json"
    content = json.loads(file.read_text())
    content["frames"][0]["file_path"] = "transforms_train/r_4"
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"1 items are both for training and held out, such as .*r_4"):
        open_scene(tmp_path).views("all")


def test_scenes_by_lists(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write_srn(tmp_path / "cars" / name)
    (tmp_path / "cars" / "train.lst").write_text("a\nc\n")
    (tmp_path / "cars" / "test.lst").write_text("b\n")
    names = {
        split: [scene.name for scene in open_scenes(str(tmp_path / "cars"), split, items=1, size=8, cache=tmp_path)]  # type: ignore[arg-type, attr-defined]
        for split in ("train", "test")
    }
    assert names == {"train": ["a", "c"], "test": ["b"]}
