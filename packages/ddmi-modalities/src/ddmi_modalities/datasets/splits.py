"""Which items are held out: as folders say, or by the name of an item alone, so that it never depends on order."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Literal

from ddmi_modalities.datasets.folders import subfolders
from ddmi_modalities.files.text import name_bytes, named_file, read_lines
from ddmi_modalities.said import say_once

Split = Literal["train", "test"]

SPLITS: tuple[Split, ...] = ("train", "test")

HELD_OUT_NAMES = ("test", "val", "validation")
"""What a held-out split is called, in folders and lists; the first that is there counts."""

LISTS = (".txt", ".lst")
"""How files end that list the names of a split."""


def split_of(name: str, test_fraction: float = 0.11) -> Split:
    """The split of the item called `name`: sha256 of the name as a number in [0, 1), test below `test_fraction`.

    Give things that must not be separated (variants of one drawing, frames of one clip) the same name.
    """
    position = int.from_bytes(hashlib.sha256(name_bytes(name)).digest()[:8], "big") / 2**64
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
    `church_outdoor_train` or `cars_test`.  Raises ValueError where links make them one, or one a part of the other.
    """
    if not root.is_dir():
        return {}
    train = _named(root, "train")
    held_out = next((found for name in HELD_OUT_NAMES if (found := _named(root, name))), None)
    if not train or not held_out:
        return {}
    one, other = train.resolve(), held_out.resolve()
    if one == other or one in other.parents or other in one.parents:
        raise ValueError(
            f"{str(root)!r}: {train.name!r} and {held_out.name!r} lead to the same files, and what is held out would "
            "be trained on; make them two folders"
        )
    return {"train": train, "test": held_out}


def named_split(files: Sequence[str], split: Split) -> list[str] | None:
    """Those of `files` that are called after a split, such as train-00000-of-00005.parquet; None unless both have some.

    Files that are called after none take no part, and that is said.
    """
    words = {file: {*re.split(r"[^a-z]+", PurePosixPath(file).name.lower())} for file in files}
    named = {word: [file for file in files if word in words[file]] for word in ("train", *HELD_OUT_NAMES)}
    held_out = next((named[word] for word in HELD_OUT_NAMES if named[word]), None)
    if not named["train"] or not held_out:
        return None
    check_apart("the names of files", named["train"], held_out)
    if others := [file for file in files if not any(file in of for of in named.values())]:
        say_once(
            (tuple(others), "unnamed"),
            f"{len(others)} files are called after no split, and others are: left aside, such as {others[0]!r}",
        )
    return named["train"] if split == "train" else held_out


def listed_split(root: Path, split: Split, names: Sequence[str]) -> list[str] | None:
    """Those of `names` that the list of a split names; None where `root` has no lists of both splits.

    The lists are train.txt and test.txt (or val.txt), or so named with .lst, one name a line, perhaps without its
    suffix or with the backslashes of Windows.

    Raises:
        ValueError: A list names what is not there, or something is in the lists of both splits.
    """
    found = {word: file for word in ("train", *HELD_OUT_NAMES) if (file := named_file(root, word, LISTS))}
    held_out = [word for word in HELD_OUT_NAMES if word in found]
    if "train" not in found or not held_out:
        if found:
            there = ", ".join(file.name for file in found.values())
            say_once(
                (root, "lists"),
                f"{str(root)!r}: {there} alone splits nothing, and is left aside; lists of both splits are named "
                "train.txt and test.txt (or val.txt)",
            )
        return None
    stems = Counter(map(_stem, names))
    known = {_stem(name): name for name in names if stems[_stem(name)] == 1} | {name: name for name in names}
    chosen = {word: _resolved(file, known) for word, file in found.items()}
    for word in held_out:
        check_apart(str(root), chosen["train"], chosen[word])
    return sorted(set(chosen["train" if split == "train" else held_out[0]]))


def _stem(name: str) -> str:
    return PurePosixPath(name).with_suffix("").as_posix()


def check_apart(source: str, train: Sequence[str], held_out: Sequence[str]) -> None:
    """ValueError where data that state their splits have something in both; `source` is where they state it."""
    if both := sorted({*train} & {*held_out}):
        raise ValueError(
            f"{source!r}: {len(both)} items are both for training and held out, such as {both[0]!r}; take them out of "
            "one of the lists"
        )


def _resolved(file: Path, known: Mapping[str, str]) -> list[str]:
    """The names that a list means."""
    lines = read_lines(file)
    written = [line if line in known else PurePosixPath(line.replace("\\", "/")).as_posix() for line in lines]
    absent = [line for line, name in zip(lines, written, strict=True) if name not in known]
    if absent:
        raise ValueError(
            f"{str(file)!r}: {len(absent)} of {len(lines)} names are not there, such as {absent[0]!r}; write paths "
            "below that folder, one a line"
        )
    return [known[name] for name in written]


def _named(root: Path, word: str) -> Path | None:
    if (root / word).is_dir():
        return root / word
    found = [path for path in subfolders(root) if re.search(rf"[_. -]{word}$", path.name)]
    return found[0] if len(found) == 1 else None


def evenly_spaced(length: int, count: int) -> list[int]:
    """`count` indices evenly spread over `length` items, all where there are fewer: the same for every model.

    One in each of `count` equal parts, at places of its own: where kinds take turns in a data set, as every third item
    is a car, steps of one length could meet cars only.
    """
    count = min(count, length)
    starts = [i * length // count for i in range(count)] + [length]
    golden = (5**0.5 - 1) / 2
    return [a + int((i * golden) % 1 * (b - a)) for i, (a, b) in enumerate(pairwise(starts))]
