"""SVG to pixels by resvg, in this process or, as a script, in a helper process.

resvg holds Python's global lock, so threads do not help (measured: 1.18 s with one, 1.11 s with two).  This file
imports neither torch nor this package: `python rasterise.py SIZE`, with one path a line on stdin, starts in 0.1 s and
writes the raw bytes (drawing, 3, SIZE, SIZE) to stdout.
"""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import resvg_py
from numpy.typing import NDArray
from PIL import Image


def rasterise(path: str, size: int) -> NDArray[np.uint8]:
    """A square SVG drawing on white at size x size, as (3, size, size).

    System fonts are not used, so that every machine draws the same.
    """
    png = resvg_py.svg_to_bytes(svg_path=path, width=size, height=size, background="white", skip_system_fonts=True)
    with Image.open(io.BytesIO(png)) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    if pixels.shape != (size, size, 3):
        raise ValueError(f"rasterise: {path!r} came out as {pixels.shape}, wanted {(size, size, 3)}: is it square?")
    return pixels.transpose(2, 0, 1).copy()


def rasterise_elsewhere(paths: Sequence[str], size: int) -> NDArray[np.uint8]:
    """`rasterise` of many drawings in a helper process: (drawing, 3, size, size)."""
    # -P keeps this folder off the helper's import path.
    command = [sys.executable, "-P", __file__, str(size)]
    done = subprocess.run(command, input="\n".join(paths).encode(), capture_output=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"rasterise: the helper process failed:\n{done.stderr.decode(errors='replace')}")
    return np.frombuffer(done.stdout, np.uint8).reshape(len(paths), 3, size, size)


if __name__ == "__main__":
    for line in sys.stdin.read().splitlines():
        sys.stdout.buffer.write(rasterise(line, int(sys.argv[1])).tobytes())
