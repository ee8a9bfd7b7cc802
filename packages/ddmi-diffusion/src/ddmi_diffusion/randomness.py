"""Randomness as a function of (seed, step, position in the global batch), never of the process that draws it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

_BATCH, _SAMPLES, _SHARED, _ANCESTRAL = 1, 2, 3, 4  # kinds of stream; the leading word of every seed keeps them apart


def mix_seed(*words: int) -> int:
    """A 32-bit seed from several whole numbers >= 0.

    32 bits because torch's CPU generator ignores the upper half of the seed it is given.
    """
    if any(word < 0 for word in words):
        raise ValueError(f"seeds, steps and positions must be >= 0, got {words}; choose a seed of 0 or more")
    return int(np.random.SeedSequence(list(words)).generate_state(1, np.uint32)[0])


def _stream(base: int, index: int) -> torch.Generator:
    """Generator number `index` of a family: no two of one family have the same state.

    Hashing (base, index) would give two of 50,000 samples the same noise in a quarter of all runs. Adding the index
    to the base and scrambling with an invertible map (the finaliser of MurmurHash3) cannot collide.
    """
    word = (base + index) & 0xFFFFFFFF
    word = ((word ^ (word >> 16)) * 0x85EBCA6B) & 0xFFFFFFFF
    word = ((word ^ (word >> 13)) * 0xC2B2AE35) & 0xFFFFFFFF
    return torch.Generator().manual_seed(word ^ (word >> 16))


class StepRandom:
    """The randomness of one (micro-)batch.

    Each position of the global batch owns a CPU generator, so a batch that is split over processes or accumulation
    steps draws what the whole batch would have drawn. Repeated calls continue the streams.

    Examples:
        >>> whole = StepRandom(seed=0, step=7, positions=[0, 1, 2, 3]).normal(5)
        >>> half = StepRandom(seed=0, step=7, positions=[2, 3]).normal(5)  # of another process
        >>> torch.equal(whole[2:], half)
        True
    """

    shared: torch.Generator
    """Equal for every process and micro-batch of the step: for choices such as the crop size of the batch."""

    def __init__(self, seed: int, step: int, positions: Sequence[int], *, stream: int = 0) -> None:
        """`positions` count within the global batch. `stream` separates users of one step, such as data and noise.

        Raises ValueError for a negative seed, step, position or stream.
        """
        if any(position < 0 for position in positions):
            raise ValueError(f"StepRandom: positions must be >= 0, got {list(positions)}")
        base = mix_seed(_BATCH, seed, step, stream)
        self._items, self._positions = [_stream(base, position) for position in positions], list(positions)
        self.shared = torch.Generator().manual_seed(mix_seed(_SHARED, seed, step, stream))

    def __len__(self) -> int:
        return len(self._items)

    def item(self, k: int) -> torch.Generator:
        """The generator of the k-th position of this batch."""
        return self._items[k]

    def normal(self, *shape: int) -> Float[Tensor, "batch *shape"]:
        """Standard normal float32 values on the CPU, one row for each position."""
        return _rows([torch.randn(shape, generator=g, dtype=torch.float32) for g in self._items], shape, torch.float32)

    def uniform(self, *shape: int) -> Float[Tensor, "batch *shape"]:
        """Uniform float32 values in [0, 1) on the CPU, one row for each position."""
        return _rows([torch.rand(shape, generator=g, dtype=torch.float32) for g in self._items], shape, torch.float32)

    def spread(self) -> Float[Tensor, " batch"]:
        """One uniform float32 value in [0, 1) for each position, evenly spread over the global batch.

        `(u + i / golden ratio) mod 1`, u of the step: any first n positions are about as even as n can be, so neither
        the batch's size nor its split matters.
        """
        start = torch.rand((), generator=self.shared, dtype=torch.float64)
        golden = (5**0.5 - 1) / 2
        places = torch.tensor(self._positions, dtype=torch.float64)
        return ((start + golden * places) % 1.0).float().clamp(max=1 - 2**-24)

    def integers(self, high: int, *shape: int) -> Int64[Tensor, "batch *shape"]:
        """Uniform whole numbers in [0, high) on the CPU, one row for each position."""
        if high < 1:
            raise ValueError(f"StepRandom.integers: high must be at least 1, got {high}")
        return _rows([torch.randint(high, shape, generator=g) for g in self._items], shape, torch.int64)

    def shared_choice(self, weights: Sequence[float]) -> int:
        """An index drawn with probability proportional to its weight, the same in every process of the step."""
        total = float(sum(weights))
        if not weights or min(weights) < 0 or not 0 < total < float("inf"):
            raise ValueError(
                f"StepRandom.shared_choice: weights must be finite, >= 0 and not all 0, got {list(weights)}"
            )
        threshold = total * torch.rand((), generator=self.shared, dtype=torch.float64).item()
        running = 0.0
        for index, weight in enumerate(weights):
            running += weight
            if threshold < running:
                return index
        return max(index for index, weight in enumerate(weights) if weight > 0)  # the sum was rounded down


def seeded_normal(seed: int, indices: Sequence[int], *shape: int) -> Float[Tensor, "batch *shape"]:
    """Standard normal float32 noise of sample i as a function of (seed, i): independent of how sampling is batched.

    Examples:
        >>> together, alone = seeded_normal(0, [0, 1, 2], 4), seeded_normal(0, [2], 4)
        >>> torch.equal(together[2], alone[0])
        True
    """
    if any(index < 0 for index in indices):
        raise ValueError(f"seeded_normal: sample indices must be >= 0, got {list(indices)}")
    base = mix_seed(_SAMPLES, seed)
    rows = [torch.randn(shape, generator=_stream(base, index), dtype=torch.float32) for index in indices]
    return _rows(rows, shape, torch.float32)


def sampling_generators(seed: int, indices: Sequence[int]) -> list[torch.Generator]:
    """One generator a sample, for samplers that add noise at every step: a function of (seed, i), as above."""
    base = mix_seed(_ANCESTRAL, seed)
    return [_stream(base, index) for index in indices]


def _rows(rows: list[Tensor], shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    return torch.stack(rows) if rows else torch.empty((0, *shape), dtype=dtype)
