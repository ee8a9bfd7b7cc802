"""How far apart two sets are, by features of a network: Fréchet and kernel distance, precision and recall."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

ROWS = 1000
"""Distances of this many items to all others at once."""


def frechet_distance(features_a: Float[Tensor, "n feature"], features_b: Float[Tensor, "m feature"]) -> float:
    """`|mu_a - mu_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2))` of Gaussians fitted to both sets (Heusel et al. 2017).

    The covariances (divided by n - 1) are never formed.  With centred features `A / sqrt(n - 1)` and `B / sqrt(m - 1)`,
    the non-zero eigenvalues of `S_a S_b` are those of `(A B^T)(A B^T)^T`, so the trace of the root is the sum of the
    singular values of `A B^T`: exact and stable with fewer images than features, where the covariances are singular and
    other implementations add a multiple of the identity.  Computed in float64.

    Distances depend on the number of images: compare equal counts only.
    """
    if features_a.ndim != 2 or features_b.ndim != 2 or features_a.shape[1] != features_b.shape[1]:
        raise ValueError(
            f"Fréchet distance: features of shapes {tuple(features_a.shape)} and {tuple(features_b.shape)}; "
            "wanted (images, features) twice, from one network"
        )
    if min(len(features_a), len(features_b)) < 2:
        raise ValueError(
            f"Fréchet distance: {len(features_a)} and {len(features_b)} images; a covariance needs at least 2 a side"
        )
    if not (features_a.isfinite().all() and features_b.isfinite().all()):
        raise ValueError("Fréchet distance: some features are not finite; were the images?")
    mean_a, root_a = _mean_and_root(features_a)
    mean_b, root_b = _mean_and_root(features_b)
    cross = torch.linalg.svdvals(root_a @ root_b.T).sum()
    distance = (mean_a - mean_b).square().sum() + root_a.square().sum() + root_b.square().sum() - 2 * cross
    return max(distance.item(), 0.0)  # rounding may leave -1e-12


def _mean_and_root(features: Tensor) -> tuple[Float[Tensor, " feature"], Float[Tensor, "rows feature"]]:
    """The mean and an R with R^T R = covariance, of at most as many rows as there are features."""
    features = features.double()
    mean = features.mean(0)
    centred = (features - mean) / (len(features) - 1) ** 0.5
    if len(centred) > centred.shape[1]:
        centred = torch.linalg.qr(centred, mode="r").R
    return mean, centred


def kernel_distance(features_a: Float[Tensor, "n feature"], features_b: Float[Tensor, "m feature"]) -> float:
    """Unbiased squared maximum mean discrepancy with the kernel `(x . y / d + 1)^3` (with Inception's features: KID).

    Binkowski et al. 2018, over all pairs; see `kernel_distance_of_subsets` for the mean over random subsets.
    """
    a, b = features_a.double(), features_b.double()
    if min(len(a), len(b)) < 2 or a.shape[1] != b.shape[1]:
        raise ValueError(
            f"kernel distance: features of shapes {tuple(a.shape)} and {tuple(b.shape)}; wanted at least 2 images a "
            "side, from one network"
        )

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return (x @ y.T / x.shape[1] + 1) ** 3

    def without_diagonal(k: Tensor) -> Tensor:
        return (k.sum() - k.diagonal().sum()) / (len(k) * (len(k) - 1))

    mixed = kernel(a, b).mean()
    return (without_diagonal(kernel(a, a)) + without_diagonal(kernel(b, b)) - 2 * mixed).item()


def kernel_distance_of_subsets(
    features_a: Float[Tensor, "n feature"],
    features_b: Float[Tensor, "m feature"],
    *,
    seed: int,
    subsets: int = 100,
    size: int = 1000,
) -> tuple[float, float]:
    """Mean and standard deviation of `kernel_distance` over random subsets of both sides, as KID is published."""
    rng = torch.Generator().manual_seed(seed)
    size = min(size, len(features_a), len(features_b))

    def some(features: Tensor) -> Tensor:
        return features[torch.randperm(len(features), generator=rng)[:size]]

    distances = [kernel_distance(some(features_a), some(features_b)) for _ in range(subsets)]
    values = torch.tensor(distances, dtype=torch.float64)
    return values.mean().item(), values.std(correction=0).item()


def precision_recall(
    preds: Float[Tensor, "n feature"], target: Float[Tensor, "m feature"], *, neighbours: int = 3
) -> tuple[float, float]:
    """Improved precision and recall (Kynkäänniemi et al. 2019): fidelity and diversity of a set, apart.

    Precision: part of the made features inside of the real set's manifold.  Recall: the reverse.

    A set's manifold is the union of balls around its features, each as large as the distance to the k-th nearest other
    feature of the set.  Both depend on the counts, recall most: compare equal ones only.

    Raises ValueError for two networks' features, and for a set too small for its k neighbours.
    """
    if preds.shape[1] != target.shape[1] or min(len(preds), len(target)) <= neighbours:
        raise ValueError(
            f"precision and recall: features of shapes {tuple(preds.shape)} and {tuple(target.shape)}; wanted more "
            f"than {neighbours} images a side, from one network"
        )
    return _inside(preds, target, _radii(target, neighbours)), _inside(target, preds, _radii(preds, neighbours))


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
