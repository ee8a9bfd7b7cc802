"""Which pictures of a folder are for training and which are held out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ddmi_modalities.datasets.natural_order import natural_key
from ddmi_modalities.datasets.splits import HELD_OUT_NAMES, Split, split_folders, split_of

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif"})


def pictures_of_split(
    root: Path, split: Split, classes: Sequence[str] = (), held_out: int = 0
) -> tuple[Path, list[str]]:
    """The folder that holds the split, and the names of its pictures below that folder, sorted.

    The first of these that is there decides: two folders named train and test (or val), or with names that end so; two
    lists train.txt and test.txt (or val.txt) in the root, one name a line; `held_out`; the hash of the name, by which
    about every tenth picture is held out.

    Args:
        root: The folder.
        split: "train" or "test".
        classes: Sub-folders of the root, or of each split's folder, to take; empty: everything.
        held_out: So many pictures are held out, the last in the order of the numbers in their names; 0: by hash.

    Raises:
        ValueError: A class, or a picture of a list, is not there, there is no picture, or all are held out.
    """
    folder = split_folders(root).get(split)
    base = folder or root
    names = sorted(
        path.relative_to(base).as_posix()
        for place in _places(base, classes)
        for path in place.rglob("*")
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
    if not names:
        raise ValueError(f"ImageFolder: no images below {str(base)!r}; {_remedy(root)}")
    if folder is not None:
        return base, names
    if (listed := _listed(root, split)) is not None:
        return base, _checked(listed, names, root)
    if held_out:
        if not 0 < held_out < len(names):
            raise ValueError(
                f"ImageFolder: held_out is {held_out}, and {str(root)!r} has {len(names)} images; hold out fewer, or "
                "name the splits in train.txt and test.txt"
            )
        ordered = sorted(names, key=natural_key)
        return base, sorted(ordered[:-held_out] if split == "train" else ordered[-held_out:])
    return base, [name for name in names if split_of(name) == split]


def _places(base: Path, classes: Sequence[str]) -> list[Path]:
    for name in classes:
        if not (base / name).is_dir():
            found = ", ".join(sorted(path.name for path in base.iterdir() if path.is_dir())) or "none"
            raise ValueError(
                f"ImageFolder: no class {name!r} in {str(base)!r}, which has the sub-folders: {found}; give the folder "
                "that holds the classes, or that holds train and test with the classes in each"
            )
    return [base / name for name in classes] or [base]


def _listed(root: Path, split: Split) -> list[str] | None:
    """The names in the list of a split, where both splits have one."""
    held_out = next((file for name in HELD_OUT_NAMES if (file := root / f"{name}.txt").is_file()), None)
    if held_out is None or not (train := root / "train.txt").is_file():
        return None
    lines = (train if split == "train" else held_out).read_text(encoding="utf-8").splitlines()
    return sorted({line.strip() for line in lines if line.strip()})


def _checked(listed: list[str], names: list[str], root: Path) -> list[str]:
    known = set(names)
    absent = [name for name in listed if name not in known]
    if absent:
        raise ValueError(
            f"ImageFolder: {len(absent)} of {len(listed)} names in the lists of {str(root)!r} are no images there, "
            f"such as {absent[0]!r}; write paths below that folder, one a line"
        )
    return listed


def _remedy(root: Path) -> str:
    if any(root.rglob("data.mdb")):
        return "it holds an LMDB, which is not read here: export its pictures to a folder and name that"
    return f"wanted files that end in {', '.join(sorted(SUFFIXES))}"
