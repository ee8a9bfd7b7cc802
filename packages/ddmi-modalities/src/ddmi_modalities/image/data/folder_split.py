"""Which pictures of a folder are for training and which are held out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ddmi_modalities.datasets.array_cache import default_cache
from ddmi_modalities.datasets.folders import subfolders, walk
from ddmi_modalities.datasets.natural_order import natural_key
from ddmi_modalities.datasets.splits import Split, listed_split, named_split, split_folders, split_of
from ddmi_modalities.files.kinds import TARS
from ddmi_modalities.image.data.encoded import Pictures
from ddmi_modalities.image.data.stores import STORES, find_store


def pictures_of_split(
    root: Path, split: Split, classes: Sequence[str] = (), held_out: int = 0, cache: Path | None = None
) -> tuple[Path, Pictures]:
    """The folder that holds the split, and its pictures by their names below that folder, sorted.

    The first of these that is there decides: two folders named train and test (or val), or with names that end so;
    shards or tables that are called so; lists in the root (see `listed_split`); `held_out`; the hash of the name, by
    which about every tenth picture is held out.

    Args:
        root: The folder.
        split: "train" or "test".
        classes: Sub-folders of the root, or of each split's folder, to take; empty: everything.
        held_out: So many pictures are held out, the last in the order of the numbers in their names; 0: by hash.
        cache: Folder to remember the members of shards in, default `$XDG_CACHE_HOME/ddmi`.

    Raises:
        ValueError: A class, or a picture of a list, is not there, the lists overlap, there is no picture, all are held
            out, or a shard or table is damaged.
        ModuleNotFoundError: There are tables, and the extra `parquet` is not installed.
    """
    folder = split_folders(root).get(split)
    base = folder or root
    found = find_store(base, _places(base, classes))
    if found is None:
        raise ValueError(f"ImageFolder: no images below {str(base)!r}; {_remedy(root)}")
    store, files = found
    named = named_split(files, split) if folder is None and store.holds_many else None
    pictures = store.pictures(base, named or files, cache or default_cache())
    if not pictures:
        raise ValueError(f"ImageFolder: no images in the {store.kind.what} below {str(base)!r}; {_remedy(root)}")
    if folder is not None or named:
        return base, pictures
    names = _names_of_split(root, split, list(pictures), held_out)
    return base, {name: pictures[name] for name in names}


def _names_of_split(root: Path, split: Split, names: Sequence[str], held_out: int) -> list[str]:
    if (listed := listed_split(root, split, names)) is not None:
        return listed
    if held_out:
        if not 0 < held_out < len(names):
            raise ValueError(
                f"ImageFolder: held_out is {held_out}, and {str(root)!r} has {len(names)} images; hold out fewer, or "
                "name the splits in train.txt and test.txt"
            )
        ordered = sorted(names, key=natural_key)
        return sorted(ordered[:-held_out] if split == "train" else ordered[-held_out:])
    return [name for name in names if split_of(name) == split]


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
    packed = next((file for _, here in walk(root) for file in here if file.suffix.lower() in TARS.unread), None)
    if packed is not None:
        return f"it holds {packed.name!r}, and others like it perhaps: {TARS.unread[packed.suffix.lower()]}"
    return "wanted " + ", or ".join(store.kind.wanted for store in STORES)
