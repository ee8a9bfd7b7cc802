"""Generalised winding numbers against what is known of them: solid angles of holes, parts, orientation."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from jaxtyping import Float64

from ddmi_modalities.geometry.watertight import contains
from ddmi_modalities.geometry.winding import ambiguous_share, winding_numbers, winds_round


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def box(*extents: float, at: tuple[float, float, float] = (0, 0, 0)) -> trimesh.Trimesh:
    mesh = trimesh.creation.box(extents=extents or (1, 1, 1))
    mesh.apply_translation(at)
    return mesh


def without(mesh: trimesh.Trimesh, gone: np.ndarray) -> trimesh.Trimesh:
    return trimesh.Trimesh(mesh.vertices, mesh.faces[~gone], process=False)


def turned(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    return trimesh.Trimesh(mesh.vertices, mesh.faces[:, ::-1], process=False)


def sheet() -> trimesh.Trimesh:
    return trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], [[0, 1, 2], [0, 2, 3]], process=False)


def open_box() -> trimesh.Trimesh:
    """A cube without its bottom."""
    cube = box()
    return without(cube, cube.face_normals[:, 1] < -0.5)


def solid_angle(mesh: trimesh.Trimesh, point: Float64[np.ndarray, "3"]) -> float:
    """Van Oosterom and Strackee 1983, face by face: an independent oracle."""
    total = 0.0
    for corners in mesh.triangles:
        a, b, c = corners - point
        la, lb, lc = (np.linalg.norm(one) for one in (a, b, c))
        total += 2 * np.arctan2(a @ np.cross(b, c), la * lb * lc + (a @ b) * lc + (b @ c) * la + (c @ a) * lb)
    return total


def test_sphere_without_a_cap() -> None:
    """w is 1 minus the hole's solid angle over 4 pi; from the centre that is a cone's, 2 pi (1 - cos) of its angle."""
    ball = trimesh.creation.uv_sphere(radius=0.5, count=[96, 96])
    cut = ball.triangles_center[:, 2] > 0.5 * np.cos(np.pi / 6)
    hole, rest = without(ball, ~cut), without(ball, cut)
    points = np.array([[0, 0, 0], [0, 0, 0.3], [0.1, -0.2, 0.1], [0, 0, -0.45], [0, 0, 0.6]])
    inside = np.array([1, 1, 1, 1, 0])
    expected = inside - np.array([solid_angle(hole, point) for point in points]) / (4 * np.pi)
    assert winding_numbers(rest, points) == pytest.approx(expected, abs=1e-9)
    assert winding_numbers(rest, points, exact=False) == pytest.approx(expected, abs=0.01)
    opening = rest.vertices[np.unique(rest.edges_sorted[trimesh.grouping.group_rows(rest.edges_sorted, 1)])]
    cosine = (opening[:, 2] / np.linalg.norm(opening, axis=1)).mean()
    assert winding_numbers(rest, points[:1])[0] == pytest.approx(1 - (1 - cosine) / 2, abs=2e-3)


def test_closed_cubes_orientation_and_overlaps() -> None:
    points = np.array([[0, 0, 0], [0.49, 0.49, -0.49], [0.51, 0, 0], [3, 0, 0]])
    assert winding_numbers(box(), points) == pytest.approx([1, 1, 0, 0], abs=1e-12)
    assert winding_numbers(turned(box()), points) == pytest.approx([-1, -1, 0, 0], abs=1e-12)
    both = trimesh.util.concatenate([box(), box(1, 1, 1, at=(0.5, 0, 0))])
    assert winding_numbers(both, np.array([[0.25, 0, 0], [-0.25, 0, 0]])) == pytest.approx([2, 1], abs=1e-12)
    some = rng().uniform(-0.6, 1.1, (2000, 3)).astype(np.float32)
    truth = (np.abs(some[:, 1:]) < 0.5).all(1) & (some[:, 0] > -0.5) & (some[:, 0] < 1)
    for mesh in (both, turned(both)):
        assert np.array_equal(winds_round(mesh, some), truth)


def test_box_without_its_bottom() -> None:
    """The bottom, seen from the centre, is a sixth of all directions; where it was, half of them."""
    points = np.array([[0, 0, 0], [0, -0.5, 0]])
    assert winding_numbers(open_box(), points) == pytest.approx([5 / 6, 0.5], abs=1e-12)
    some = rng().uniform(-0.5, 0.5, (4000, 3)).astype(np.float32)
    assert winds_round(open_box(), some).all()
    assert not winds_round(open_box(), some + np.float32([0, -1, 0])).any()


def test_the_same_as_rays_where_it_is_closed() -> None:
    ring = trimesh.creation.torus(major_radius=0.35, minor_radius=0.12)
    points = rng(1).uniform(-0.5, 0.5, (20_000, 3)).astype(np.float32)
    assert np.array_equal(winds_round(ring, points), contains(ring, points))


def test_points_in_any_tiles_and_order() -> None:
    points = rng().uniform(-0.6, 0.6, (1500, 3)).astype(np.float32)
    mesh = open_box().subdivide().subdivide().subdivide()
    whole = winds_round(mesh, points)
    assert np.array_equal(whole, np.concatenate([winds_round(mesh, tile) for tile in np.array_split(points, 7)]))
    assert np.array_equal(whole[::-1], winds_round(mesh, points[::-1]))
    assert winds_round(mesh, points[:0]).shape == (0,)


def test_fast_numbers_decide_as_exact_ones() -> None:
    """Near one half, too: points on both sides of where the bottom of a box was."""
    mesh = open_box().subdivide().subdivide().subdivide()
    points = rng().uniform(-0.5, 0.5, (2000, 3)).astype(np.float32)
    points[:, 1] = rng(1).uniform(-0.5, -0.47, len(points))
    exact = np.abs(winding_numbers(mesh, points)) > 0.5
    assert np.array_equal(winds_round(mesh, points), exact & (points >= mesh.bounds[0]).all(1))


def test_how_ambiguous() -> None:
    assert ambiguous_share(box()) == 0
    bottomless = ambiguous_share(open_box())
    assert 0.1 < bottomless < 0.4  # |w| < 3/4 in a dome over the bottom, > 1/4 below it in the margin
    assert ambiguous_share(open_box()) == bottomless
    for nothing in (sheet(), trimesh.util.concatenate([sheet(), turned(sheet())])):  # |w| <= 1/2, and 0
        with pytest.raises(ValueError, match="^encloses no volume$"):
            ambiguous_share(nothing)
    wire = trimesh.util.concatenate([box(1, 0.003, 0.003), box(0.003, 1, 0.003), box(0.003, 0.003, 1)])
    assert ambiguous_share(wire) < 0.01  # thin, but something
