"""Turntable's pictures and clouds on disk, drawn once by helper processes.

As a script, `python -m MODULE SPLIT SEED SIZE FIRST LAST`, with this module's name, writes the records of scenes FIRST
to LAST - 1 to stdout, one after the other.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddmi_modalities.datasets.array_cache import cached_array
from ddmi_modalities.datasets.splits import Split
from ddmi_modalities.nerf.data.turntable_scenes import CLOUD, VIEWS, TurntableSource, scene_of

DRAWING = 1
"""Raise it when the same numbers give other pictures or clouds than before: the name of the file has it."""
ALONE = 40
"""Scenes up to which this process draws them all: a helper takes as long to start."""


def record(size: int) -> np.dtype[Any]:
    """What is kept of a scene: 0.5 MB at 64 x 64."""
    return np.dtype(
        [("images", "u1", (VIEWS, size, size, 3)), ("masks", "?", (VIEWS, size, size)), ("cloud", "<f4", (CLOUD, 6))]
    )


def cached_scenes(folder: Path, source: TurntableSource, size: int, count: int) -> NDArray[Any]:
    """An array of `record(size)` of the first `count` scenes, memory-mapped; drawn first where it is not there yet."""
    name = f"turntable-{DRAWING}-embreex-{version('embreex')}-{source.split}-{source.seed}-{count}x{size}"

    def fill(target: NDArray[Any], report: Callable[[int], object]) -> None:
        if count <= ALONE:
            for index in range(count):
                target[index] = _drawn(source, index, size)
                report(1)
            return
        workers = min(8, os.cpu_count() or 1)
        bounds = [count * part // workers for part in range(workers + 1)]

        def one(part: int) -> None:
            for _ in _drawn_elsewhere(source, size, bounds[part], bounds[part + 1], target):
                report(1)

        with ThreadPoolExecutor(workers) as pool:  # each thread only copies what its helper process sends
            list(pool.map(one, range(workers)))

    return cached_array(folder / f"{name}.npy", (count,), record(size), fill, f"drawing {name}")


def _drawn(source: TurntableSource, index: int, size: int) -> NDArray[Any]:
    scene = scene_of(source, index)
    drawn = np.zeros((), record(size))
    drawn["images"], drawn["masks"] = scene.draw(scene.cameras(size))
    drawn["cloud"] = scene.stored_cloud()
    return drawn


def _drawn_elsewhere(source: TurntableSource, size: int, first: int, last: int, target: NDArray[Any]) -> Iterator[int]:
    """Fill a part of `target` from a helper process, one scene at a time; yields their numbers."""
    arguments = [source.split, source.seed, size, first, last]
    # -P keeps the working directory off the helper's import path
    command = [sys.executable, "-P", "-m", str(__spec__.name if __spec__ else __name__), *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, env=environment) as helper,
    ):
        try:
            assert helper.stdout is not None
            for index in range(first, last):
                content = helper.stdout.read(target.dtype.itemsize)
                if len(content) < target.dtype.itemsize:
                    helper.wait()
                    errors.seek(0)
                    said = errors.read().decode(errors="replace")
                    raise RuntimeError(f"turntable: the helper process failed:\n{said}")
                target[index] = np.frombuffer(content, target.dtype)[0]
                yield index
        except BaseException:
            helper.kill()
            raise


def _main(split: Split, seed: int, size: int, first: int, last: int) -> None:
    for index in range(first, last):
        sys.stdout.buffer.write(_drawn(TurntableSource(split, seed), index, size).tobytes())
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    from ddmi_modalities.datasets.splits import check_split

    _main(check_split(sys.argv[1]), *map(int, sys.argv[2:]))
