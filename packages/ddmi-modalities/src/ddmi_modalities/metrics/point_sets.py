"""Distances between sets of shapes, from point clouds: how good and how diverse generated shapes are.

First a matrix of distances between all pairs of clouds (`chamfer_matrix`, `emd_matrix`), then scores of the matrices:
`mmd`, `coverage`, `one_nna`.  Their definitions: PointFlow, Yang et al. 2019, section 5.1.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, Float64
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from torch import Tensor

Normalisation = Literal["none", "dataset", "shape_box", "unit_sphere", "shape_unit"]

BLOCK = 64
"""Points of a cloud compared at once on the CPU: the distances to all points of another cloud stay in the cache."""


def normalise(
    clouds: Float[np.ndarray, "cloud point 3"],
    how: Normalisation,
    *,
    like: Float[np.ndarray, "others _ 3"] | None = None,
) -> Float64[np.ndarray, "cloud point 3"]:
    """Clouds in the units that a published score was measured in; scores of differently normalised clouds differ.

    Args:
        clouds: points in world units.
        how: "none": as they are.
            "dataset": less the mean of all points of all clouds, over the one standard deviation of all their
            coordinates (PointFlow's training data).
            "shape_box": each cloud's bounding box centred at 0, its largest side from -1 to 1 (Luo and Hu 2021,
            "Diffusion Probabilistic Models for 3D Point Cloud Generation", in the evaluation).
            "unit_sphere": each cloud's mean at 0, its farthest point at distance 1.
            "shape_unit": each cloud's mean at 0, the standard deviation of its centred coordinates 1.
        like: for "dataset", the clouds whose statistics are taken, default `clouds`: give the reference set, and
            normalise both sets by it.

    Raises:
        ValueError: no such normalisation, or for "dataset" clouds that are all one point.

    A cloud that is a single point, as of an empty shape, has no size: it comes to lie at 0.
    """
    if how not in get_args(Normalisation):
        raise ValueError(f"normalise: how is one of {', '.join(get_args(Normalisation))}; got {how!r}")
    clouds = clouds.astype(np.float64)
    if how == "none":
        return clouds
    if how == "dataset":
        source = clouds if like is None else like.astype(np.float64)
        centre, size = source.mean((0, 1), keepdims=True), np.full((1, 1, 1), source.std())
    elif how == "shape_box":
        low, high = clouds.min(1, keepdims=True), clouds.max(1, keepdims=True)
        centre, size = (low + high) / 2, (high - low).max(2, keepdims=True) / 2
    else:
        centre = clouds.mean(1, keepdims=True)
        size = (
            np.linalg.norm(clouds - centre, axis=2, keepdims=True).max(1, keepdims=True)
            if how == "unit_sphere"
            else (clouds - centre).std((1, 2), keepdims=True)
        )
    if how == "dataset" and not size.all():
        raise ValueError("normalise: all clouds are one point and have no size")
    return (clouds - centre) / np.where(size > 0, size, 1.0)


def chamfer_matrix(
    a: Float[np.ndarray, "n _ 3"],
    b: Float[np.ndarray, "m _ 3"] | None = None,
    *,
    points: int | None = None,
    device: torch.device | str = "cpu",
) -> Float64[np.ndarray, "n m"]:
    """Chamfer-L2 of every cloud of `a` to every one of `b`: the sum of both mean *squared* nearest distances.

    As in point cloud generation (Achlioptas et al. 2018, eq. 2; PointFlow), in squared units of the clouds; some print
    it times 1,000.  By comparing all points in float32, since clouds of different shapes are the slow case of search
    trees: about 3 ms a pair of 2,048 points on one core, so that 200 x 200 take two minutes and half as much for
    `b=None`, which is `a` against itself.

    Args:
        a: clouds of one count of points.
        b: others, default `a`.
        points: use only the first so many points of each cloud (in random order); time falls as the square.
        device: where to compute.
    """
    first = _clouds("chamfer_matrix", a, points)
    second = first if b is None else _clouds("chamfer_matrix", b, points)
    # distances by |p|^2 + |q|^2 - 2 pq lose digits far from 0
    centre = second.mean((0, 1))
    one = _tensor(first - centre, device)
    other = one if b is None else _tensor(second - centre, device)
    left = torch.cat([-2 * one, one.square().sum(2, keepdim=True), torch.ones_like(one[..., :1])], dim=2)
    right = torch.cat([other, torch.ones_like(other[..., :1]), other.square().sum(2, keepdim=True)], dim=2)
    right = right.transpose(1, 2).contiguous()
    block = BLOCK if one.device.type == "cpu" else left.shape[1]
    matrix = torch.zeros(len(left), len(right), dtype=torch.float64, device=one.device)
    for i, cloud in enumerate(left):
        for j in range(i + 1 if b is None else 0, len(right)):
            matrix[i, j] = _chamfer(cloud, right[j], block)
    full = matrix.cpu().numpy()
    return full + full.T if b is None else full


def _chamfer(left: Float[Tensor, "p 5"], right: Float[Tensor, "5 q"], block: int) -> Float[Tensor, ""]:
    """Of clouds extended such that their product is the matrix of squared distances."""
    there, back = [], None
    buffer = left.new_empty(block, right.shape[1])
    for part in left.split(block):
        squared = torch.mm(part, right, out=buffer[: len(part)])
        there.append(squared.amin(1))
        nearest = squared.amin(0)
        back = nearest if back is None else torch.minimum(back, nearest)
    assert back is not None
    return torch.cat(there).clamp_min(0).mean(dtype=torch.float64) + back.clamp_min(0).mean(dtype=torch.float64)


def emd_matrix(
    a: Float[np.ndarray, "n _ 3"],
    b: Float[np.ndarray, "m _ 3"] | None = None,
    *,
    points: int | None = None,
) -> Float64[np.ndarray, "n m"]:
    """Exact earth mover's distance of every cloud of `a` to every one of `b`: the least mean Euclidean distance over
    all one-to-one matchings of their points (Achlioptas et al. 2018, eq. 1, divided by the number of points).

    1.3 s a pair of 2,048 points, and more than four times less for half of the points: for small sets, or with
    `points`, the number of points to use of each cloud (the first ones; they must be in random order).
    """
    first = _clouds("emd_matrix", a, points)
    second = first if b is None else _clouds("emd_matrix", b, points)
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            f"emd_matrix: clouds of {first.shape[1]} and of {second.shape[1]} points cannot be matched one to one; "
            "give `points`"
        )
    matrix = np.zeros((len(first), len(second)))
    for i, j in np.ndindex(*matrix.shape):
        if b is None and j <= i:
            matrix[i, j] = matrix[j, i]
        else:
            distances = cdist(first[i], second[j])
            matrix[i, j] = distances[linear_sum_assignment(distances)].mean()
    return matrix


def mmd(across: Float[np.ndarray, "made true"]) -> float:
    """Minimum matching distance: the mean over true shapes of the distance to the nearest made one; lower is better.

    Takes the matrix of distances, made shapes in rows.  ValueError unless there are as many made as true ones, since
    more shapes are always nearer.
    """
    _equal_counts("MMD", across)
    return float(across.min(0).mean())


def coverage(across: Float[np.ndarray, "made true"]) -> float:
    """COV: the share of true shapes that are the nearest one of some made shape, in (0, 1]; higher is better.

    Even a second draw of true shapes does not reach 1 (about 0.5 to 0.6).  Takes what `mmd` takes; of equally near
    shapes the first counts.
    """
    _equal_counts("COV", across)
    return len(np.unique(across.argmin(1))) / across.shape[1]


def one_nna(
    made: Float[np.ndarray, "_ _"], across: Float[np.ndarray, "made true"], true: Float[np.ndarray, "_ _"]
) -> float:
    """1-NNA: how well the nearest other shape tells made from true shapes, in [0, 1]; 0.5 is best.

    The share of shapes of both sets whose nearest neighbour, itself left out, is of its own set (Lopez-Paz and Oquab
    2017; PointFlow).  1: the sets are far apart; below 0.5: shapes come in pairs, as when the true ones were copied.
    A neighbour of each set at the same distance counts as one of the other set.
    """
    _equal_counts("1-NNA", across)
    if made.shape != across.shape or true.shape != across.shape:
        raise ValueError(
            f"1-NNA: wanted three matrices of one shape, got {made.shape} within the made, {across.shape} across and "
            f"{true.shape} within the true shapes"
        )
    if len(across) < 2:
        raise ValueError("1-NNA: a set of one shape has no nearest neighbour of its own; give at least two")
    itself = np.where(np.eye(len(across), dtype=bool), np.inf, 0)
    own = np.concatenate([(made + itself).min(1), (true + itself).min(1)])
    other = np.concatenate([across.min(1), across.min(0)])
    return float((own < other).mean())


def tmd(within: Float[np.ndarray, "k _"]) -> float:
    """Total mutual difference of the k shapes made from one condition: the sum over them of the mean distance to the
    k - 1 others (Wu et al. 2020, "Multimodal Shape Completion via Conditional GANs", section 4: k = 10, Chamfer).

    It measures diversity and usually counts as better when higher.  Takes `chamfer_matrix(clouds)` of the k clouds;
    average over conditions.
    """
    if within.shape[0] != within.shape[1] or len(within) < 2:
        raise ValueError(f"TMD: wanted the square matrix of distances of at least two shapes, got {within.shape}")
    return float((within.sum(1) - np.diag(within)).sum() / (len(within) - 1))


def _clouds(what: str, clouds: Float[np.ndarray, "n _ 3"], points: int | None) -> Float64[np.ndarray, "n _ 3"]:
    if points is not None and not 1 <= points <= clouds.shape[1]:
        raise ValueError(f"{what}: points is from 1 to the {clouds.shape[1]} points of a cloud, got {points}")
    if 0 in clouds.shape:
        raise ValueError(f"{what}: got clouds of shape {clouds.shape}; wanted at least one cloud and one point")
    if not np.isfinite(clouds).all():
        bad = int(np.flatnonzero(~np.isfinite(clouds).all((1, 2)))[0])
        raise ValueError(f"{what}: cloud {bad} has points that are not finite; leave it out")
    return clouds[:, :points].astype(np.float64)


def _tensor(clouds: Float64[np.ndarray, "n _ 3"], device: torch.device | str) -> Float[Tensor, "n _ 3"]:
    return torch.from_numpy(clouds.astype(np.float32)).to(device)


def _equal_counts(what: str, across: Float[np.ndarray, "made true"]) -> None:
    if across.shape[0] != across.shape[1] or 0 in across.shape:
        raise ValueError(
            f"{what}: {across.shape[0]} made shapes against {across.shape[1]} true ones; wanted equal counts, at least "
            "one: the score depends on them"
        )
