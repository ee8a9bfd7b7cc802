"""Cameras and views: rays, projection, orbits, sizes, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from ddmi_modalities.geometry.cameras import OPENGL, Z_UP, Cameras, check_poses
from ddmi_modalities.nerf.items import Views, check_which, mask_of_white


def two_cameras() -> Cameras:
    """One at (0, 0, -2) looking along +z with y down, and one on +x that looks at the centre; 6 rows, 8 columns."""
    first = np.eye(4)
    first[2, 3] = -2
    second = Cameras.around([90], [0], distance=3.0, size=1).to_world[0]
    focal, centre = np.array([[10.0, 20.0], [8.0, 8.0]]), np.array([[4.0, 3.0], [3.5, 3.0]])
    return Cameras(np.stack([first, second]), focal, centre, 6, 8)


def test_projection_by_hand() -> None:
    pixels, depth = two_cameras().project(np.array([[0.2, 0.1, 0.0], [0.0, 0.0, 2.0]]))
    assert depth[0] == pytest.approx([2, 4])
    assert pixels[0] == pytest.approx(np.array([[10 * 0.2 / 2 + 4, 20 * 0.1 / 2 + 3], [4, 3]]))
    # from +x the right hand is -z, and up is -y in the picture
    assert depth[1] == pytest.approx([2.8, 3])
    assert pixels[1] == pytest.approx(np.array([[3.5, 3 - 8 * 0.1 / 2.8], [3.5 - 8 * 2 / 3, 3]]))


def test_rays_go_through_the_centres_of_their_pixels() -> None:
    cameras = two_cameras()
    views, rows, columns = np.array([0, 1, 1]), np.array([0, 5, 2]), np.array([7, 0, 3])
    origins, directions = cameras.rays(views, rows, columns)
    assert (origins.dtype, directions.dtype) == (np.float32, np.float32)
    assert np.linalg.norm(directions, axis=1) == pytest.approx(1)
    assert origins == pytest.approx(cameras.positions[views])
    for view, row, column, origin, direction in zip(views, rows, columns, origins, directions, strict=True):
        pixels, depth = cameras.project((origin + 2.5 * direction)[None])
        assert pixels[view, 0] == pytest.approx([column + 0.5, row + 0.5], abs=1e-4)
        assert depth[view, 0] > 0
    # the corner pixel of the first camera by hand
    wanted = np.array([3.5 / 10, -2.5 / 20, 1])
    assert directions[0] == pytest.approx(wanted / np.linalg.norm(wanted))


def test_image_rays_are_those_of_all_pixels_row_by_row() -> None:
    cameras = two_cameras()
    origins, directions = cameras.image_rays(1)
    assert directions.shape == (48, 3)
    one = cameras.rays(np.array([1]), np.array([2]), np.array([5]))
    assert np.array_equal(directions[2 * 8 + 5], one[1][0])
    assert np.array_equal(origins[0], one[0][0])


def test_cameras_around_look_at_the_centre_from_where_they_say() -> None:
    cameras = Cameras.around([0, 90, 30], [0, 0, 60], distance=2.0, field_of_view=90.0, size=4)
    half = 3**0.5 / 2  # cos 30 degrees
    assert cameras.positions == pytest.approx(2 * np.array([[0, 0, 1], [1, 0, 0], [0.25, half, half / 2]]))
    (middle,), depth = cameras[2:].project(np.zeros((1, 3)))[0], cameras.project(np.zeros((1, 3)))[1]
    assert middle[0] == pytest.approx([2, 2])
    assert depth[:, 0] == pytest.approx(2)
    # 90 degrees from the upper to the lower edge: at distance 2 a picture is 4 high; up is up
    (upper,) = cameras[:1].project(np.array([[0.0, 2.0, 0.0], [2.0, 0.0, 0.0]]))[0]
    assert upper == pytest.approx(np.array([[2, 0], [4, 2]]))


def test_poses_by_hand() -> None:
    front, side, above = Cameras.around([0, 90, 0], [0, 0, 90], distance=2.0, size=1).to_world
    # OpenCV: x right, y down, z forward; the first camera is in front of the chair and looks back
    assert np.allclose(front, [[1, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, 2], [0, 0, 0, 1]])
    assert np.allclose(side[:3], [[0, 0, -1, 2], [0, -1, 0, 0], [-1, 0, 0, 0]])
    assert np.allclose(above[:3], [[1, 0, 0, 0], [0, 0, -1, 2], [0, 1, 0, 0]])


def test_orbit_goes_round_in_equal_steps() -> None:
    cameras = Cameras.orbit(4, elevation=20.0, distance=2.5, field_of_view=40.0, size=6, start_azimuth=10.0)
    single = Cameras.around([10, 100, 190, 280], [20] * 4, distance=2.5, field_of_view=40.0, size=6)
    assert cameras.to_world == pytest.approx(single.to_world)
    assert np.linalg.norm(cameras.positions, axis=1) == pytest.approx(2.5)
    assert cameras.positions[:, 1] == pytest.approx(2.5 * np.sin(np.radians(20)))
    with pytest.raises(ValueError, match="at least one camera, got 0"):
        Cameras.orbit(0, elevation=20.0, distance=2.5, field_of_view=40.0, size=6)


def test_resized_cameras_see_the_same() -> None:
    cameras, point = two_cameras(), np.array([[0.1, 0.2, 0.3]])
    pixels, _ = cameras.resized(18, 16).project(point)
    assert pixels == pytest.approx(cameras.project(point)[0] * [2, 3])


def test_a_turned_world_is_seen_the_same() -> None:
    cameras, points = two_cameras(), np.array([[0.1, 0.2, 0.3], [-0.1, 0.0, 0.2]])
    pixels, depth = cameras.in_world(Z_UP, 2.0).project(points @ Z_UP.T * 2)
    assert pixels == pytest.approx(cameras.project(points)[0])
    assert depth == pytest.approx(cameras.project(points)[1] * 2)
    assert (Z_UP @ [0, 0, 1]).tolist() == [0, 1, 0]
    assert np.linalg.det(Z_UP) == pytest.approx(1)


def test_parts_of_cameras_and_views() -> None:
    cameras = two_cameras()
    assert len(cameras[1:]) == 1
    assert np.array_equal(cameras[np.array([1, 0])].to_world, cameras.to_world[::-1])
    images = np.random.default_rng(0).integers(0, 256, (2, 6, 8, 3), dtype=np.uint8)
    views = Views(images, mask_of_white(images), cameras)
    part = views[np.array([1])]
    assert (len(views), len(part)) == (2, 1)
    assert np.array_equal(part.images[0], images[1])
    with pytest.raises(ValueError, match="give one picture and mask of the cameras' size for every view"):
        Views(images, views.masks, cameras[:1])


def test_reduced_views() -> None:
    images = np.full((2, 6, 8, 3), 255, np.uint8)
    images[:, :, :4] = (10, 20, 30)
    views = Views(images, mask_of_white(images), two_cameras())
    small = views.reduced(4)
    assert small.images.shape == (2, 3, 4, 3)
    assert small.images[0, 1, 0].tolist() == pytest.approx([10, 20, 30], abs=4)
    assert small.masks[0].tolist() == [[True, True, False, False]] * 3
    assert small.cameras.focal == pytest.approx(views.cameras.focal / 2)
    assert views.reduced(8) is views
    with pytest.raises(ValueError, match=r"6 x 8 pixels can be reduced but not brought to 9 .* ask for 1 to 8"):
        views.reduced(9)


def test_mask_of_white() -> None:
    pixels = np.array([[[255, 255, 255], [254, 253, 252], [255, 255, 200]]], np.uint8)
    assert mask_of_white(pixels).tolist() == [[False, False, True]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda pose: pose * 2, "is not rigid: wanted a rotation, .*; write camera-to-world matrices"),
        (lambda pose: pose @ np.diag([-1.0, 1, 1, 1]), "determinant -1"),
        (lambda pose: pose + np.eye(4)[3][:, None] * 0.5, "last row"),
        (lambda pose: np.where(pose == 1, np.nan, pose), "NaN or infinite; repair it or remove the view"),
        (lambda pose: pose + np.diag([1e200, 0, 0, 0]), "is not rigid"),
        (lambda pose: pose + 1e300 * np.eye(4)[0][:, None] * np.eye(4)[3], r"is 1e\+300 from the origin"),
    ],
)
def test_poses_that_are_refused(change: object, message: str) -> None:
    poses = np.stack([np.eye(4) @ OPENGL, change(np.eye(4))])  # type: ignore[operator]
    with pytest.raises(ValueError, match=message) as caught:
        check_poses(poses, ["good.txt", "bad.txt"])
    assert str(caught.value).startswith("bad.txt")


def test_intrinsics_that_are_refused() -> None:
    pose, one = np.eye(4)[None], np.ones((1, 2))
    with pytest.raises(ValueError, match="focal lengths above 0, in pixels; check the intrinsics"):
        Cameras(pose, -one, one, 4, 4)
    with pytest.raises(ValueError, match="at least one row and column of pixels, got 0 x 4"):
        Cameras(pose, one, one, 0, 4)
    with pytest.raises(ValueError, match="there are no views 'some'; choose 'given', 'held_out' or 'all'"):
        check_which("some")
