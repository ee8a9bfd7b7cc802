"""Randomness for tests: the draws of a seeded generator."""

from __future__ import annotations

import torch
from torch import Tensor


class Draws:
    """Implements `ddmi_vae.Randomness` for a batch of `count` items."""

    def __init__(self, count: int, seed: int = 0) -> None:
        self.count = count
        self.shared = torch.Generator().manual_seed(seed)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(self.count, *shape, generator=self.shared)

    def uniform(self, *shape: int) -> Tensor:
        return torch.rand(self.count, *shape, generator=self.shared)

    def integers(self, high: int, *shape: int) -> Tensor:
        return torch.randint(high, (self.count, *shape), generator=self.shared)

    def shared_choice(self, weights: list[float]) -> int:
        return int(torch.multinomial(torch.tensor(weights), 1, generator=self.shared))
