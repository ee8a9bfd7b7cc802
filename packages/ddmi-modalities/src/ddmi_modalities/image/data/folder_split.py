"""Which pictures of a folder are for training and which are held out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ddmi_modalities.datasets.folders import names_below, subfolders
from ddmi_modalities.datasets.natural_order import natural_key
from ddmi_modalities.datasets.splits import Split, listed_split, split_folders, split_of
from ddmi_modalities.files.kinds import PICTURES


def pictures_of_split(
    root: Path, split: Split, classes: Sequence[str] = (), held_out: int = 0
) -> tuple[Path, list[str]]:
    """The folder that holds the split, and the names of its pictures below that folder, sorted.

    The first of these that is there decides: two folders named train and test (or val), or with names that end so;
    lists in the root (see `listed_split`); `held_out`; the hash of the name, by which about every tenth picture is
    held out.

    Args:
        root: The folder.
        split: "train" or "test".
        classes: Sub-folders of the root, or of each split's folder, to take; empty: everything.
        held_out: So many pictures are held out, the last in the order of the numbers in their names; 0: by hash.

    Raises:
        ValueError: A class, or a picture of a list, is not there, the lists overlap, there is no picture, or all are
            held out.
    """
    folder = split_folders(root).get(split)
    base = folder or root
    names = sorted({name for place in _places(base, classes) for name in names_below(base, PICTURES, below=place)})
    if not names:
        raise ValueError(f"ImageFolder: no images below {str(base)!r}; {_remedy(root)}")
    if folder is not None:
        return base, names
    if (listed := listed_split(root, split, names)) is not None:
        return base, listed
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
            found = ", ".join(path.name for path in subfolders(base)) or "none"
            raise ValueError(
                f"ImageFolder: no class {name!r} in {str(base)!r}, which has the sub-folders: {found}; give the folder "
                "that holds the classes, or that holds train and test with the classes in each"
            )
    return [base / name for name in classes] or [base]


def _remedy(root: Path) -> str:
    if any(root.rglob("data.mdb")):
        return "it holds an LMDB, which is not read here: export its pictures to a folder and name that"
    return f"wanted {PICTURES.wanted}"
