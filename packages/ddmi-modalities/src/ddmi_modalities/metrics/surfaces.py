"""How close a shape is to the true one.  World units: the unit cube, whose diagonal is sqrt(3)."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree

WORST = math.sqrt(3)
"""The distance to or from a shape without points: the diagonal of the unit cube."""


def volumetric_iou(preds: Bool[np.ndarray, "*made"], target: Bool[np.ndarray, "*true"]) -> float:
    """Intersection over union of two occupancies at the same points, uniform in the volume; 1 when both are empty.

    Occupancy Networks, Mescheder et al. 2019, section 4 (from 100,000 points).
    """
    if preds.shape != target.shape:
        raise ValueError(
            f"volumetric IoU: occupancies of shape {preds.shape} and {target.shape}; wanted both at the same points"
        )
    union = int((preds | target).sum())
    return int((preds & target).sum()) / union if union else 1.0


def chamfer_l1(preds: Float[np.ndarray, "n 3"], target: Float[np.ndarray, "m 3"]) -> float:
    """Chamfer-L1 of two clouds of surface points, in world units.

    The mean of accuracy (mean distance from a made point to the nearest true one) and completeness (the reverse):
    Occupancy Networks, Mescheder et al. 2019, appendix.  Distances are Euclidean and not squared; papers that print
    "Chamfer-L1 x 10" measure in tenths of the largest side of the bounding box.  0 when both clouds are empty, sqrt(3)
    when one is.
    """
    there, back = _nearest(preds, target)[0], _nearest(target, preds)[0]
    return (_mean(there, len(target)) + _mean(back, len(preds))) / 2


def f_score(preds: Float[np.ndarray, "n 3"], target: Float[np.ndarray, "m 3"], threshold: int | float = 0.01) -> float:
    """Harmonic mean of precision and recall, in [0, 1]: the shares of made and of true points that have a point of the
    other cloud within `threshold` (world units; 0.01 is 1 % of the unit cube's side).

    Tatarchenko et al. 2019, "What Do Single-view 3D Reconstruction Networks Learn?", section 5.  1 when both clouds are
    empty, 0 when one is.
    """
    if not threshold > 0:
        raise ValueError(f"F-score: the threshold is a distance above 0 in world units, got {threshold}")
    if len(preds) == 0 or len(target) == 0:
        return float(len(preds) == len(target))
    precision = float((_nearest(preds, target)[0] <= threshold).mean())
    recall = float((_nearest(target, preds)[0] <= threshold).mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def normal_consistency(
    preds: Float[np.ndarray, "n 3"],
    preds_normals: Float[np.ndarray, "_ 3"],
    target: Float[np.ndarray, "m 3"],
    target_normals: Float[np.ndarray, "_ 3"],
) -> float:
    """Mean |cosine| of the angle between each point's normal and that of the nearest point of the other cloud, averaged
    over both directions, in [0, 1].

    Occupancy Networks, Mescheder et al. 2019, section 4.  The absolute value, since published meshes face both ways.
    Normals need not have unit length.  1 when both clouds are empty, 0 when one is.
    """
    for name, points, normals in (("made", preds, preds_normals), ("true", target, target_normals)):
        if points.shape != normals.shape:
            raise ValueError(
                f"normal consistency: {len(normals)} normals for {len(points)} {name} points; give one for each"
            )
    if len(preds) == 0 or len(target) == 0:
        return float(len(preds) == len(target))
    a, b = _unit(preds_normals), _unit(target_normals)
    there, back = _nearest(preds, target)[1], _nearest(target, preds)[1]
    return float(np.abs((a * b[there]).sum(1)).mean() + np.abs((b * a[back]).sum(1)).mean()) / 2


def _nearest(
    points: Float[np.ndarray, "n 3"], cloud: Float[np.ndarray, "m 3"]
) -> tuple[Float[np.ndarray, " n"], np.ndarray]:
    """Of each point, the distance to the nearest of the cloud and its index."""
    for given in (points, cloud):
        if not np.isfinite(given).all():
            raise ValueError(f"shape metric: {int((~np.isfinite(given)).any(-1).sum())} points are not finite")
    if len(cloud) == 0:
        return np.full(len(points), WORST), np.zeros(len(points), int)
    distances, index = cKDTree(cloud).query(points)
    return distances, index


def _mean(distances: Float[np.ndarray, " n"], others: int) -> float:
    """The mean; without distances 0 when the other cloud is empty as well, else the worst."""
    if len(distances):
        return float(distances.mean())
    return WORST if others else 0.0


def _unit(normals: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
