"""Turntable, the embedded set of scenes: coloured furniture and toy cars, seen from known cameras."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8
from numpy.typing import NDArray

from ddmi_modalities.datasets.array_cache import default_cache
from ddmi_modalities.datasets.splits import Split, check_split
from ddmi_modalities.geometry.cameras import Cameras
from ddmi_modalities.nerf.data.turntable_cache import DRAWING, cached_scenes
from ddmi_modalities.nerf.data.turntable_scenes import CLOUD, GIVEN, DrawnScene, Kind, TurntableSource, scene_of
from ddmi_modalities.nerf.items import Views, Which, check_which

COUNTS: dict[Split, int] = {"train": 1000, "test": 100}
"""Scenes of a split unless the caller says otherwise; there is no end to them."""

CHOICES: dict[Which, slice] = {"given": slice(0, GIVEN), "held_out": slice(GIVEN, None), "all": slice(None)}


@dataclass(frozen=True)
class TurntableScene:
    """One scene; a `NerfItem`."""

    source: Turntable
    index: int

    @property
    def name(self) -> str:
        return f"{self.source.split}-{self.source.seed}-{self.index}"

    @property
    def captions(self) -> tuple[str, ...]:
        return self.drawn.captions

    @property
    def kind(self) -> Kind:
        return self.drawn.kind

    @cached_property
    def drawn(self) -> DrawnScene:
        return scene_of(TurntableSource(self.source.split, self.source.seed), self.index)

    def views(self, which: Which, size: int | None = None) -> Views:
        """At the data set's size from the disk, memory-mapped; at any other size drawn now."""
        check_which(which)
        chosen, size = CHOICES[which], self.source.size if size is None else size
        if size < 1:
            raise ValueError(f"Turntable: a picture has at least 1 pixel a side, got {size}; ask for more")
        cameras = self.drawn.cameras(size)[chosen]
        if size != self.source.size:
            return Views(*self.drawn.draw(cameras), cameras)
        stored = self.source.stored
        return Views(stored["images"][self.index, chosen], stored["masks"][self.index, chosen], cameras)

    def pictures(self, cameras: Cameras) -> UInt8[np.ndarray, "view 3 rows columns"]:
        """Drawn now."""
        return np.ascontiguousarray(self.drawn.draw(cameras)[0].transpose(0, 3, 1, 2))

    def cloud(self, count: int, rng: np.random.Generator) -> Float32[np.ndarray, "count 6"]:
        """Exact surface points and their colours in the pictures' light: a random part of those on disk, new ones
        where more are wanted than are there."""
        if count < 1:
            raise ValueError(f"Turntable: wanted a cloud of at least 1 point, got {count}; ask for more")
        if count > CLOUD:
            return self.drawn.painted.cloud(count, rng)
        return np.asarray(self.source.stored["cloud"][self.index][rng.permutation(CLOUD)[:count]])


class Turntable:
    """Chairs, tables and cars, a third each; scene i of a split is a function of (seed, split, i) alone.

    Matt objects in a fixed light on white, centred in the unit cube, y up, the front to +z.  24 cameras at one distance
    look at the centre from all azimuths and elevations of -5 to 60 degrees; 4 of them are held out.

    Args:
        split: "train" or "test".
        count: Scenes, default `COUNTS[split]`.
        size: Pixels a side of the pictures kept on disk, drawn when first asked for: 0.1 s a scene of 64 x 64 on
            one core.  Other sizes are drawn anew each time.
        seed: Another seed is another data set.
        cache: Folder of the pictures, default `$XDG_CACHE_HOME/ddmi` or `~/.cache/ddmi`.

    Raises:
        ValueError: The split is unknown, or a number is out of range.
    """

    def __init__(
        self, split: Split, count: int | None = None, *, size: int = 64, seed: int = 0, cache: Path | None = None
    ) -> None:
        self.split = check_split(split)
        self.count = COUNTS[split] if count is None else count
        if self.count < 1 or seed < 0 or size < 1:
            raise ValueError(
                "Turntable: wanted a count and a size of at least 1 and a seed of at least 0, got count "
                f"{count}, size {size} and seed {seed}"
            )
        self.size, self.seed = size, seed
        self.cache = Path(cache) if cache is not None else default_cache()

    def digest(self) -> str:
        """What draws the scenes."""
        return f"turntable {DRAWING} embreex-{version('embreex')}"

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> TurntableScene:
        if not -len(self) <= index < len(self):
            raise IndexError(f"scene {index} of {len(self)}")
        return TurntableScene(self, index % len(self))

    def __getstate__(self) -> dict[str, object]:
        # workers map the file themselves: pickling a memory map would copy all of it
        return {key: value for key, value in self.__dict__.items() if key != "stored"}

    @cached_property
    def stored(self) -> NDArray[Any]:
        """Pictures, masks and clouds of all scenes; see `turntable_cache.record`."""
        return cached_scenes(self.cache, TurntableSource(self.split, self.seed), self.size, self.count)
