"""Rasterised drawings on disk: one memory-mapped array per (data set, split, size), built once."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ddmi_modalities.array_cache import cached_array, default_cache
from ddmi_modalities.image.rasterise import rasterise_elsewhere

__all__ = ["cached_rasters", "default_cache"]

CHUNK = 256
"""Drawings per helper process: about half a second of work at 64 x 64, five times what a process costs to start."""


def cached_rasters(file: Path, paths: Sequence[str], size: int) -> NDArray[np.uint8]:
    """The rasters of `paths`, read-only and memory-mapped from `file`, (drawing, 3, size, size).

    Built first where `file` is absent or damaged, see `cached_array`.
    """

    def fill(target: NDArray[np.uint8], report: Callable[[int], None]) -> None:
        chunks = [paths[first : first + CHUNK] for first in range(0, len(paths), CHUNK)]
        done = 0
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:  # each thread only waits for its helper process
            for pixels in pool.map(lambda chunk: rasterise_elsewhere(chunk, size), chunks):
                target[done : done + len(pixels)] = pixels
                done += len(pixels)
                report(done)

    return cached_array(file, (len(paths), 3, size, size), np.uint8, fill, f"drawing {file.stem}")
