"""Which items are held out: as folders say, or by the name of an item alone, so that it never depends on order."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

Split = Literal["train", "test"]

SPLITS: tuple[Split, ...] = ("train", "test")

HELD_OUT_NAMES = ("test", "val")
"""What a held-out split is called, in folders and lists; the first that is there counts."""


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


def split_folders(root: Path) -> Mapping[Split, Path]:
    """The folders of both splits below `root`; empty unless both are there.

    A folder of a split is called so (`train`, `test`, `val`), or is the only one whose last word it is, such as
    `church_outdoor_train` or `cars_test`.
    """
    if not root.is_dir():
        return {}
    train = _named(root, "train")
    held_out = next((found for name in HELD_OUT_NAMES if (found := _named(root, name))), None)
    return {"train": train, "test": held_out} if train and held_out else {}


def _named(root: Path, word: str) -> Path | None:
    if (root / word).is_dir():
        return root / word
    found = [path for path in root.iterdir() if path.is_dir() and re.search(rf"[_. -]{word}$", path.name)]
    return found[0] if len(found) == 1 else None


def evenly_spaced(length: int, count: int) -> list[int]:
    """`count` indices evenly spaced over `length` items, all where there are fewer: the same for every model."""
    count = min(count, length)
    return [i * length // count for i in range(count)]
