"""Which items are held out: decided by the name of an item alone, so that it never depends on order or count."""

from __future__ import annotations

import hashlib
from typing import Literal

Split = Literal["train", "test"]

SPLITS: tuple[Split, ...] = ("train", "test")


def split_of(name: str, test_fraction: float = 0.11) -> Split:
    """The split of the item called `name`: sha256 of the name as a number in [0, 1), test below `test_fraction`.

    Give things that must not be separated (variants of one drawing, frames of one clip) the same name.
    """
    position = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
    return "test" if position < test_fraction else "train"


def check_split(split: str) -> Split:
    """`split` itself; ValueError for anything but 'train' and 'test'."""
    for known in SPLITS:
        if split == known:
            return known
    raise ValueError(f"data set: there is no split {split!r}; choose 'train' or 'test'")
