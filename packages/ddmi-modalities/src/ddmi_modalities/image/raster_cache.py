"""Rasterised drawings on disk: one memory-mapped array per (data set, split, size), built once."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from ddmi_modalities.image.rasterise import rasterise_elsewhere

CHUNK = 256
"""Drawings per helper process: about half a second of work at 64 x 64, five times what a process costs to start."""


def default_cache() -> Path:
    """`$XDG_CACHE_HOME/ddmi`, or `~/.cache/ddmi`."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "ddmi"


def cached_rasters(file: Path, paths: Sequence[str], size: int) -> NDArray[np.uint8]:
    """The rasters of `paths`, read-only and memory-mapped from `file`, (drawing, 3, size, size).

    `file` is built first where it is absent or damaged (not an array of this shape), into a temporary name and then
    renamed: a reader never sees half of it.  Of several processes one builds and the others wait for it.  The
    caller puts everything that the content depends on into the name of the file.
    """
    rasters = _open(file, len(paths), size)
    if rasters is not None:
        return rasters
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_suffix(".lock")):
        rasters = _open(file, len(paths), size)  # another process may have built it while we waited
        if rasters is None:
            if file.exists():
                print(f"{file} is damaged: building it again", file=sys.stderr)
            _build(file, paths, size)
            rasters = _open(file, len(paths), size)
    if rasters is None:
        raise RuntimeError(f"raster cache: {file} cannot be read back right after it was written; is the disk full?")
    return rasters


def _open(file: Path, count: int, size: int) -> NDArray[np.uint8] | None:
    try:
        # numpy refuses a file that is shorter than its header says
        rasters: NDArray[np.uint8] = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError):
        return None
    return rasters if rasters.shape == (count, 3, size, size) and rasters.dtype == np.uint8 else None


def _build(file: Path, paths: Sequence[str], size: int) -> None:
    start, workers = time.monotonic(), min(8, os.cpu_count() or 1)
    descriptor, temporary = tempfile.mkstemp(prefix=file.stem + ".", suffix=".building", dir=file.parent)
    os.close(descriptor)
    try:
        target = np.lib.format.open_memmap(temporary, "w+", np.uint8, (len(paths), 3, size, size))
        chunks = [paths[first : first + CHUNK] for first in range(0, len(paths), CHUNK)]
        done = 0
        with ThreadPoolExecutor(workers) as pool:  # each thread only waits for its helper process
            for pixels in pool.map(lambda chunk: rasterise_elsewhere(chunk, size), chunks):
                target[done : done + len(pixels)] = pixels
                done += len(pixels)
                seconds = time.monotonic() - start
                _report(f"drawing {file.stem}: {done}/{len(paths)}, {seconds:.0f} s", last=done == len(paths))
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
