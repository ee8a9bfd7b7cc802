"""Where clips come from: the data set that a modality's `source` names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ddmi_modalities.datasets.sources import Layout, open_source
from ddmi_modalities.datasets.splits import Split
from ddmi_modalities.modality import DataSet
from ddmi_modalities.video.data.moving_openmoji import MovingOpenMoji
from ddmi_modalities.video.data.stored_clips import StoredClips
from ddmi_modalities.video.items import ClipItem

HELD_OUT = 500
"""Clips of the test split of 'moving-openmoji', which is unlimited."""


def open_clips(
    source: str,
    split: Split,
    *,
    frames: int,
    stride: int = 1,
    items: int = 4000,
    sizes: Sequence[int] = (64,),
    cache: Path | None = None,
) -> DataSet[ClipItem]:
    """Moving OpenMoji, or the clips of a video file or of a folder of videos.

    Args:
        source: "moving-openmoji", or the path.
        split: "train" or "test".
        frames, stride: Of a stored clip.
        items: Of moving OpenMoji's training split.
        sizes: Pixels a side that will be asked for.
        cache: Folder for rasters and checked file lists, default `$XDG_CACHE_HOME/ddmi`.

    Raises:
        ValueError: There is no such path, or nothing usable in it.
    """
    count = items if split == "train" else min(HELD_OUT, items)
    layouts: tuple[Layout[DataSet[ClipItem]], ...] = (
        Layout(
            "a video file, or a folder of videos",
            Path.exists,
            lambda root: StoredClips(root, split, frames=frames, stride=stride, size=max(sizes), cache=cache),
        ),
    )
    return open_source(
        source, {"moving-openmoji": lambda: MovingOpenMoji(split, count, sizes=sizes, cache=cache)}, layouts
    )
