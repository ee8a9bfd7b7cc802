"""Where pictures come from: the data set that a modality's `source` names."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

from ddmi_modalities.image.cifar import CifarBatches, batches_folder
from ddmi_modalities.image.folder import ImageFolder
from ddmi_modalities.image.items import ImageItem
from ddmi_modalities.image.openmoji import OpenMoji
from ddmi_modalities.modality import DataSet
from ddmi_modalities.splits import Split

CACHED_UP_TO, CACHED_UP_TO_FOR_POINTS = 128, 256
"""Larger drawings are made anew each time: a window in 0.5 ms, all of it, as random pixels need it, in 6 ms at 256,
where a cache takes 0.8 GB."""


@runtime_checkable
class SourceSettings(Protocol):
    """What `ImageModality` says about its data."""

    @property
    def source(self) -> str: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def held_out(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def target_sizes(self) -> tuple[int, ...]: ...
    @property
    def points(self) -> int: ...
    @property
    def cache(self) -> Path | None: ...


def open_source(settings: SourceSettings, split: Split) -> DataSet[ImageItem]:
    """OpenMoji, CIFAR-10 where a folder holds its binary files, or a folder of pictures.

    Raises ValueError where there is no such folder, class or split.
    """
    if settings.source == "openmoji":
        sizes = {settings.size, *settings.target_sizes}
        limit = CACHED_UP_TO_FOR_POINTS if settings.points else CACHED_UP_TO
        return OpenMoji(split, settings.cache, sizes=[size for size in sorted(sizes) if size <= limit])
    root = Path(settings.source).expanduser()
    if batches_folder(root) is not None:
        return CifarBatches(root, split)
    return ImageFolder(root, split, classes=settings.classes, held_out=settings.held_out, cache=settings.cache)
