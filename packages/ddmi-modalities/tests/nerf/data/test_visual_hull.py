"""Points from pictures: the visual hull, clouds of files, and the preparation of scenes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image
from scipy.spatial import cKDTree

from ddmi_modalities.datasets.preparation import Prepared, prepare
from ddmi_modalities.geometry.cameras import Z_UP
from ddmi_modalities.nerf import NerfModality
from ddmi_modalities.nerf.data.sources import open_scene, open_scenes, read_scene
from ddmi_modalities.nerf.data.turntable import Turntable
from ddmi_modalities.nerf.data.visual_hull import visual_hull
from ddmi_modalities.nerf.items import Views
from ddmi_modalities.nerf.prepare import NerfPreparation

from ..miniature_scenes import write_sampled_file, write_srn


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Turntable:
    return Turntable("train", 3, size=64, cache=tmp_path_factory.mktemp("cache"))


def run(source: Path | str, out: Path, count: int = 9) -> Prepared:
    plan = NerfPreparation(count=count).plan(NerfModality(source=str(source)))
    return prepare(plan, out, workers=1)


def write_turntable(folder: Path, views: Views) -> None:
    """A scene of Turntable in SRN's layout, whose world has z up."""
    (folder / "rgb").mkdir(parents=True)
    (folder / "pose").mkdir()
    poses = views.cameras.in_world(Z_UP.T, 1.0).to_world
    for view, (image, pose) in enumerate(zip(views.images, poses, strict=True)):
        Image.fromarray(np.array(image)).save(folder / "rgb" / f"{view:06d}.png")
        (folder / "pose" / f"{view:06d}.txt").write_text("\n".join(map(str, pose.ravel())))
    (fx, _), (cx, cy) = views.cameras.focal[0], views.cameras.centre[0]
    size = f"{views.cameras.rows} {views.cameras.columns}"
    (folder / "intrinsics.txt").write_text(f"{fx} {cx} {cy} 0.\n0. 0. 0.\n1.\n{size}\n")


@pytest.mark.parametrize("index", range(3))
def test_hulls_are_near_the_surface_and_have_its_colours(data: Turntable, index: int) -> None:
    hull = visual_hull(data[index].views("given"), resolution=80)
    points, true = hull.points(4000, rng()), data[index].cloud(4096, rng())
    there, nearest = cKDTree(true[:, :3]).query(points[:, :3])
    back, _ = cKDTree(points[:, :3]).query(true[:, :3])
    assert there.mean() < 0.025  # 4,096 points of the surface are 0.01 from each other
    assert back.mean() < 0.025
    error = np.abs(points[:, 3:] - true[nearest, 3:]).mean(axis=1)
    assert np.median(error) < 0.03
    assert error.mean() < 0.12
    assert hull.spacing == pytest.approx(1 / 80)


def test_a_hull_forgives_single_masks_and_names_empty_ones(data: Turntable) -> None:
    views = data[2].views("given")
    holed = views.masks.copy()
    holed[3] = False
    broken = Views(views.images, holed, views.cameras)
    whole = visual_hull(views, resolution=40)
    assert len(visual_hull(broken, resolution=40, misses=0.05).centres) > 0.9 * len(whole.centres)
    with pytest.raises(ValueError, match="nothing is left of the cube of half side 0.5 .* after 20 masks; check the"):
        visual_hull(broken, resolution=40, misses=0.0)
    with pytest.raises(ValueError, match="wanted half above 0, a resolution of at least 8"):
        visual_hull(views, resolution=4)
    with pytest.raises(ValueError, match="at least 1 point, got 0"):
        whole.points(0, rng())
    many = whole.points(3 * len(whole.centres), rng())
    assert len(np.unique(many, axis=0)) == len(many)


def test_preparation_makes_points_that_are_read_again(data: Turntable, tmp_path: Path, said: list[str]) -> None:
    for split, index in (("train", 0), ("train", 1), ("test", 2)):
        write_turntable(tmp_path / "in" / f"cars_{split}" / f"s{index}", data[index].views("all"))
    (tmp_path / "in" / "cars_train" / "s1" / "intrinsics.txt").unlink()
    done = run(tmp_path / "in", tmp_path / "out", 500)
    assert done.made == ("train/sampled/s0.npz", "test/sampled/s2.npz")
    assert list(done.left_out) == ["train/sampled/s1.npz"]
    assert "left out 1 of 3 scenes" in said[0]
    assert "cars_train/s1: cars_train/s1/intrinsics.txt: is missing" in said[0]
    for split, index in (("train", 0), ("test", 2)):
        again = open_scenes(str(tmp_path / "out"), split, items=1, size=8)[0]  # type: ignore[arg-type]
        true = data[index]
        assert again.name == f"s{index}"
        assert np.array_equal(again.views("all").images, true.views("all").images)
        assert (again.views("all").masks != true.views("all").masks).mean() < 0.05, "half covered pixels are not white"
        for name in ("to_world", "focal", "centre"):
            wanted = getattr(true.views("all").cameras, name)
            assert getattr(again.views("all").cameras, name) == pytest.approx(wanted, abs=1e-6)
        assert len(again.views("held_out")) == 4
        distance, _ = cKDTree(true.cloud(4096, rng())[:, :3]).query(again.cloud(500, rng())[:, :3])
        assert distance.mean() < 0.03


def test_preparation_goes_on_where_it_stopped(tmp_path: Path) -> None:
    for name in ("train/sampled/a", "train/sampled/b", "test/sampled/c"):
        write_sampled_file(tmp_path / "in" / f"{name}.npz")
    names = ("train/sampled/a.npz", "train/sampled/b.npz", "test/sampled/c.npz")
    assert run(tmp_path / "in", tmp_path / "out").made == names
    before = (tmp_path / "out" / names[1]).read_bytes()
    (tmp_path / "out" / names[1]).write_bytes(b"damaged")
    second = run(tmp_path / "in", tmp_path / "out")
    assert (second.made, second.kept) == (names[1:2], (names[0], names[2]))
    assert (tmp_path / "out" / names[1]).read_bytes() == before
    stored = open_scene(tmp_path / "out" / names[1]).recording
    assert len(stored.points) == 7, "points that are there are kept"


def test_prepared_scenes_are_in_the_splits_of_the_folder(tmp_path: Path) -> None:
    for number in range(20):
        write_sampled_file(tmp_path / "in" / "cars" / "sampled" / f"{number}.npz")
    run(tmp_path / "in", tmp_path / "out")
    for split in ("train", "test"):
        read, made = (open_scenes(str(tmp_path / name), split, items=1, size=8) for name in ("in", "out"))  # type: ignore[arg-type]
        assert [scene.name for scene in made.scenes] == [scene.name.replace("/", "_") for scene in read.scenes]


def test_messages_of_preparation(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="count of at least 1 point, got 0"):
        run(tmp_path, tmp_path / "out", 0)
    with pytest.raises(ValueError, match="does not exist"):
        run(tmp_path / "nowhere", tmp_path / "out")
    folder = write_srn(tmp_path / "in" / "car")
    (folder / "intrinsics.txt").unlink()
    with pytest.raises(ValueError, match=r"1 of 1 scenes cannot be used: .*intrinsics.txt: is missing"):
        run(folder, tmp_path / "out")
    for name in ("train/a_b/sampled/x", "train/a/sampled/b_x", "test/sampled/c"):
        write_sampled_file(tmp_path / "twice" / f"{name}.npz")
    with pytest.raises(ValueError, match="would both become 'train/sampled/a_b_x.npz'; rename one"):
        run(tmp_path / "twice", tmp_path / "out")
    write_srn(tmp_path / "far" / "car")
    with pytest.raises(ValueError, match="car: visual hull: nothing is left of the cube"):
        read_scene(tmp_path / "far" / "car", 10, 0.01)


def test_reading_one_scene_or_point_cloud(data: Turntable, tmp_path: Path) -> None:
    write_turntable(tmp_path / "s", data[0].views("all"))
    points = read_scene(tmp_path / "s", 300, 0.55)
    assert points.shape == (300, 6)
    assert np.array_equal(points, read_scene(tmp_path / "s", 300, 0.55))
    assert read_scene(write_sampled_file(tmp_path / "a.npz"), 4, 0.55)[:, 3:] == pytest.approx(0.25)
    cloud = data[0].cloud(100, rng())
    trimesh.PointCloud(cloud[:, :3], colors=(cloud[:, 3:] * 255).astype(np.uint8)).export(tmp_path / "cloud.ply")
    for count in (40, 250):
        read = read_scene(tmp_path / "cloud.ply", count, 0.55)
        distance, which = cKDTree(cloud[:, :3]).query(read[:, :3])
        assert distance.max() < 1e-6
        assert read[:, 3:] == pytest.approx(cloud[which, 3:], abs=1 / 255)
    box = trimesh.creation.box()
    box.visual.vertex_colors = np.tile([255, 0, 51, 255], (8, 1))
    box.export(tmp_path / "box.ply")
    assert read_scene(tmp_path / "box.ply", 30, 0.55)[:, 3:] == pytest.approx(np.tile([1, 0, 0.2], (30, 1)))


def test_point_clouds_that_are_refused(tmp_path: Path) -> None:
    trimesh.creation.box().export(tmp_path / "plain.ply")
    with pytest.raises(ValueError, match="plain.ply: has no colours; give a point cloud or mesh with a colour at each"):
        read_scene(tmp_path / "plain.ply", 10, 0.55)
    (tmp_path / "broken.ply").write_text("no points")
    with pytest.raises(ValueError, match="broken.ply: cannot be read as a point cloud or mesh"):
        read_scene(tmp_path / "broken.ply", 10, 0.55)
    trimesh.PointCloud([[0, 0, np.inf]], colors=[[1, 2, 3]]).export(tmp_path / "far.ply")
    with pytest.raises(ValueError, match="far.ply: .*vertices that are NaN or infinite"):
        read_scene(tmp_path / "far.ply", 10, 0.55)
