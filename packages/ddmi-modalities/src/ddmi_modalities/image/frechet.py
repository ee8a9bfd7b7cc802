"""The Fréchet distance between two sets of features (with Inception's: FID)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


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
