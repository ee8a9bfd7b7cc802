"""Randomness for tests that compare with others: there is none."""

from __future__ import annotations

import torch
from torch import Tensor


class NoNoise:
    """Draws zeros, so that a posterior sample is its mean."""

    def normal(self, *shape: int) -> Tensor:
        return torch.zeros(*shape)

    def uniform(self, *shape: int) -> Tensor:
        return torch.zeros(*shape)

    def integers(self, high: int, *shape: int) -> Tensor:
        return torch.zeros(*shape, dtype=torch.int64)

    @property
    def shared(self) -> torch.Generator:
        return torch.Generator()

    def shared_choice(self, weights: list[float]) -> int:
        return 0
