"""Shape metrics against values known by hand and against loops."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest

from ddmi_modalities.metrics.point_sets import chamfer_matrix, coverage, emd_matrix, mmd, normalise, one_nna, tmd
from ddmi_modalities.metrics.surfaces import chamfer_l1, f_score, normal_consistency, volumetric_iou

NOTHING = np.zeros((0, 3), np.float32)


def cloud(*points: tuple[float, float, float]) -> np.ndarray[Any, Any]:
    return np.array(points, np.float32)


@pytest.fixture
def clouds() -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).normal(0.2, 0.3, size=(5, 100, 3)).astype(np.float32)


def test_iou_by_hand() -> None:
    made, true = np.array([[True, True], [False, False]]), np.array([[True, False], [True, False]])
    assert volumetric_iou(made, true) == pytest.approx(1 / 3)
    assert volumetric_iou(made, made) == volumetric_iou(made & False, true & False) == 1.0
    assert volumetric_iou(made, ~made) == 0.0


def test_chamfer_l1_by_hand() -> None:
    made, true = cloud((0, 0, 0), (1, 0, 0)), cloud((0, 0, 0.5))
    # accuracy (0.5 + sqrt(1.25)) / 2, completeness 0.5
    assert chamfer_l1(made, true) == pytest.approx(((0.5 + 1.25**0.5) / 2 + 0.5) / 2)
    assert chamfer_l1(true, made) == pytest.approx(chamfer_l1(made, true))
    assert chamfer_l1(made, made) == chamfer_l1(NOTHING, NOTHING) == 0
    assert chamfer_l1(NOTHING, true) == chamfer_l1(true, NOTHING) == pytest.approx(3**0.5)


def test_f_score_by_hand() -> None:
    made, true = cloud((0, 0, 0), (1, 0, 0), (2, 0, 0)), cloud((0, 0.009, 0), (0, 0, 0.5))
    # precision 1/3, recall 1/2
    assert f_score(made, true) == pytest.approx(2 * (1 / 3) * (1 / 2) / (1 / 3 + 1 / 2))
    assert f_score(made, true, threshold=0.001) == 0
    assert f_score(made, made) == f_score(NOTHING, NOTHING) == 1
    assert f_score(NOTHING, true) == f_score(true, NOTHING) == 0


def test_normal_consistency_by_hand() -> None:
    made, true = cloud((0, 0, 0), (1, 0, 0)), cloud((0, 0, 0.1))
    made_normals, true_normals = cloud((0, 0, -2), (0, 1, 0)), cloud((0, 0, 1))
    # there: |cos| 1 and 0; back: 1
    assert normal_consistency(made, made_normals, true, true_normals) == pytest.approx((0.5 + 1) / 2)
    assert normal_consistency(NOTHING, NOTHING, true, true_normals) == 0
    assert normal_consistency(NOTHING, NOTHING, NOTHING, NOTHING) == 1


def slow_chamfer(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> float:
    a, b = a.astype(np.float64), b.astype(np.float64)
    there = [min(((p - q) ** 2).sum() for q in b) for p in a]
    back = [min(((p - q) ** 2).sum() for p in a) for q in b]
    return float(np.mean(there) + np.mean(back))


def test_chamfer_matrix_against_loops(clouds: np.ndarray[Any, Any]) -> None:
    far = clouds[:2, :40] + 5  # a distance from the origin must not cost digits
    for first, second in ((clouds[2:], far), (far, far + np.float32(0.01))):
        wanted = [[slow_chamfer(a, b) for b in second] for a in first]
        assert chamfer_matrix(first, second) == pytest.approx(np.array(wanted), rel=2e-4)
    assert chamfer_matrix(clouds, clouds) == pytest.approx(chamfer_matrix(clouds), abs=1e-6)
    assert np.diag(chamfer_matrix(clouds)).max() == 0
    assert chamfer_matrix(clouds, points=70) == pytest.approx(chamfer_matrix(clouds[:, :70]))


def test_emd_against_all_matchings() -> None:
    a, b = np.random.default_rng(1).normal(size=(2, 3, 5, 3))
    for i in range(3):
        for j in range(3):
            wanted = min(np.linalg.norm(a[i] - b[j][list(order)], axis=1).mean() for order in permutations(range(5)))
            assert emd_matrix(a, b)[i, j] == pytest.approx(wanted)
    assert emd_matrix(a) == pytest.approx(emd_matrix(a, a), abs=1e-12)
    assert emd_matrix(a, b, points=2) == pytest.approx(emd_matrix(a[:, :2], b[:, :2]))


def test_set_scores_by_hand() -> None:
    # made (rows) 0 and 1 are nearest to true 0, made 2 to true 2; true 0, 1, 2 are nearest to made 0, 1, 2
    across = np.array([[1.0, 5.0, 6.0], [2.0, 4.0, 7.0], [9.0, 8.0, 3.0]])
    assert mmd(across) == pytest.approx((1 + 4 + 3) / 3)
    assert coverage(across) == pytest.approx(2 / 3)
    made = np.array([[0, 0.5, 9], [0.5, 0, 9], [9, 9, 0]])
    true = np.array([[0, 10.0, 2.5], [10.0, 0, 10], [2.5, 10, 0]])
    # own nearest: made 0 and 1 (0.5 < 1, 2), not made 2 (3 < 9); not true 0 (1 < 2.5), not 1 (4 < 10), true 2 (2.5 < 3)
    assert one_nna(made, across, true) == pytest.approx(3 / 6)


def test_one_nna_extremes(clouds: np.ndarray[Any, Any]) -> None:
    within = chamfer_matrix(clouds)
    assert one_nna(within, within, within) == 0  # a copy is its original's nearest neighbour
    far = clouds + np.float32(10)
    assert one_nna(within, chamfer_matrix(clouds, far), chamfer_matrix(far)) == 1


def test_one_nna_against_loops() -> None:
    points = np.random.default_rng(3).normal(size=(12, 2))
    distances = np.linalg.norm(points[:, None] - points, axis=-1)
    right = 0
    for i in range(12):
        nearest = min((j for j in range(12) if j != i), key=lambda j: distances[i, j])
        right += (nearest < 6) == (i < 6)
    assert one_nna(distances[:6, :6], distances[:6, 6:], distances[6:, 6:]) == pytest.approx(right / 12)


def test_tmd_by_hand() -> None:
    within = np.array([[0, 1.0, 2.0], [1.0, 0, 3.0], [2.0, 3.0, 0]])
    assert tmd(within) == pytest.approx(1.5 + 2 + 2.5)
    assert tmd(np.zeros((10, 10))) == 0


def test_normalisations(clouds: np.ndarray[Any, Any]) -> None:
    assert np.array_equal(normalise(clouds, "none"), clouds.astype(np.float64))
    dataset = normalise(clouds, "dataset")
    assert dataset.mean((0, 1)) == pytest.approx(np.zeros(3), abs=1e-12)
    scale = clouds.astype(np.float64).std()
    assert (dataset[0, 0] - dataset[1, 1]) * scale == pytest.approx(clouds[0, 0] - clouds[1, 1], abs=1e-6)
    assert normalise(clouds[:1], "dataset", like=clouds) == pytest.approx(dataset[:1])
    box = normalise(clouds, "shape_box")
    assert (box.max(1) - box.min(1)).max(1) == pytest.approx(np.full(5, 2))
    assert box.max(1) + box.min(1) == pytest.approx(np.zeros((5, 3)), abs=1e-12)
    ball = normalise(clouds, "unit_sphere")
    assert np.linalg.norm(ball, axis=2).max(1) == pytest.approx(np.ones(5))
    unit = normalise(clouds, "shape_unit")
    for how in ("shape_box", "unit_sphere", "shape_unit"):  # an empty shape is one point, and stays one
        assert not normalise(np.stack([clouds[0], clouds[1] * 0 + 3]), how)[1].any()
    assert unit.std((1, 2)) == pytest.approx(np.ones(5))
    for centred in (ball, unit):
        assert centred.mean(1) == pytest.approx(np.zeros((5, 3)), abs=1e-12)


def test_pair_metric_messages() -> None:
    a, bad = cloud((0, 0, 0)), cloud((0, np.nan, 0))
    with pytest.raises((ValueError, TypeError), match=r"wanted both at the same points"):
        volumetric_iou(np.ones(3, bool), np.ones(4, bool))
    with pytest.raises(ValueError, match="1 points are not finite"):
        chamfer_l1(a, bad)
    with pytest.raises(ValueError, match="a distance above 0 in world units, got 0"):
        f_score(a, a, threshold=0.0)
    with pytest.raises((ValueError, TypeError), match=r"1 normals for 2 made points"):
        normal_consistency(cloud((0, 0, 0), (1, 1, 1)), a, a, a)


def test_set_metric_messages(clouds: np.ndarray[Any, Any]) -> None:
    wide = np.ones((2, 3))
    for what, score in (("MMD", mmd), ("COV", coverage)):
        with pytest.raises(ValueError, match=f"{what}: 2 made shapes against 3 true ones; wanted equal counts"):
            score(wide)
    with pytest.raises(ValueError, match="1-NNA: 2 made shapes against 3 true ones"):
        one_nna(np.ones((2, 2)), wide, np.ones((3, 3)))
    with pytest.raises((ValueError, TypeError), match=r"wanted three matrices of one shape"):
        one_nna(np.ones((3, 3)), np.ones((2, 2)), np.ones((2, 2)))
    with pytest.raises(ValueError, match="give at least two"):
        one_nna(np.zeros((1, 1)), np.ones((1, 1)), np.zeros((1, 1)))
    with pytest.raises(ValueError, match="distances of at least two shapes"):
        tmd(np.zeros((1, 1)))
    with pytest.raises(ValueError, match="points is from 1 to the 100 points of a cloud, got 200"):
        chamfer_matrix(clouds, points=200)
    with pytest.raises(ValueError, match="wanted at least one cloud and one point"):
        chamfer_matrix(clouds[:0])
    with pytest.raises(ValueError, match="cloud 1 has points that are not finite"):
        emd_matrix(np.array([[[0.0, 0, 0]], [[np.inf, 0, 0]]]))
    with pytest.raises((ValueError, TypeError), match=r"cannot be matched one to one; give `points`"):
        emd_matrix(clouds, clouds[:, :50])
    with pytest.raises(ValueError, match="all clouds are one point and have no size"):
        normalise(clouds * 0, "dataset")
    with pytest.raises((ValueError, TypeError), match=r"how is one of none, dataset, .*; got 'box'|Type-check"):
        normalise(clouds, "box")  # type: ignore[arg-type]
