"""MNIST's four files and those of data sets of its form, such as Fashion-MNIST: grey pictures and numbered classes.

An IDX file is a magic number, one big-endian 32-bit size for each axis, and bytes, row by row; often packed by gzip.
They lie in a folder, or in a package of Debian (dataset-fashion-mnist).
"""

from __future__ import annotations

import gzip
import io
import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import UInt8
from torch import Tensor, from_numpy

from ddmi_modalities.datasets.array_cache import default_cache
from ddmi_modalities.datasets.checked_sources import content_digest, stamp
from ddmi_modalities.datasets.splits import Split, check_split
from ddmi_modalities.files.deb import deb_files
from ddmi_modalities.files.pixels import resize_square, to_picture, to_tensor

PREFIXES: dict[Split, str] = {"train": "train", "test": "t10k"}
IMAGES, LABELS = "images", "labels"
AXES = {IMAGES: 3, LABELS: 1}
FOLDERS = ("", "raw/", "MNIST/raw/", "FashionMNIST/raw/")
"""Where they are looked for in a folder: torchvision nests them."""
FASHION = (
    "t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
"""What the classes of Fashion-MNIST are called (Xiao et al. 2017)."""
LARGEST = 2**31
"""Bytes of an unpacked file that are read."""
REMEDY = "fetch it again"


@dataclass(frozen=True)
class IdxPicture:
    """One picture; an `ImageItem`."""

    name: str
    grey: UInt8[np.ndarray, "side side"]
    caption: str
    """What its class is called."""

    def pixels(self, size: int) -> UInt8[Tensor, "3 size size"]:
        own = from_numpy(np.repeat(self.grey[None], 3, axis=0))
        return own if size == own.shape[1] else to_tensor(resize_square(to_picture(own), size))

    def window(self, size: int, top: int, left: int, side: int) -> UInt8[Tensor, "3 side side"]:
        return self.pixels(size)[:, top : top + side, left : left + side]


class IdxPictures:
    """The pictures of a split in the order of its file.

    Args:
        root: A folder with the files, or of `FOLDERS` one, or a package of Debian that installs them.
        split: "train", or "test" for the files of t10k.
        names: Of the classes, in the order of their numbers; without them, the numbers.

    Raises:
        ValueError: A file is absent, truncated or not of its kind, pictures are not square, or there are more classes
            than names.
    """

    def __init__(self, root: Path, split: Split, *, names: Sequence[str] = ()) -> None:
        self.root, self.split, self.names = root, check_split(split), tuple(names)
        self.images, self.labels = _arrays(root, split, tuple(stamp(root)))
        rows, columns = self.images.shape[1:]
        if rows != columns:
            raise ValueError(f"{str(root)!r}: pictures of {rows} x {columns} pixels; wanted square ones")
        most = int(self.labels.max(initial=0))
        if names and most >= len(names):
            raise ValueError(
                f"{str(root)!r}: names class {most}, and {len(names)} have names; name all by --modality.labels, or "
                "none: --modality.labels without any"
            )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> IdxPicture:
        if not 0 <= index < len(self):
            raise IndexError(f"picture {index} of {len(self)}")
        label = int(self.labels[index])
        caption = self.names[label] if self.names else str(label)
        return IdxPicture(f"{self.split}/{index:05}", self.images[index], caption)

    def digest(self) -> str:
        """A hash of the content of the files."""
        found = [self.root.name] if self.root.is_file() else [*_files_below(self.root).values()]
        base = self.root.parent if self.root.is_file() else self.root
        return content_digest(base, found, what="idx files", cache=default_cache())

    def describe(self) -> str:
        """Where the pictures come from."""
        return f"pictures of {self.images.shape[1]} x {self.images.shape[2]} pixels in IDX files"


def holds_idx(root: Path) -> bool:
    """Whether a folder holds MNIST's files, or a file is a package of Debian that may install them."""
    return root.suffix == ".deb" if root.is_file() else bool(_files_below(root))


def _files_below(root: Path) -> dict[tuple[str, str], str]:
    """The files of a folder by prefix and kind, looked for by their names: other folders may hold millions of files."""
    found = {}
    for kind in ((prefix, kind) for prefix in PREFIXES.values() for kind in AXES):
        names = (f"{folder}{name}" for folder in FOLDERS for name in _names(*kind))
        if (name := next((name for name in names if (root / name).is_file()), None)) is not None:
            found[kind] = name
    return found


def _names(prefix: str, kind: str) -> Iterator[str]:
    """What a file is called by those who distribute it."""
    for joined in ("-", "."):
        for ending in ("", ".gz"):
            yield f"{prefix}-{kind}{joined}idx{AXES[kind]}-ubyte{ending}"


@cache
def _arrays(
    root: Path, split: Split, stamped: tuple[int, ...]
) -> tuple[UInt8[np.ndarray, "picture rows columns"], UInt8[np.ndarray, " picture"]]:
    """Pictures and numbers of classes; kept as long as the source has this stamp."""
    read = _of_package(root, split) if root.is_file() else _of_folder(root)
    images, labels = (_idx(*read((PREFIXES[split], kind)), axes) for kind, axes in AXES.items())
    if len(images) != len(labels):
        raise ValueError(f"{str(root)!r}: {len(images)} pictures and {len(labels)} labels in {split!r}; {REMEDY}")
    return images, labels


Read = Callable[[tuple[str, str]], tuple[str, bytes]]
"""Of a prefix and kind what the file is called, and its bytes.  ValueError where there is none."""


def _of_folder(root: Path) -> Read:
    files = _files_below(root)

    def read(kind: tuple[str, str]) -> tuple[str, bytes]:
        if kind not in files:
            raise ValueError(f"{str(root)!r} has no {_usual_name(kind)}; put all four files of the data set there")
        return str(root / files[kind]), (root / files[kind]).read_bytes()

    return read


def _of_package(file: Path, split: Split) -> Read:
    kinds = {name: (PREFIXES[split], kind) for kind in AXES for name in _names(PREFIXES[split], kind)}
    installed = deb_files(file, lambda name: PurePosixPath(name).name in kinds)
    found = {kinds[PurePosixPath(name).name]: (name, content) for name, content in installed.items()}

    def read(kind: tuple[str, str]) -> tuple[str, bytes]:
        if kind not in found:
            raise ValueError(f"{str(file)!r} installs no {_usual_name(kind)}; such a package is dataset-fashion-mnist")
        name, content = found[kind]
        return f"{file}/{name}", content

    return read


def _usual_name(kind: tuple[str, str]) -> str:
    return f"{kind[0]}-{kind[1]}-idx{AXES[kind[1]]}-ubyte(.gz)"


def _idx(name: str, content: bytes, axes: int) -> UInt8[np.ndarray, "..."]:
    """The array of unsigned bytes of an IDX file."""
    if content.startswith(b"\x1f\x8b"):
        try:
            with gzip.open(io.BytesIO(content)) as file:
                content = file.read(LARGEST)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{name!r} is a damaged gzip file ({error}); {REMEDY}") from error
    start = 4 * (1 + axes)
    if content[:4] != bytes((0, 0, 8, axes)) or len(content) < start:
        raise ValueError(f"{name!r} is no IDX file of unsigned bytes with {axes} axes; {REMEDY}")
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", axes, offset=4))
    if len(content) - start != math.prod(shape) or not math.prod(shape):
        raise ValueError(f"{name!r} has {len(content) - start} bytes of data, wanted {shape}, and some; {REMEDY}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
