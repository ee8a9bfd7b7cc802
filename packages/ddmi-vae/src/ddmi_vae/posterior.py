"""Diagonal Gaussian posterior over latent planes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

Planes = tuple[Tensor, ...]
"""Latent planes (batch, channel, rows, columns) in layout order."""


@runtime_checkable
class Randomness(Protocol):
    """Random numbers of one batch, a function of (seed, step, position in the global batch).

    The first dimension of each draw counts the items of this batch.  `shared` is equal for all processes of a step.
    """

    def normal(self, *shape: int) -> Tensor: ...

    def uniform(self, *shape: int) -> Tensor: ...

    def integers(self, high: int, *shape: int) -> Tensor: ...

    @property
    def shared(self) -> torch.Generator: ...

    def shared_choice(self, weights: list[float]) -> int: ...


@dataclass(frozen=True)
class Posterior:
    """`q(z | x) = N(mean, exp(log_variance))`, plane by plane, in float32."""

    mean: Planes
    log_variance: Planes

    @classmethod
    def from_moments(cls, moments: Planes) -> Posterior:
        """Splits planes of 2C channels into mean and log-variance, the latter clamped to [-30, 20]."""
        for plane in moments:
            if plane.ndim != 4 or plane.shape[1] % 2:
                raise ValueError(f"Posterior: moments must be (batch, 2 C, rows, columns), got {tuple(plane.shape)}")
        halves = [plane.float().chunk(2, dim=1) for plane in moments]
        return cls(tuple(mean for mean, _ in halves), tuple(log.clamp(-30.0, 20.0) for _, log in halves))

    @property
    def std(self) -> Planes:
        return tuple(torch.exp(0.5 * log) for log in self.log_variance)

    def sample(self, rng: Randomness) -> Planes:
        """Reparametrised sample `mean + std * eps`."""
        return tuple(
            mean + std * rng.normal(*mean.shape[1:]).to(mean) for mean, std in zip(self.mean, self.std, strict=True)
        )

    def kl(self) -> Float[Tensor, " batch"]:
        """`KL(q || N(0, I))` in nats, summed over all latent elements: `1/2 sum(mean^2 + var - 1 - log var)`."""
        terms = (
            0.5 * (mean.square() + log.exp() - 1.0 - log).flatten(1).sum(1)
            for mean, log in zip(self.mean, self.log_variance, strict=True)
        )
        return torch.stack(list(terms)).sum(0)
