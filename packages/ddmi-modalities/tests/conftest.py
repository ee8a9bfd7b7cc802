"""What the tests of this package share."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor


class ItemRandom:
    """The randomness protocol of ddmi_vae, smallest form: one generator per position."""

    def __init__(self, positions: list[int], step: int = 0) -> None:
        self.items = [torch.Generator().manual_seed(1000 * step + position) for position in positions]
        self.shared = torch.Generator().manual_seed(10**6 + step)

    def normal(self, *shape: int) -> Tensor:
        return torch.stack([torch.randn(shape, generator=item) for item in self.items])

    def uniform(self, *shape: int) -> Tensor:
        return torch.stack([torch.rand(shape, generator=item) for item in self.items])

    def integers(self, high: int, *shape: int) -> Tensor:
        return torch.stack([torch.randint(high, shape, generator=item) for item in self.items])

    def shared_choice(self, weights: list[float]) -> int:
        return int(torch.multinomial(torch.tensor(weights), 1, generator=self.shared))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small tensors: on a busy machine a second thread costs more than it brings."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class _Said(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What our logger says, message by message."""
    logger, handler = logging.getLogger("ddmi"), _Said()
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler.messages
    logger.removeHandler(handler)
    logger.setLevel(before)


@pytest.fixture
def randomness() -> Callable[..., ItemRandom]:
    """`randomness(count or positions, step)`."""

    def make(positions: int | list[int], step: int = 0) -> ItemRandom:
        return ItemRandom(list(range(positions)) if isinstance(positions, int) else positions, step)

    return make


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """A folder of 40 sound pictures: 24 rows, 32 columns, a gradient in the colour of their number."""
    root = tmp_path / "photographs"
    root.mkdir()
    for index in range(40):
        ramp = np.linspace(0, 255, 32)[None, :, None] * np.ones((24, 1, 3))
        ramp[..., 0] = index * 6
        Image.fromarray(ramp.astype(np.uint8)).save(root / f"{index:02d}.png")
    return root
