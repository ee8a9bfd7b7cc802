"""CIFAR-10 in its binary version: data_batch_1.bin to data_batch_5.bin for training, test_batch.bin held out.

A record is the number of a class and the red, green and blue plane of 32 x 32 pixels, row by row.  The version for
Python is not read: its batches are pickles, and a pickle may run any code when it is opened.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from torch import Tensor, from_numpy

from ddmi_modalities.datasets.array_cache import default_cache
from ddmi_modalities.datasets.checked_sources import content_digest
from ddmi_modalities.datasets.splits import Split, check_split
from ddmi_modalities.files.pixels import resize_square, to_picture, to_tensor

SIZE = 32
RECORD = 1 + 3 * SIZE * SIZE
LABELS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FOLDER = "cifar-10-batches-bin"
BATCHES: dict[Split, tuple[str, ...]] = {
    "train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
    "test": ("test_batch.bin",),
}


@dataclass(frozen=True)
class CifarPicture:
    """One record; an `ImageItem`."""

    name: str
    record: UInt8[np.ndarray, " byte"]

    @property
    def caption(self) -> str:
        """The name of its class."""
        return LABELS[int(self.record[0])]

    def pixels(self, size: int) -> UInt8[Tensor, "3 size size"]:
        own = from_numpy(self.record[1:].reshape(3, SIZE, SIZE).copy())
        return own if size == SIZE else to_tensor(resize_square(to_picture(own), size))

    def window(self, size: int, top: int, left: int, side: int) -> UInt8[Tensor, "3 side side"]:
        return self.pixels(size)[:, top : top + side, left : left + side]


class CifarBatches:
    """The pictures of a split in the order of the files, which stay on disk.

    Raises ValueError where a file is absent or is not made of such records.
    """

    def __init__(self, root: Path, split: Split) -> None:
        self.folder = batches_folder(root) or root
        self.batches = [(file, _records(self.folder / file)) for file in BATCHES[check_split(split)]]

    def __len__(self) -> int:
        return sum(len(records) for _, records in self.batches)

    def __getitem__(self, index: int) -> CifarPicture:
        place = index
        for file, records in self.batches:
            if place < len(records):
                return CifarPicture(f"{file.removesuffix('.bin')}/{place:05}", records[place])
            place -= len(records)
        raise IndexError(f"picture {index} of {len(self)}")

    def digest(self) -> str:
        """A hash of the content of the files."""
        names = [file for file, _ in self.batches]
        return content_digest(self.folder, names, what="batches", cache=default_cache())

    def describe(self) -> str:
        """Where the pictures come from."""
        return f"pictures of {SIZE} x {SIZE} pixels in {len(self.batches)} CIFAR-10 batches"


def batches_folder(root: Path) -> Path | None:
    """The folder of CIFAR-10's files, which is the root or in it; None where there are none.

    Raises ValueError for the version of pickles.
    """
    for folder in (root, root / FOLDER):
        if any(folder.glob("*_batch*.bin")):
            return folder
    for folder in (root, root / "cifar-10-batches-py"):
        if (folder / "data_batch_1").is_file():
            raise ValueError(
                f"CIFAR-10: {str(folder)!r} holds the version for Python, whose pickles may run any code and are not "
                "opened here; take the binary version, cifar-10-binary.tar.gz"
            )
    return None


def _records(file: Path) -> UInt8[np.ndarray, "record byte"]:
    remedy = "unpack cifar-10-binary.tar.gz again"
    if not file.is_file():
        raise ValueError(f"CIFAR-10: {str(file)!r} does not exist; {remedy}")
    size = file.stat().st_size
    if not size or size % RECORD:
        raise ValueError(f"CIFAR-10: {str(file)!r} has {size} bytes, wanted records of {RECORD}; {remedy}")
    records = np.memmap(file, np.uint8, "r").reshape(-1, RECORD)
    if records[:, 0].max() >= len(LABELS):
        raise ValueError(
            f"CIFAR-10: {str(file)!r} names class {records[:, 0].max()} of {len(LABELS)}; {remedy}, and not CIFAR-100"
        )
    return records
