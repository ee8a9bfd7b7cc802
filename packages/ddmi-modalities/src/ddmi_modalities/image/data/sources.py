"""Where pictures come from: the data set that a modality's `source` names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ddmi_modalities.datasets.sources import Layout, open_source
from ddmi_modalities.datasets.splits import Split
from ddmi_modalities.image.data.cifar import CifarBatches, batches_folder
from ddmi_modalities.image.data.folder import ImageFolder
from ddmi_modalities.image.data.idx import IdxPictures, holds_idx
from ddmi_modalities.image.data.openmoji import OpenMoji
from ddmi_modalities.image.items import ImageItem
from ddmi_modalities.modality import DataSet

CACHED_UP_TO, CACHED_UP_TO_FOR_WHOLE = 128, 256
"""Larger drawings are made anew each time: a window in 0.5 ms, all of it, as random pixels need it, in 6 ms at 256,
where a cache takes 0.8 GB."""


def open_images(
    source: str,
    split: Split,
    *,
    classes: Sequence[str] = (),
    labels: Sequence[str] = (),
    held_out: int = 0,
    sizes: Sequence[int] = (),
    whole: bool = False,
    cache: Path | None = None,
) -> DataSet[ImageItem]:
    """OpenMoji, CIFAR-10 or MNIST where a folder holds their files, or a folder of pictures.

    Args:
        source: "openmoji", or the folder.
        split: "train" or "test".
        labels: What numbered classes are called, see `IdxPictures`.
        classes, held_out: Of a folder, see `pictures_of_split`.
        sizes: Pixels a side that will be asked for; `whole`: not only for windows of them.
        cache: Folder for rasters and checked file lists, default `$XDG_CACHE_HOME/ddmi`.

    Raises:
        ValueError: There is no such folder, class or split, or `labels` are given and nothing is numbered.
    """
    root = Path(source).expanduser()
    if labels and source and (source == "openmoji" or (root.exists() and not holds_idx(root))):
        raise ValueError(
            f"data: labels name the classes of MNIST's files, and {source!r} holds none; give the folder of the four "
            "files, or no labels: --modality.labels without any"
        )
    limit = CACHED_UP_TO_FOR_WHOLE if whole else CACHED_UP_TO
    kept = [size for size in sorted({*sizes}) if size <= limit]
    layouts: tuple[Layout[DataSet[ImageItem]], ...] = (
        Layout(
            "a folder with CIFAR-10's binary files",
            lambda root: batches_folder(root) is not None,
            lambda root: CifarBatches(root, split),
        ),
        Layout(
            "a folder, or a package of Debian, with MNIST's files",
            holds_idx,
            lambda root: IdxPictures(root, split, names=labels),
        ),
        Layout(
            "a folder of pictures",
            Path.is_dir,
            lambda root: ImageFolder(root, split, classes=classes, held_out=held_out, sizes=sizes, cache=cache),
        ),
    )
    return open_source(source, {"openmoji": lambda: OpenMoji(split, cache, sizes=kept)}, layouts)
