"""The files below a folder that are a user's, wherever links lead."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath

from ddmi_modalities.files.kinds import Kind
from ddmi_modalities.said import say_once

HIDDEN = frozenset({"@eadir", "#recycle", "#snapshot", "__macosx", "$recycle.bin", "system volume information"})
"""Folders, beside those whose names begin with a dot, that computers fill with copies and leftovers."""


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is nobody's: editors, desktops and network drives make such."""
    return name.startswith(".") or name.lower() in HIDDEN


def walk(root: Path) -> Iterator[tuple[Path, list[Path]]]:
    """Each folder at or below `root`, in the order of names, and its files; links are followed, hidden parts left out.

    A folder to which two ways lead, one of them perhaps a circle, is visited once.
    """
    visited: set[str] = set()
    for where, folders, names in os.walk(root, followlinks=True):
        if (real := os.path.realpath(where)) in visited:
            folders.clear()
            continue
        visited.add(real)
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        here = Path(where)
        yield here, [file for name in sorted(names) if not is_hidden(name) and (file := here / name).is_file()]


def subfolders(folder: Path) -> list[Path]:
    """The folders right in a folder, by name, without hidden ones."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not is_hidden(path.name))


def names_below(root: Path, kind: Kind, *, below: Path | None = None) -> list[str]:
    """Paths of all files of a kind, from `root`, with forward slashes and sorted.

    Files of that kind in formats that are not read are counted aloud.

    Args:
        root: The folder that names begin at.
        kind: Of the files.
        below: Only what is in this folder of it.
    """
    files = [file for _, here in walk(below or root) for file in here]
    say_unread(below or root, kind, files)
    return sorted(file.relative_to(root).as_posix() for file in files if kind.takes(file))


def say_unread(folder: Path, kind: Kind, files: Sequence[PurePath]) -> None:
    """Logs how many of the files are such as `kind` names but cannot read, once for each folder."""
    counts = Counter(file.suffix.lower() for file in files if file.suffix.lower() in kind.unread)
    if counts:
        listed = ", ".join(f"{count} {ending} ({kind.unread[ending]})" for ending, count in counts.most_common())
        say_once((folder, kind.what), f"{str(folder)!r}: {counts.total()} files are not read as {kind.what}: {listed}")
