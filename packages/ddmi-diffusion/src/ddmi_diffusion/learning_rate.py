"""Learning rates as pure functions of the step."""

from __future__ import annotations

import math
from dataclasses import dataclass


def _warm_up(step: int, warmup: int) -> float:
    return min(1.0, (step + 1) / warmup) if warmup > 0 else 1.0


@dataclass(frozen=True)
class Constant:
    """`peak` at every step, after a linear warm-up."""

    peak: float
    """The learning rate."""
    warmup: int = 0
    """Steps in which the rate rises linearly from peak / warmup to `peak`."""

    def __post_init__(self) -> None:
        if self.peak <= 0 or self.warmup < 0:
            raise ValueError(f"Constant: need peak > 0 and warmup >= 0, got {self.peak} and {self.warmup}")

    def __call__(self, step: int) -> float:
        """The learning rate of step number `step`, counted from 0."""
        return self.peak * _warm_up(step, self.warmup)


@dataclass(frozen=True)
class WarmupCosine:
    """A linear warm-up, then half a cosine from `peak` to `floor` (Loshchilov and Hutter, 2017, eq. 5, one period)."""

    peak: float
    """The largest learning rate."""
    warmup: int
    """Steps in which the rate rises linearly from peak / warmup to `peak`; more than `total` never gets there."""
    total: int
    """Step at which `floor` is reached; it stays there."""
    floor: float = 0.0
    """The last learning rate."""

    def __post_init__(self) -> None:
        if not 0 <= self.floor <= self.peak or self.peak == 0:
            raise ValueError(f"WarmupCosine: need 0 <= floor <= peak and peak > 0, got {self.floor} and {self.peak}")
        if self.warmup < 0 or self.total < 1:
            raise ValueError(f"WarmupCosine: need warmup >= 0 and total >= 1 steps, got {self.warmup} and {self.total}")

    def __call__(self, step: int) -> float:
        """The learning rate of step number `step`, counted from 0."""
        if step < self.warmup:
            return self.peak * _warm_up(step, self.warmup)
        progress = min(1.0, (step - self.warmup) / max(1, self.total - self.warmup))
        return self.floor + (self.peak - self.floor) * 0.5 * (1 + math.cos(math.pi * progress))
