"""Negative log-likelihoods, up to constants: summed over value channels, mean over coordinates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Values = Float[Tensor, "batch query channel"]


def _per_item(values: Tensor) -> Float[Tensor, " batch"]:
    return values.sum(-1).mean(-1)


def gaussian_nll(prediction: Values, target: Values) -> Float[Tensor, " batch"]:
    """Squared error: the Gaussian likelihood of variance 1/2."""
    return _per_item((prediction.float() - target.float()).square())


def laplace_nll(prediction: Values, target: Values) -> Float[Tensor, " batch"]:
    """Absolute error: the Laplace likelihood of scale 1."""
    return _per_item((prediction.float() - target.float()).abs())


def bernoulli_nll(logits: Values, target: Values) -> Float[Tensor, " batch"]:
    """Binary cross-entropy on logits, targets in {0, 1}: the Bernoulli likelihood (occupancy)."""
    return _per_item(F.binary_cross_entropy_with_logits(logits.float(), target.float(), reduction="none"))


Distance = Literal["laplace", "gaussian"]
"""Of continuous values: Laplace is the L1 distance, Gaussian the squared one."""

LIKELIHOODS: Mapping[Distance, Callable[[Values, Values], Float[Tensor, " batch"]]] = MappingProxyType(
    {"laplace": laplace_nll, "gaussian": gaussian_nll}
)
