"""Turntable: what is drawn, held out, stored and reproduced."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import trimesh
from trimesh.ray.ray_pyembree import RayMeshIntersector

from ddmi_modalities import DataSet
from ddmi_modalities.geometry.cameras import Cameras
from ddmi_modalities.geometry.cars import STYLES, draw_car
from ddmi_modalities.geometry.painted import Facets, Painted, lit
from ddmi_modalities.geometry.ray_casting import render_facets
from ddmi_modalities.geometry.solids import Box, Cylinder
from ddmi_modalities.nerf.data import turntable_cache
from ddmi_modalities.nerf.data.sources import open_scenes
from ddmi_modalities.nerf.data.turntable import Turntable
from ddmi_modalities.nerf.data.turntable_scenes import TurntableSource, scene_of
from ddmi_modalities.nerf.items import NerfItem


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Turntable:
    return Turntable("train", 6, size=32, cache=tmp_path_factory.mktemp("cache"))


def wall(at: float, side: float) -> trimesh.Trimesh:
    """A square wall that looks to +z."""
    mesh = trimesh.creation.box(extents=(side, side, 1e-3))
    mesh.apply_translation((0, 0, at))
    return mesh


def test_a_wall_fills_the_pixels_it_must() -> None:
    mesh = wall(0.0, 1.0)
    facets = Facets(mesh, np.tile(np.array([[200, 100, 0]], np.uint8), (len(mesh.faces), 1)))
    focal = 8 / 2 / np.tan(np.radians(45))  # the picture is 4 wide where the wall is: it covers 2 of 8 pixels
    camera = Cameras.around([0.0], [0.0], distance=2.0, field_of_view=90.0, size=8)
    assert camera.focal[0, 0] == pytest.approx(focal)
    images, masks = render_facets(facets, camera)
    wanted = np.zeros((8, 8), bool)
    wanted[3:5, 3:5] = True
    assert np.array_equal(masks[0], wanted)
    assert (images[0][wanted] == [200, 100, 0]).all()
    assert (images[0][~wanted] == 255).all()


def test_edges_are_antialiased_and_half_covered_pixels_are_masked() -> None:
    mesh = wall(0.0, 1.0)
    mesh.apply_translation((0.25, 0, 0))  # half a pixel to the right
    facets = Facets(mesh, np.zeros((len(mesh.faces), 3), np.uint8))
    camera = Cameras.around([0.0], [0.0], distance=2.0, field_of_view=90.0, size=8)
    images, masks = render_facets(facets, camera)
    assert images[0, 3, :, 0].tolist() == [255, 255, 255, 128, 0, 128, 255, 255]
    assert masks[0, 3].tolist() == [False] * 3 + [True] * 3 + [False] * 2


def test_nearer_surfaces_hide_those_behind_also_where_the_camera_is_in_the_box() -> None:
    mesh = trimesh.util.concatenate([wall(0.0, 1.0), wall(-1.0, 4.0), wall(3.0, 4.0)])  # the last is behind the camera
    colours = np.repeat(np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8), 12, axis=0)
    images, masks = render_facets(
        Facets(mesh, colours), Cameras.around([0.0], [0.0], distance=2.0, field_of_view=90.0, size=8)
    )
    assert images[0, 3, 3].tolist() == [255, 0, 0]
    assert images[0, 2, 2].tolist() == [0, 255, 0]
    assert not masks[0, 0, 0]  # the wall behind spans 5 1/3 of 8 pixels


def test_light_is_of_the_world_and_not_of_the_camera() -> None:
    up, down, front = np.eye(3)[[1, 1, 2]] * [[1], [-1], [1]]
    colours = lit(np.full((3, 3), 0.5), np.stack([up, down, front]))
    assert colours[0, 0] > colours[2, 0] > colours[1, 0]
    assert colours[1, 0] == pytest.approx(0.5 * (0.56 - 0.14))


def test_a_painted_cloud_has_the_colours_of_its_parts() -> None:
    low = Box(centre=(0.0, -0.2, 0.0), half=(0.3, 0.1, 0.3))
    column = Cylinder(centre=(0.0, 0.1, 0.0), radius=0.1, half_height=0.21)  # goes into the box by 0.01
    painted = Painted((low, column), np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), np.eye(3))
    cloud = painted.cloud(4000, rng())
    middle, scale = painted.placement
    points = cloud[:, :3] / scale + middle
    green = cloud[:, 4] > cloud[:, 3]
    assert (points[green, 1] > -0.1 - 1e-5).all()
    assert (points[~green, 1] < -0.1 + 1e-5).all()
    assert (np.hypot(points[~green, 0], points[~green, 2])[points[~green, 1] > -0.1 - 1e-5] > 0.1 - 1e-5).all()
    assert np.linalg.norm(cloud[:, :3], axis=1).max() < 0.62 + 1e-5


def test_clouds_agree_with_the_pictures(data: Turntable) -> None:
    for index in range(3):
        item = data[index]
        views, cloud = item.views("all", 96), item.cloud(2000, rng())
        facets, points = item.drawn.painted.facets(), cloud[:, :3].astype(np.float64)
        pixels, _ = views.cameras.project(points)
        for view in range(0, len(views), 5):
            column, row = np.floor(pixels[view]).astype(int).T
            assert views.masks[view][row, column].mean() > 0.9, (
                "points fall on the object, up to the pixels of its edge"
            )
            origin = views.cameras.positions[view]
            rays = points - origin
            hit = RayMeshIntersector(facets.mesh).intersects_first(np.broadcast_to(origin, rays.shape), rays)
            first, normal = facets.mesh.triangles[hit, 0], facets.mesh.face_normals[hit]
            height = ((points - first) * normal).sum(1)
            front = (hit >= 0) & (np.abs(height) < 1e-3) & ((rays * normal).sum(1) < 0)
            assert front.mean() > 0.2
            painted = facets.colours[hit[front]] / 255
            assert (np.abs(painted - cloud[front, 3:]).max(1) < 0.03).mean() > 0.98
            seen = views.images[view][row, column][front] / 255
            assert (np.abs(seen - cloud[front, 3:]).max(1) < 0.05).mean() > 0.6, "the others are in pixels at edges"


def test_a_third_each_centred_in_the_unit_cube(data: Turntable) -> None:
    assert [data[index].kind for index in range(6)] == ["chair", "table", "car"] * 2
    for index in range(6):
        bounds = scene_of(TurntableSource("train", 0), index).painted.facets().mesh.bounds
        assert bounds.sum(0) == pytest.approx(np.zeros(3), abs=1e-6)
        assert np.abs(bounds).max() <= 0.5 + 1e-9
        reach = np.linalg.norm(bounds[1])
        assert reach == pytest.approx(0.62) or (reach < 0.62 and np.abs(bounds).max() == pytest.approx(0.5))
        assert data[index].captions[0].startswith("a ")


def test_cars_vary_and_stand_on_their_wheels_facing_z() -> None:
    cars = [draw_car(rng(seed)) for seed in range(30)]
    assert {car.style for car in cars} == set(STYLES)
    assert len({car.width for car in cars}) == 30
    for car in cars:
        painted = car.painted()
        mesh = painted.facets().mesh
        assert mesh.is_watertight
        (width, height, length) = mesh.extents
        assert length > width > 0.3
        assert length > height > 0.3
        tyres = [i for i, colour in enumerate(painted.colours) if colour.max() < 0.14]
        assert len(tyres) == 4
        bottom = min(solid.mesh().vertices @ painted.turn.T[:, 1] for solid in [painted.solids[tyres[0]]]).min()
        assert bottom == pytest.approx(min((s.mesh().vertices @ painted.turn.T[:, 1]).min() for s in painted.solids))
        yellow = [i for i, colour in enumerate(painted.colours) if tuple(colour) == (0.95, 0.90, 0.55)]
        assert all((painted.solids[i].mesh().vertices @ painted.turn.T)[:, 2].min() > 0 for i in yellow)


def test_no_two_faces_of_a_car_lie_in_one_plane() -> None:
    # rays that hit both at once would see one or the other by chance
    for seed in range(6):
        painted = draw_car(rng(seed)).painted()
        again = painted.facets()
        order = np.random.default_rng(0).permutation(len(again.mesh.faces))
        shuffled = Facets(
            trimesh.Trimesh(again.mesh.vertices, again.mesh.faces[order], process=False), again.colours[order]
        )
        cameras = scene_of(TurntableSource("train", 0), 2).cameras(48)[:6]
        difference = np.abs(
            render_facets(again, cameras)[0].astype(int) - render_facets(shuffled, cameras)[0].astype(int)
        ).max(-1)
        assert (difference > 8).mean() < 2e-4


def test_views_given_and_held_out(data: Turntable) -> None:
    item = data[4]
    given, held_out, all_views = (item.views(which) for which in ("given", "held_out", "all"))
    assert (len(given), len(held_out), len(all_views)) == (20, 4, 24)
    poses = {pose.tobytes() for pose in all_views.cameras.to_world}
    assert poses == {pose.tobytes() for part in (given, held_out) for pose in part.cameras.to_world}
    assert len(poses) == 24
    assert np.linalg.norm(all_views.cameras.positions, axis=1) == pytest.approx(2.2)
    elevation = np.degrees(np.arcsin(all_views.cameras.positions[:, 1] / 2.2))
    assert -5 < elevation.min() < 0
    assert 50 < elevation.max() < 60
    azimuth = np.sort(np.degrees(np.arctan2(*all_views.cameras.positions[:, [0, 2]].T)))
    assert np.diff(azimuth, append=azimuth[0] + 360).max() < 30, "no gap all around"
    assert np.ptp(np.degrees(np.arcsin(held_out.cameras.positions[:, 1] / 2.2))) > 25
    assert isinstance(given.images, np.memmap), "nothing is copied"


def test_objects_fill_the_pictures_and_are_not_cut_off(data: Turntable) -> None:
    share = data.stored["masks"].mean((2, 3))
    assert ((share > 0.15) & (share < 0.40)).mean() > 0.85
    assert share.min() > 0.07
    inner = np.zeros((32, 32), bool)
    inner[1:-1, 1:-1] = True
    assert not data.stored["masks"][..., ~inner].any()


def test_another_size_is_drawn_and_agrees(data: Turntable) -> None:
    item = data[2]
    large, small = item.views("held_out", 64), item.views("held_out")
    assert large.images.shape == (4, 64, 64, 3)
    mean = large.images.reshape(4, 32, 2, 32, 2, 3).mean((2, 4))
    assert np.abs(mean - small.images).mean() < 2
    assert np.array_equal(item.views("held_out", 32).images, small.images)
    circle = Cameras.orbit(2, elevation=10.0, distance=2.2, field_of_view=33.0, size=20)
    assert item.pictures(circle).shape == (2, 3, 20, 20)
    with pytest.raises(ValueError, match="at least 1 pixel a side, got 0"):
        item.views("all", 0)


def test_the_same_numbers_give_the_same_scene(data: Turntable, tmp_path: Path) -> None:
    again = Turntable("train", 2, size=32, cache=tmp_path)
    for index in range(2):
        assert np.array_equal(again[index].views("all").images, data[index].views("all").images)
        assert np.array_equal(again[index].cloud(50, rng(3)), data[index].cloud(50, rng(3)))
        assert again[index].captions == data[index].captions
    assert not np.array_equal(data[0].cloud(50, rng(3)), data[0].cloud(50, rng(4)))
    assert data[0].cloud(5000, rng()).shape == (5000, 6)
    clouds = [
        scene_of(TurntableSource(split, seed), index).stored_cloud()[0].tobytes()
        for split, seed, index in (("train", 0, 0), ("test", 0, 0), ("train", 1, 0), ("train", 0, 3))
    ]
    assert len(set(clouds)) == 4
    assert isinstance(data, DataSet)
    assert isinstance(data[0], NerfItem)
    assert pickle.loads(pickle.dumps(data[1])).views("given").images.shape == (20, 32, 32, 3)
    assert len(pickle.dumps(data)) < 2000, "workers map the file themselves"


def test_a_cloud_is_the_callers_own(data: Turntable) -> None:
    data[0].cloud(10, rng())[:] = 7
    assert data[0].cloud(4096, rng()).max() < 1.1


def test_helper_processes_draw_the_same(data: Turntable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turntable_cache, "ALONE", 1)
    monkeypatch.setattr("os.cpu_count", lambda: 1)  # one helper: it takes seconds to start
    other = Turntable("train", 6, size=32, cache=tmp_path)
    assert np.array_equal(other.stored, data.stored)
    assert [file.suffix for file in sorted(tmp_path.iterdir())] == [".lock", ".npy"]


def test_a_failing_helper_is_an_error_and_leaves_no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turntable_cache, "ALONE", 1)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(RuntimeError, match="the helper process failed"):
        _ = Turntable("train", 4, size=8, cache=tmp_path).stored
    assert not list(tmp_path.glob("*.npy")) + list(tmp_path.glob("*.building"))


def test_damaged_files_are_drawn_again(tmp_path: Path, said: list[str]) -> None:
    whole = np.array(Turntable("train", 2, size=8, cache=tmp_path).stored)
    (file,) = tmp_path.glob("*.npy")
    file.write_bytes(file.read_bytes()[:1000])
    assert np.array_equal(Turntable("train", 2, size=8, cache=tmp_path).stored, whole)
    assert any("damaged" in message for message in said)


def test_open_scenes_and_errors(tmp_path: Path) -> None:
    assert len(open_scenes("turntable", "train", items=7, size=8, cache=tmp_path)) == 7
    assert len(open_scenes("turntable", "test", items=1000, size=8, cache=tmp_path)) == 100
    with pytest.raises(ValueError, match="wanted a count and a size of at least 1 and a seed of at least 0"):
        Turntable("train", 0)
    with pytest.raises(IndexError, match="scene 3 of 3"):
        Turntable("train", 3)[3]
    with pytest.raises(ValueError, match="cloud of at least 1 point, got 0"):
        Turntable("train", 3, cache=tmp_path)[0].cloud(0, rng())
