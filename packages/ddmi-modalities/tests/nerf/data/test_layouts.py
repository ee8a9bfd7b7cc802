"""Recorded scenes: each layout sees a known point where it is, splits, held-out views, and every broken input."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ddmi_modalities import DataSet
from ddmi_modalities.datasets.splits import split_of
from ddmi_modalities.nerf.data.recorded import RecordedScene, every_nth
from ddmi_modalities.nerf.data.sources import open_scene, open_scenes
from ddmi_modalities.nerf.items import NerfItem

from ..miniature_scenes import (
    COLUMNS,
    FOCAL,
    POINT,
    ROWS,
    dots,
    projected,
    sampled_arrays,
    write_sampled_file,
    write_srn,
    write_transforms,
)


def scenes(root: Path, split: str = "train", **options: Any) -> list[Any]:
    data = open_scenes(str(root), split, items=1, size=8, **options)  # type: ignore[arg-type]
    assert isinstance(data, DataSet)
    return [data[index] for index in range(len(data))]


def names(split: str, count: int, pattern: str = "{}") -> list[str]:
    """The first names of the pattern that fall into a split."""
    return [name for name in map(pattern.format, range(1000)) if split_of(name) == split][:count]


WRITERS: dict[str, Callable[[Path], Path]] = {
    "srn": write_srn,
    "transforms": write_transforms,
    "transforms without suffix": lambda folder: write_transforms(folder, suffix=""),
    "sampled": lambda folder: write_sampled_file(folder / "sampled" / "a.npz"),
}


@pytest.mark.parametrize("layout", WRITERS)
def test_a_known_point_is_where_it_was_drawn(tmp_path: Path, layout: str) -> None:
    WRITERS[layout](tmp_path / "scene")
    item = scenes(tmp_path / "scene")[0] if layout != "sampled" else open_scene(tmp_path / "scene")
    assert isinstance(item, NerfItem)
    views = item.views("all")
    assert len(views) == 5
    assert np.array_equal(projected(views.cameras), dots(views.images))
    assert np.array_equal(views.masks, views.images.min(axis=-1) < 128)
    assert views.images[0, 0, 0].tolist() == [255, 255, 255]
    assert (views.cameras.positions[:, 1] > 0.3).all(), "cameras above z = 0 are above y = 0"
    small = item.views("all", 20).cameras
    assert np.array_equal(projected(small) // 1, projected(small))
    assert np.abs(projected(small) - dots(views.images) // (views.cameras.columns / 20)).max() <= 1


@pytest.mark.parametrize("layout", WRITERS)
def test_given_and_held_out_views(tmp_path: Path, layout: str) -> None:
    WRITERS[layout](tmp_path / "scene")
    item = open_scene(tmp_path / "scene")
    assert (len(item.views("given")), len(item.views("held_out"))) == (4, 1)
    assert np.array_equal(item.views("held_out").images[0], item.views("all").images[4])
    again = open_scene(tmp_path / "scene", hold_out=4)
    assert np.array_equal(again.views("held_out").images[0], item.views("all").images[3])
    assert len(open_scene(tmp_path / "scene", hold_out=6).views("held_out")) == 0
    assert pickle.loads(pickle.dumps(item)).name == item.name


def test_every_nth() -> None:
    assert every_nth(10, 5).tolist() == [4, 9]
    assert every_nth(3, 5).tolist() == []
    with pytest.raises(ValueError, match="at most every fourth view held out, got hold_out 3; give 4 or more"):
        every_nth(10, 3)


def test_points_and_scale(tmp_path: Path) -> None:
    write_sampled_file(tmp_path / "sampled" / "a.npz")
    item = open_scene(tmp_path)
    cloud = item.cloud(20, np.random.default_rng(0))
    assert cloud[:, :3] == pytest.approx(np.tile(POINT, (20, 1)))
    assert cloud[:, 3:] == pytest.approx(0.25)
    twice = open_scene(tmp_path, scale=2.0)
    assert twice.cloud(3, np.random.default_rng(0))[0, :3] == pytest.approx(2 * POINT)
    assert twice.views("all").cameras.positions == pytest.approx(2 * item.views("all").cameras.positions)
    with pytest.raises(ValueError, match="a scale above 0, got 0"):
        open_scene(tmp_path, scale=0.0)
    with pytest.raises(ValueError, match="cloud of at least 1 point, got 0"):
        item.cloud(0, np.random.default_rng(0))


def test_a_scene_without_points_names_the_remedy(tmp_path: Path) -> None:
    item = open_scene(write_srn(tmp_path / "car"))
    with pytest.raises(
        ValueError, match=r"car: holds pictures and cameras but no points.*ddmi prepare srn-cars SOURCE"
    ):
        item.cloud(10, np.random.default_rng(0))
    with pytest.raises(ValueError, match="holds photographs, and none from other cameras"):
        item.pictures(item.views("all").cameras)


def test_sampled_extras_bytes_and_alpha(tmp_path: Path) -> None:
    arrays = sampled_arrays()
    in_bytes = (arrays["images"] * 255).round().astype(np.uint8)
    alpha = np.where(in_bytes.min(-1, keepdims=True) < 128, 255, 0).astype(np.uint8)
    plain = open_scene(write_sampled_file(tmp_path / "a.npz")).views("all")
    for images in (in_bytes, np.concatenate([in_bytes, alpha], axis=-1)):
        views = open_scene(write_sampled_file(tmp_path / "b.npz", images=images)).views("all")
        assert np.array_equal(views.images, plain.images)
        assert np.array_equal(views.masks, plain.masks)
    intrinsics = np.tile([70.0, 71.0, 19.0, 18.0], (5, 1))
    extras = write_sampled_file(tmp_path / "c.npz", intrinsics=intrinsics, held_out=np.array([0, 2]))
    cameras = open_scene(extras).views("all").cameras
    assert np.concatenate([cameras.focal, cameras.centre], axis=1).tolist() == intrinsics.tolist()
    assert len(open_scene(extras).views("held_out")) == 2


def test_nerf_synthetic_holds_out_its_test_frames(tmp_path: Path) -> None:
    write_transforms(tmp_path, 3, "transforms_train.json", suffix="")
    write_transforms(tmp_path, 2, "transforms_test.json", suffix="")
    (tmp_path / "transforms_val.json").write_text("never read")
    item = open_scene(tmp_path)
    assert [len(item.views(which)) for which in ("given", "held_out", "all")] == [3, 2, 5]
    assert np.array_equal(projected(item.views("all").cameras), dots(item.views("all").images))


def test_field_of_view_and_other_sizes_in_transforms(tmp_path: Path) -> None:
    write_transforms(tmp_path)
    file = tmp_path / "transforms.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps({"camera_angle_x": 2 * np.arctan(COLUMNS / 2 / FOCAL), "frames": content["frames"]}))
    cameras = open_scene(tmp_path).views("all").cameras
    assert cameras.focal == pytest.approx(FOCAL)
    assert cameras.centre[0].tolist() == [COLUMNS / 2, ROWS / 2]
    double = {"fl_x": 2 * FOCAL, "cx": 44.0, "cy": 42.0, "w": 2 * COLUMNS, "h": 2 * ROWS}
    file.write_text(json.dumps({**double, "frames": content["frames"]}))
    views = open_scene(tmp_path).views("all")
    assert np.array_equal(projected(views.cameras), dots(views.images))


def test_intrinsics_of_another_picture_size_in_srn(tmp_path: Path) -> None:
    folder = write_srn(tmp_path / "car")
    (folder / "intrinsics.txt").write_text(f"{2 * FOCAL} 44. 42. 0.\n0. 0. 0.\n1.\n{2 * ROWS} {2 * COLUMNS}\n")
    views = open_scene(folder).views("all")
    assert np.array_equal(projected(views.cameras), dots(views.images))


def test_splits_by_folder_by_name_and_of_one_scene(tmp_path: Path) -> None:
    (last,) = names("train", 1)
    for name in ("cars_train/a", "cars_train/b", "cars_test/c", f"cars_val/{last}"):
        write_srn(tmp_path / "srn" / name, count=1)
    assert [item.name for item in scenes(tmp_path / "srn")] == ["a", "b"]
    assert [item.name for item in scenes(tmp_path / "srn", "test")] == ["c"]
    assert [item.name for item in scenes(tmp_path / "srn" / "cars_val", "train")] == [last]
    for name in [*names("train", 3), *names("test", 2)]:
        write_transforms(tmp_path / "json" / name, count=1)
        write_sampled_file(tmp_path / "npz" / "cars" / "sampled" / f"{name}.npz")
    assert sorted(item.name for item in scenes(tmp_path / "json", "test")) == sorted(names("test", 2))
    both = [item.name for split in ("train", "test") for item in scenes(tmp_path / "npz", split)]
    assert len(both) == len(set(both)) == 5
    one = tmp_path / "srn" / "cars_val" / last
    assert [item.name for item in scenes(one, "train") + scenes(one, "test")] == [last, last]
    assert all(isinstance(item, RecordedScene) for item in scenes(one))


def test_sources_that_are_refused(tmp_path: Path) -> None:
    for source in ("", str(tmp_path / "nowhere")):
        with pytest.raises(ValueError, match="does not exist; give 'turntable' or the path of a folder of scenes"):
            open_scenes(source, "train", items=1, size=8)
    with pytest.raises(ValueError, match=r"holds no scene; wanted one of SCENE/rgb.*; SCENE/transforms.*; sampled/"):
        scenes(tmp_path)
    with pytest.raises(ValueError, match="is not one scene; wanted a scene of the layout SCENE/rgb"):
        open_scene(tmp_path)
    for name in names("train", 2):
        write_srn(tmp_path / name, count=1)
    with pytest.raises(ValueError, match=r"none of the 2 scenes .* falls into the split 'test'; add scenes"):
        scenes(tmp_path, "test")


def text(old: str, new: str) -> Callable[[Path], None]:
    return lambda file: (file.write_text(file.read_text().replace(old, new)), None)[1]


def first_number(new: str) -> Callable[[Path], None]:
    return lambda file: (file.write_text(" ".join([new, *file.read_text().split()[1:]])), None)[1]


def truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


SRN_DAMAGE: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "intrinsics missing": ("intrinsics.txt", Path.unlink, r"intrinsics.txt: is missing; wanted the focal length"),
    "intrinsics empty": ("intrinsics.txt", lambda file: file.write_text(""), r"intrinsics.txt: begins with \[\]"),
    "intrinsics words": ("intrinsics.txt", text("60.0", "sixty"), r"intrinsics.txt: could not convert .*'sixty'"),
    "focal length 0": ("intrinsics.txt", text("60.0", "0"), r"intrinsics.txt: begins with \[0.0, .*; wanted 'f cx cy"),
    "pose missing": ("pose/000001.txt", Path.unlink, "5 pictures in rgb and 4 poses in pose"),
    "picture missing": ("rgb/000001.png", Path.unlink, "4 pictures in rgb and 5 poses in pose"),
    "pose short": ("pose/000002.txt", lambda file: file.write_text("1 0 0"), "000002.txt: holds 3 numbers, wanted the"),
    "pose not rigid": ("pose/000003.txt", first_number("3.5"), "000003.txt: the pose is not rigid"),
    "pose NaN": ("pose/000003.txt", first_number("nan"), "000003.txt: the pose has numbers that are NaN"),
    "picture truncated": ("rgb/000004.png", truncated, "cannot read the image '.*000004.png'"),
    "picture of another size": (
        "rgb/000002.png",
        lambda file: Image.new("RGB", (9, 8)).save(file),
        "000002.png: has 8 x 9 pixels and 000000.png has 40 x 48; bring all views of a scene to one size",
    ),
}


@pytest.mark.parametrize("damage", SRN_DAMAGE)
def test_broken_srn_scenes_are_named(tmp_path: Path, damage: str) -> None:
    name, break_it, message = SRN_DAMAGE[damage]
    folder = write_srn(tmp_path / "car")
    break_it(folder / name)
    with pytest.raises(ValueError, match=message):
        open_scene(folder).views("all")


def test_an_srn_scene_without_pictures(tmp_path: Path) -> None:
    (tmp_path / "car" / "rgb").mkdir(parents=True)
    (tmp_path / "car" / "pose").mkdir()
    with pytest.raises(ValueError, match="rgb: holds no pictures; wanted 000000.png"):
        open_scene(tmp_path / "car").views("all")


def change_frame(key: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda content: content["frames"][1].__setitem__(key, value)


JSON_DAMAGE: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "no intrinsics": (lambda c: c.pop("fl_x"), "r_0.png': has no intrinsics; wanted camera_angle_x"),
    "intrinsics NaN": (lambda c: c.update(fl_x=float("nan")), "r_0.png': fl_x is nan; wanted a finite number"),
    "distortion": (lambda c: c.update(k1=0.1), r"has lens distortion \(k1\).*undistort the pictures first"),
    "no frames": (lambda c: c.update(frames=[]), "transforms.json: has no frames"),
    "frame without matrix": (lambda c: c["frames"][1].pop("transform_matrix"), "frame 1 has no file_path or no tr"),
    "matrix short": (change_frame("transform_matrix", [[1, 0]]), "transform_matrix of './transforms/r_1.png' is no 4"),
    "matrix words": (change_frame("transform_matrix", "one"), "is no 4 x 4 matrix; repair it"),
    "not rigid": (change_frame("transform_matrix", (2 * np.eye(4)).tolist()), "of './transforms/r_1.png' is not rigid"),
    "NaN": (change_frame("transform_matrix", np.full((4, 4), np.nan).tolist()), "r_1.png' has numbers that are NaN"),
    "no picture": (
        change_frame("file_path", "gone.png"),
        "there is no picture 'gone.png', with or without",
    ),
}


@pytest.mark.parametrize("damage", JSON_DAMAGE)
def test_broken_transforms_are_named(tmp_path: Path, damage: str) -> None:
    break_it, message = JSON_DAMAGE[damage]
    file = write_transforms(tmp_path) / "transforms.json"
    content = json.loads(file.read_text())
    break_it(content)
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        open_scene(tmp_path).views("all")


def test_transforms_that_are_no_json(tmp_path: Path) -> None:
    (tmp_path / "transforms.json").write_text("{")
    with pytest.raises(ValueError, match="transforms.json: cannot be read as JSON"):
        open_scene(tmp_path).views("all")


NPZ_DAMAGE: dict[str, tuple[dict[str, Any], str]] = {
    "no poses": ({"cam_poses": None}, "a.npz: lacks cam_poses and has images, data; copy or convert it again"),
    "counts differ": ({"cam_poses": np.stack([np.eye(4)] * 3)}, r"has 5 images and cam_poses of shape \(3, 4, 4\)"),
    "not rigid": ({"cam_poses": np.stack([2 * np.eye(4)] * 5)}, r"a.npz: cam_poses\[0\] is not rigid"),
    "NaN": ({"cam_poses": np.full((5, 4, 4), np.nan)}, r"a.npz: cam_poses\[0\] has numbers that are NaN"),
    "images of another range": ({"images": np.full((5, 8, 8, 3), 3.0)}, "images go from 3 to 3; wanted uint8, or fl"),
    "images NaN": ({"images": np.full((5, 8, 8, 3), np.nan)}, "images go from nan to nan"),
    "images flat": ({"images": np.zeros((5, 8, 8))}, r"images has shape \(5, 8, 8\); wanted \(views, rows"),
    "images words": ({"images": np.full((5, 8, 8, 3), "a")}, "images is <U1; wanted numbers"),
    "points without colour": ({"data": np.zeros((9, 3))}, r"data has shape \(9, 3\), wanted \(points, 6\)"),
    "points far away": ({"data": np.full((9, 6), 1e300)}, "wanted .points, 6. finite numbers up to"),
    "complex points": ({"data": np.full((9, 6), 1j)}, "data is complex128; wanted numbers"),
    "no focal length": ({"intrinsics": np.zeros((5, 4))}, r"a\.npz: Cameras: wanted finite .*check the intrinsics"),
    "points NaN": ({"data": np.full((9, 6), np.nan)}, "wanted .points, 6. finite numbers"),
    "colours in bytes": ({"data": np.full((9, 6), 200.0)}, r"colours in data go from 200 to 200; scale them"),
    "held out": ({"held_out": np.array([7])}, r"held_out is \[7\], wanted numbers of the 5 views"),
    "intrinsics": (
        {"intrinsics": np.ones((2, 4))},
        r"intrinsics is float64 \(2, 4\), wanted numbers of shape \(5, 4\)",
    ),
}


@pytest.mark.parametrize("damage", NPZ_DAMAGE)
def test_broken_npz_scenes_are_named(tmp_path: Path, damage: str) -> None:
    changed, message = NPZ_DAMAGE[damage]
    file = write_sampled_file(tmp_path / "a.npz", **changed)
    with pytest.raises(ValueError, match=message):
        open_scene(file).views("all")


def test_a_truncated_npz_is_named(tmp_path: Path) -> None:
    file = write_sampled_file(tmp_path / "a.npz")
    truncated(file)
    with pytest.raises(ValueError, match="a.npz: is damaged, or no NPZ file"):
        open_scene(file).views("all")


def test_photographs_are_not_enlarged(tmp_path: Path) -> None:
    item = open_scene(write_srn(tmp_path / "car"))
    with pytest.raises(ValueError, match="40 x 48 pixels can be reduced but not brought to 96"):
        item.views("all", 96)
