"""Rasters of OpenMoji drawings, kept on disk: each is drawn when it is first asked for."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from ddmi_modalities.datasets.array_cache import shared_bytes
from ddmi_modalities.datasets.splits import Split
from ddmi_modalities.drawings.openmoji import drawing_file, versions
from ddmi_modalities.drawings.rasterise import rasterise, rasterise_alpha

Raster = UInt8[np.ndarray, "_ _ _"]

KINDS = {"white": rasterise, "alpha": rasterise_alpha}
"""(3, side, side) on white, and (side, side, 4) on nothing, colours times alpha."""


class DrawingRasters:
    """The rasters of some drawings at one size, in a file that is filled as they are asked for.

    Any number of processes may share the file: whoever finds a drawing missing draws it, and all write the same bytes.
    A raster counts only with its checksum, so that one which is half written, or was lost, is drawn again.

    Args:
        folder: Of the file.
        split, codes: The drawings.
        side: Pixels a side; 3 or 4 side^2 bytes a drawing.
        kind: On what they are drawn, see `KINDS`.
    """

    def __init__(
        self, folder: Path, split: Split, codes: Sequence[str], side: int, kind: Literal["white", "alpha"]
    ) -> None:
        self.file = folder / f"openmoji-{kind}-{versions()}-{split}-{side}.raw"
        self.codes, self.side, self.kind = tuple(codes), side, kind
        self.shape = (3, side, side) if kind == "white" else (side, side, 4)
        self._sound: set[int] = set()

    def __getitem__(self, index: int) -> Raster:
        """The raster of drawing `index`, to be read only."""
        pixels, sums = self._file
        if index not in self._sound:
            if sums[index] == 0 or sums[index] != _checksum(pixels[index]):
                pixels[index] = KINDS[self.kind](drawing_file(self.codes[index]), self.side)
                sums[index] = _checksum(pixels[index])
            self._sound.add(index)
        return pixels[index]

    def __getstate__(self) -> dict[str, object]:
        # workers map the file themselves: pickling a memory map would copy all of it
        return {name: value for name, value in self.__dict__.items() if name != "_file"}

    @cached_property
    def _file(self) -> tuple[UInt8[np.ndarray, "drawing _ _ _"], np.ndarray]:
        """The rasters and their checksums, mapped."""
        count = len(self.codes)
        pixels = count * int(np.prod(self.shape))
        whole = shared_bytes(self.file, pixels + 4 * count)
        return whole[:pixels].reshape(count, *self.shape), whole[pixels:].view(np.uint32)


def _checksum(pixels: Raster) -> int:
    """Never 0, which stands for a raster that is not there."""
    return zlib.crc32(pixels.tobytes()) or 1
