"""Which files, or folders of files, can be read to their end: looked at once, and remembered between runs."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from ddmi_modalities.files.checksums import sha256_file
from ddmi_modalities.files.text import name_bytes, read_json
from ddmi_modalities.files.whole import whole
from ddmi_modalities.progress import progress

logger = logging.getLogger("ddmi")

RULES = 2
"""To be raised where what counts as sound, or is remembered of it, changes."""

Found = TypeVar("Found", bound="int | list[Any]")


def check_sources(
    root: Path, names: Sequence[str], check: Callable[[Path], Found], *, what: str, cache: Path
) -> dict[str, Found | str]:
    """Of each name what `check(root / name)` returns, or the message of the ValueError that it raises.

    Files are known by size and time of change; see `check_stamped`.

    Args:
        root: The folder.
        names: Files or folders below it.
        check: Reads one of them to its end; numbers that are worth remembering, such as a picture's side.
        what: What they are, in the plural.
        cache: The cache's folder.
    """
    stamps = {name: stamp(root / name) for name in names}
    return check_stamped(root, stamps, lambda name: check(root / name), what=what, cache=cache)


def check_stamped(
    root: Path, stamps: Mapping[str, Sequence[int]], check: Callable[[str], Found], *, what: str, cache: Path
) -> dict[str, Found | str]:
    """Of each name what `check(name)` returns, or the message of the ValueError that it raises.

    What has the same stamp is not looked at again: what was found is kept below `cache`.  Errors that may pass (rights,
    too many open files, a network drive that is away) are not kept.

    Args:
        root: The folder.
        stamps: Of each name numbers that change with its content.
        check: Reads one of them to its end; numbers that are worth remembering, such as a picture's side.
        what: What they are, in the plural.
        cache: The cache's folder.
    """
    memory = _memory(cache, f"{what}-{RULES}", root)
    known = _remembered(memory)
    fresh = [name for name in stamps if not _is_of(known.get(name), stamps[name])]
    passing: set[str] = set()

    def look(name: str) -> Found | str:
        try:
            return check(name)
        except ValueError as error:
            if may_pass(error):
                passing.add(name)
            return str(error)

    if fresh:
        with ThreadPoolExecutor() as pool:  # decoding happens outside of Python's lock
            found = progress(pool.map(look, fresh), what=f"checking {what}", total=len(fresh))
            known |= {name: [*stamps[name], result] for name, result in zip(fresh, found, strict=True)}
        _remember(memory, {name: one for name, one in known.items() if name not in passing})
    return {name: known[name][-1] for name in stamps}


def may_pass(error: BaseException | None) -> bool:
    """Whether the operating system, and not the content of a file, is why an error or its cause was raised."""
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return True
        error = error.__cause__
    return False


def content_digest(root: Path, names: Sequence[str], *, what: str, cache: Path) -> str:
    """A hash of the content of files, or folders of files, and of their names.

    Each file is read once: its hash is kept below `cache` by its size, time of change and inode.
    """
    files = [file for name in names for file in _files(root / name)]
    memory = _memory(cache, f"content-{what}", root)
    known, now = _remembered(memory), {}
    for file in files:
        stat = file.stat()
        now[file.relative_to(root).as_posix()] = [stat.st_size, stat.st_mtime_ns, stat.st_ino]
    fresh = [name for name in now if not _is_of(known.get(name), now[name])]
    if fresh:
        with ThreadPoolExecutor() as pool:
            sums = pool.map(lambda name: sha256_file(root / name), fresh)
            found = progress(sums, what=f"reading {what}", total=len(fresh))
            known |= {name: [*now[name], one] for name, one in zip(fresh, found, strict=True)}
        _remember(memory, known)
    key = hashlib.sha256()
    for name in sorted(now):
        key.update(name_bytes(name) + b"\0" + known[name][-1].encode())
    return key.hexdigest()


def stamp(path: Path) -> list[int]:
    """Bytes and time of the last change, of a folder over all its files; empty where there is nothing."""
    try:
        stats = [file.stat() for file in _files(path)]
    except OSError:
        return []
    return [sum(stat.st_size for stat in stats), max(stat.st_mtime_ns for stat in stats)] if stats else []


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def _memory(cache: Path, what: str, root: Path) -> Path:
    return cache / "checked" / f"{what}-{hashlib.sha256(name_bytes(str(root))).hexdigest()[:16]}.json"


def _remembered(memory: Path) -> dict[str, Any]:
    try:
        known = read_json(memory, most=2**32)
    except ValueError:
        return {}
    return known if isinstance(known, dict) else {}


def _is_of(known: object, stamp: Sequence[int]) -> bool:
    """Whether what is remembered is of a file as it is now."""
    return isinstance(known, list) and known[:-1] == [*stamp]


def _remember(file: Path, known: Mapping[str, Any]) -> None:
    """Write a file whole or not at all.  A cache that cannot be written costs time, not the run."""
    try:
        with whole(file) as temporary:
            temporary.write_text(json.dumps(known), encoding="utf-8")
    except OSError as error:
        logger.warning("cannot remember what was checked in %s (%s)", file, error.strerror)
