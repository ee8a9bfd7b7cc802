"""SVG to pixels by resvg, in this process or, as a script, in a helper process.

resvg holds Python's global lock, so threads do not help (measured: 1.18 s with one, 1.11 s with two).  This file
imports neither torch nor this package: `python rasterise.py SIZE`, with one path a line on stdin, starts in 0.1 s and
writes the raw bytes (drawing, 3, SIZE, SIZE) to stdout.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import resvg_py
from numpy.typing import NDArray
from PIL import Image


def rasterise(path: str, size: int) -> NDArray[np.uint8]:
    """A square SVG drawing on white at size x size, as (3, size, size).

    System fonts are not used, so that every machine draws the same.
    """
    png = resvg_py.svg_to_bytes(svg_path=path, width=size, height=size, background="white", skip_system_fonts=True)
    return _decode(png, path, size)


def _decode(png: bytes, path: str, size: int) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(png)) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    if pixels.shape != (size, size, 3):
        raise ValueError(f"rasterise: {path!r} came out as {pixels.shape}, wanted {(size, size, 3)}: is it square?")
    return pixels.transpose(2, 0, 1).copy()


_VIEW_BOX = re.compile(r'viewBox="([-\d.]+) ([-\d.]+) ([-\d.]+) ([-\d.]+)"')


def rasterise_window(path: str, size: int, top: int, left: int, side: int) -> NDArray[np.uint8]:
    """Rows [top, top + side) and columns [left, left + side) of `rasterise(path, size)`, and nothing else of it.

    The drawing's view box is moved to the window: the same pixels up to rounding in the anti-aliasing,
    12 times faster for 32 of 256.
    """
    text = Path(path).read_text(encoding="utf-8")
    box = _VIEW_BOX.search(text)
    if box is None:
        return rasterise(path, size)[:, top : top + side, left : left + side]
    x, y, width, height = map(float, box.groups())
    window = (x + left * width / size, y + top * height / size, side * width / size, side * height / size)
    # Width and height are given too: without them resvg rounds the view box to whole units to find the scale.
    moved = text.replace(box.group(0), 'viewBox="{} {} {} {}" width="{}" height="{}"'.format(*window, side, side), 1)
    png = resvg_py.svg_to_bytes(svg_string=moved, width=side, height=side, background="white", skip_system_fonts=True)
    return _decode(png, path, side)


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
