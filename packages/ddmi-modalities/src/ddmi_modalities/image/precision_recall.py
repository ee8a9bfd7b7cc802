"""Improved precision and recall (Kynkäänniemi et al. 2019): fidelity and diversity of a set of images, apart."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

ROWS = 1000
"""Distances of this many images to all others at once."""


def precision_recall(
    made: Float[Tensor, "n feature"], real: Float[Tensor, "m feature"], *, neighbours: int = 3
) -> tuple[float, float]:
    """Precision: part of the made features inside of the real set's manifold.  Recall: the reverse.

    A set's manifold is the union of balls around its features, each as large as the distance to the k-th nearest other
    feature of the set.  Both depend on the counts, recall most: compare equal ones only.

    Raises ValueError for two networks' features, and for a set too small for its k neighbours.
    """
    if made.shape[1] != real.shape[1] or min(len(made), len(real)) <= neighbours:
        raise ValueError(
            f"precision and recall: features of shapes {tuple(made.shape)} and {tuple(real.shape)}; wanted more than "
            f"{neighbours} images a side, from one network"
        )
    return _inside(made, real, _radii(real, neighbours)), _inside(real, made, _radii(made, neighbours))


def _radii(features: Float[Tensor, "n feature"], neighbours: int) -> Float[Tensor, " n"]:
    """The distance of each feature to its k-th nearest other one."""
    radii = []
    for start in range(0, len(features), ROWS):
        distances = torch.cdist(features[start : start + ROWS], features)
        own = torch.arange(len(distances))
        distances[own, start + own] = torch.inf
        radii.append(distances.kthvalue(neighbours, dim=1).values)
    return torch.cat(radii)


def _inside(points: Float[Tensor, "n feature"], centres: Float[Tensor, "m feature"], radii: Tensor) -> float:
    """Part of the points that lie in any ball."""
    found = [(torch.cdist(part, centres) <= radii).any(1) for part in points.split(ROWS)]
    return torch.cat(found).double().mean().item()
