"""Slow work done once: arrays on disk, memory-mapped, safe for processes that want the same one at the same time."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import DTypeLike, NDArray

Fill = Callable[[NDArray[Any], Callable[[int], None]], None]
"""Writes all of the array it is given, and says from time to time how many rows are done."""


def default_cache() -> Path:
    """`$XDG_CACHE_HOME/ddmi`, or `~/.cache/ddmi`."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "ddmi"


def cached_array(file: Path, shape: tuple[int, ...], dtype: DTypeLike, fill: Fill, doing: str) -> NDArray[Any]:
    """The array in `file`, read-only and memory-mapped.

    `file` is built by `fill` first where it is absent or damaged (not an array of this shape and type), into a
    temporary name and then renamed: a reader never sees half of it.  Of several processes one builds and the others
    wait for it.  The caller puts everything that the content depends on into the name of the file.  `doing` begins the
    line that tells of progress.
    """
    array = _open(file, shape, np.dtype(dtype))
    if array is not None:
        return array
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_suffix(".lock")):
        array = _open(file, shape, np.dtype(dtype))  # another process may have built it while we waited
        if array is None:
            if file.exists():
                print(f"{file} is damaged: building it again", file=sys.stderr)
            _build(file, shape, np.dtype(dtype), fill, doing)
            array = _open(file, shape, np.dtype(dtype))
    if array is None:
        raise RuntimeError(f"array cache: {file} cannot be read back right after it was written; is the disk full?")
    return array


def _open(file: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any] | None:
    try:
        # numpy refuses a file that is shorter than its header says
        array: NDArray[Any] = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError):
        return None
    return array if array.shape == shape and array.dtype == dtype else None


def _build(file: Path, shape: tuple[int, ...], dtype: np.dtype[Any], fill: Fill, doing: str) -> None:
    start = time.monotonic()

    def report(done: int) -> None:
        _report(f"{doing}: {done}/{shape[0]}, {time.monotonic() - start:.0f} s", last=done == shape[0])

    descriptor, temporary = tempfile.mkstemp(prefix=file.stem + ".", suffix=".building", dir=file.parent)
    os.close(descriptor)
    try:
        target = np.lib.format.open_memmap(temporary, "w+", dtype, shape)
        if hasattr(os, "posix_fallocate"):  # a full disk is an OSError here, and a crash at the first write otherwise
            with open(temporary, "r+b") as handle:
                os.posix_fallocate(handle.fileno(), 0, os.fstat(handle.fileno()).st_size)
        fill(target, report)
        target.flush()
        del target
        os.replace(temporary, file)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _report(text: str, last: bool) -> None:
    """One line that is written over in a terminal; only its end in a log file."""
    if sys.stderr.isatty():
        print(f"\r{text}", end="\n" if last else "", file=sys.stderr, flush=True)
    elif last:
        print(text, file=sys.stderr)
