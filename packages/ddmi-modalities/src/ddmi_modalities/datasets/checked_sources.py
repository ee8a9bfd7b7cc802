"""Which files, or folders of files, can be read to their end: looked at once, and remembered between runs."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ddmi_modalities.progress import progress

logger = logging.getLogger("ddmi")


def check_sources(
    root: Path, names: Sequence[str], check: Callable[[Path], int], *, what: str, cache: Path
) -> dict[str, int | str]:
    """Of each name what `check(root / name)` returns, or the message of the ValueError that it raises.

    Files of one size and time of change are not looked at again: what was found is kept below `cache`.

    Args:
        root: The folder.
        names: Files or folders below it.
        check: Reads one of them to its end; a number that is worth remembering, such as a picture's side.
        what: What they are, in the plural.
        cache: The cache's folder.
    """
    memory = cache / "checked" / f"{what}-{hashlib.sha256(str(root).encode()).hexdigest()[:16]}.json"
    try:
        known = json.loads(memory.read_text(encoding="utf-8"))
        known = known if isinstance(known, dict) else {}
    except (OSError, ValueError):
        known = {}
    stamps = {name: stamp(root / name) for name in names}
    fresh = [name for name in names if not (isinstance(known.get(name), list) and known[name][:-1] == stamps[name])]

    def look(name: str) -> int | str:
        try:
            return check(root / name)
        except ValueError as error:
            return str(error)

    if fresh:
        with ThreadPoolExecutor() as pool:  # decoding happens outside of Python's lock
            found = progress(pool.map(look, fresh), what=f"checking {what}", total=len(fresh))
            known |= {name: [*stamps[name], result] for name, result in zip(fresh, found, strict=True)}
        _remember(memory, json.dumps(known))
    return {name: known[name][-1] for name in names}


def stamp(path: Path) -> list[int]:
    """Bytes and time of the last change, of a folder over all its files; empty where there is nothing."""
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    try:
        stats = [file.stat() for file in files]
    except OSError:
        return []
    return [sum(stat.st_size for stat in stats), max(stat.st_mtime_ns for stat in stats)] if stats else []


def _remember(file: Path, text: str) -> None:
    """Write a file whole or not at all.  A cache that cannot be written costs time, not the run."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=file.parent, suffix=".writing")
        with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
            handle.write(text)
        os.replace(temporary, file)
    except OSError as error:
        logger.warning("cannot remember what was checked in %s (%s)", file, error.strerror)
