"""Moving OpenMoji, the embedded video data set: drawings on known smooth paths, true at every time and size."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from ddmi_fields import cell_centres
from ddmi_modalities.datasets.array_cache import default_cache
from ddmi_modalities.datasets.splits import Split, check_split
from ddmi_modalities.drawings.openmoji import caption_of, drawing_file, drawings, versions
from ddmi_modalities.drawings.raster_cache import DrawingRasters, Raster
from ddmi_modalities.drawings.rasterise import rasterise_alpha
from ddmi_modalities.video.data.motion import Motion
from ddmi_modalities.video.data.moving_drawing import MovingDrawing, Place, place_of

LARGEST_OF_TWO = 0.6
"""Span of a drawing that shares the frame with another."""
KEPT = (128, 256)
"""Sides of rasters that are kept on disk, 64 and 256 KB a drawing; the second where it is needed often."""

MOVEMENT = 1
"""Raise it when the same numbers give other clips than before."""


@dataclass(frozen=True)
class MovingDrawings:
    """One or two moving drawings on white; a `ClipItem`."""

    source: MovingOpenMoji
    index: int

    continuous = True

    @property
    def name(self) -> str:
        return f"{self.source.split}/{self.index}/{'+'.join(self._codes)}"

    @property
    def captions(self) -> tuple[str, ...]:
        names = [caption_of(code) for code in self._codes]
        known = [name for name in names if name is not None]
        return (" and ".join(known),) if known else ()

    @cached_property
    def _cast(self) -> tuple[tuple[int, Motion], ...]:
        """The numbers of the drawings, from the one behind to the one in front, and how they move."""
        # a split is a stream of its own: its number of clips does not change them
        rng = np.random.default_rng([self.source.seed, zlib.crc32(self.source.split.encode()), self.index])
        if rng.uniform() < 0.5:
            return ((int(rng.integers(len(self.source.codes))), Motion.draw(rng)),)
        chosen = rng.choice(len(self.source.codes), 2, replace=False)
        return tuple((int(one), Motion.draw(rng, LARGEST_OF_TWO)) for one in chosen)

    @property
    def _codes(self) -> list[str]:
        return [self.source.codes[number] for number, _ in self._cast]

    def frames(self, times: Float[Tensor, " frame"], size: int) -> UInt8[Tensor, "frame 3 size size"]:
        line = (cell_centres(size) + 1)[None] / 2
        return self._paint(times, line, line, size).transpose(0, 1).contiguous()

    def points(
        self, times: Float[Tensor, " query"], pixels: Int[Tensor, " query"], size: int
    ) -> UInt8[Tensor, "query 3"]:
        line = (cell_centres(size) + 1) / 2
        return self._paint(times, line[pixels % size][:, None], line[pixels // size][:, None], size)[..., 0, 0].T

    def _paint(self, times: Tensor, x: Tensor, y: Tensor, size: int) -> UInt8[Tensor, "3 time rows columns"]:
        canvas = torch.ones(())
        for number, motion in self._cast:
            drawing = MovingDrawing(self.source.raster(number, size), self.source.place(number), motion)
            layer = drawing.colours(times, x, y, size)
            canvas = layer[:3] + (1 - layer[3:]) * canvas
        return (255 * canvas).round().clamp(0, 255).to(torch.uint8)


class MovingOpenMoji:
    """Clips of OpenMoji drawings (CC BY-SA 4.0: see `ddmi_modalities.drawings.openmoji.ATTRIBUTION`) of the same split.

    Clip i depends on (seed, split, i) only.

    Args:
        split: "train" or "test".
        items: Clips of the split; there is no end to them.
        sizes: Pixels a side that will be asked for often; it decides how large the rasters on disk are.
        cache: Folder of the rasters, default `$XDG_CACHE_HOME/ddmi` or `~/.cache/ddmi`.
        seed: Another number gives other clips.
    """

    def __init__(
        self, split: Split, items: int, *, sizes: Sequence[int] = (64,), cache: Path | None = None, seed: int = 0
    ) -> None:
        if items < 1:
            raise ValueError(f"MovingOpenMoji: a data set has at least one clip, got items {items}")
        self.split, self.items, self.seed = check_split(split), items, seed
        self.codes = drawings(self.split)
        folder = Path(cache) if cache is not None else default_cache()
        kept = [side for side in KEPT if side <= max(KEPT[0], _raster_side(max(sizes)))]
        self.rasters = [DrawingRasters(folder, self.split, self.codes, side, "alpha") for side in kept]

    def digest(self) -> str:
        """What draws and moves the drawings."""
        return f"moving openmoji {MOVEMENT} {versions()}"

    def __len__(self) -> int:
        return self.items

    def __getitem__(self, index: int) -> MovingDrawings:
        if not -len(self) <= index < len(self):
            raise IndexError(f"clip {index} of {len(self)}")
        return MovingDrawings(self, index % len(self))

    def place(self, number: int) -> Place:
        """Where drawing `number` is in its square, the same whatever the size of the frames."""
        return place_of(self.rasters[0][number])

    def raster(self, number: int, size: int) -> Raster:
        """Drawing `number`, fine enough for frames of `size` pixels a side."""
        side = _raster_side(size)
        for rasters in self.rasters:
            if side <= rasters.side:
                return rasters[number]
        return rasterise_alpha(drawing_file(self.codes[number]), side)


def _raster_side(size: int) -> int:
    """Two cells a pixel of the frame, to the next power of two: no drawing's square is much larger than the frame."""
    if size < 1:
        raise ValueError(f"MovingOpenMoji: a frame has at least one pixel a side, got {size}")
    return max(32, 1 << (2 * size - 1).bit_length())
