"""A folder of pictures as a data set: AFHQv2, CelebA-HQ, an LSUN export, or anybody's photographs."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import PIL
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from ddmi_modalities.datasets.array_cache import default_cache, free_bytes
from ddmi_modalities.datasets.checked_sources import check_stamped, content_digest, stamp
from ddmi_modalities.datasets.left_out import leave_out
from ddmi_modalities.datasets.shared_rows import SharedRows
from ddmi_modalities.datasets.splits import Split, check_split
from ddmi_modalities.files.pixels import centre_square, open_picture, resize_square, to_tensor
from ddmi_modalities.files.readable import Readable
from ddmi_modalities.files.text import read_lines
from ddmi_modalities.image.data.encoded import EncodedPicture
from ddmi_modalities.image.data.folder_split import pictures_of_split

logger = logging.getLogger("ddmi")

PIXELS = 1
"""To be raised where other pixels are made of a picture."""
MOST_OF_FREE = 0.25
"""Part of the free disk that pixels may take."""


@dataclass(frozen=True)
class Photograph:
    """One picture of a folder; an `ImageItem`.  Decoded once, when first asked for pixels; forgotten with the item."""

    encoded: EncodedPicture
    name: str
    """The path below the root, with forward slashes; within a shard or table, the member or row behind its path."""
    index: int = field(default=0, compare=False)
    """Its row in `kept`."""
    kept: Mapping[int, SharedRows] = field(default_factory=dict, compare=False)
    """Pixels on disk, by size, of all pictures of the folder."""

    @property
    def caption(self) -> str | None:
        """The first line of the text of the same name, where there is one (`cat.jpg`, `cat.txt`)."""
        text = self.encoded.text()
        lines = read_lines(text) if text else []
        return lines[0] if lines else None

    @cached_property
    def _square(self) -> Image.Image:
        return centre_square(open_picture(self.encoded))

    def pixels(self, size: int) -> UInt8[Tensor, "3 size size"]:
        return self.window(size, 0, 0, size)

    def window(self, size: int, top: int, left: int, side: int) -> UInt8[Tensor, "3 side side"]:
        if size < 1:
            raise ValueError(f"ImageFolder: a picture needs a size of at least 1 pixel, got {size}")
        rows = self.kept.get(size)
        if rows is None or not rows.ready():
            return self._resized(size)[:, top : top + side, left : left + side]
        pixels = rows.row(self.index, lambda: self._resized(size).numpy())
        return torch.from_numpy(pixels[:, top : top + side, left : left + side].copy())  # a row is read only

    def _resized(self, size: int) -> UInt8[Tensor, "3 size size"]:
        return to_tensor(resize_square(self._square, size))


class ImageFolder:
    """All readable pictures below `root`, as centred squares: files, members of tar shards, or rows of tables.

    What is held out, folders, lists or names decide: see `pictures_of_split`.  Every picture is decoded once to be sure
    that training will not stop at a broken one; what was found is remembered in the cache by path, size and time of
    change.

    Pixels of the sizes that will be asked for are kept on disk as they are asked for, where they take no more than a
    part of what is free there: decoding and resizing a large picture takes tens of milliseconds, reading it again none.

    Args:
        root: The folder; links are followed, hidden parts left out.
        split: "train" or "test".
        classes, held_out: See `pictures_of_split`.
        min_size: Pictures whose shorter side has fewer pixels are left out.
        strict: Refuse the folder when any picture is broken or too small, instead of leaving it out.
        sizes: Pixels a side that will be asked for.
        cache: Where to keep pixels, and which files are sound, default `$XDG_CACHE_HOME/ddmi`.

    Raises:
        ValueError: There is no such folder or class, it has no usable picture in this split, a shard or table is
            damaged, or `strict` found a bad picture.
        ModuleNotFoundError: There are tables, and the extra `parquet` is not installed.
    """

    def __init__(
        self,
        root: Path | str,
        split: Split,
        *,
        classes: Sequence[str] = (),
        held_out: int = 0,
        min_size: int = 16,
        strict: bool = False,
        sizes: Sequence[int] = (),
        cache: Path | None = None,
    ) -> None:
        check_split(split)
        root = Path(root).expanduser()
        if not root.is_dir():
            what = "is a file" if root.exists() else "does not exist"
            raise ValueError(f"ImageFolder: {str(root)!r} {what}; give the path of a folder of images")
        self._cache = cache or default_cache()
        self.root, found = pictures_of_split(root.resolve(), split, classes, held_out, self._cache)
        stamps = _stamps(found)
        sides = check_stamped(
            self.root, stamps, lambda name: _shorter_side(found[name]), what="images", cache=self._cache
        )
        self.skipped = {
            name: side if isinstance(side, str) else f"{side} pixels on its shorter side, wanted {min_size}"
            for name, side in sides.items()
            if isinstance(side, str) or side < min_size
        }
        """Why each picture that is not in the data set was left out."""
        leave_out(
            f"ImageFolder {str(self.root)!r}", "images", self.skipped, len(found), remedy="repair or remove them",
            strict=strict,
        )  # fmt: skip
        self._encoded = {name: one for name, one in found.items() if name not in self.skipped}
        self.names = tuple(self._encoded)
        self._sides = [side for name in self.names if isinstance(side := sides[name], int)]
        if not self.names:
            raise ValueError(
                f"ImageFolder: no image for the split {split!r} below {str(self.root)!r}; add images, or folders named "
                "train and test"
            )
        self._kept: dict[int, SharedRows] = {}
        if sizes:
            state = [(name, stamps[name]) for name in self.names]
            self._kept = self._pixels(sizes, f"{split} {sorted(classes)} {held_out} {min_size}", state)

    def _pixels(self, sizes: Sequence[int], which: str, stamps: list[tuple[str, list[int]]]) -> dict[int, SharedRows]:
        """Where pixels of these sizes are kept; of those that there is room for, the smallest first."""
        folder = self._cache / "pictures"
        place, state = _hash(f"{self.root} {which}"), _hash(f"{PIXELS} {PIL.__version__} {stamps}")
        for stale in folder.glob(f"{place}-*.raw"):  # of the folder as it was
            if not stale.name.startswith(f"{place}-{state}-"):
                with suppress(OSError):
                    stale.unlink()
        room = MOST_OF_FREE * free_bytes(folder)
        kept = {}
        for size in sorted({*sizes}):
            rows = SharedRows(folder / f"{place}-{state}-{size}.raw", len(self.names), (3, size, size))
            room -= 0 if rows.file.exists() else rows.bytes
            if room < 0:
                logger.info(
                    "pictures of %d x %d are decoded anew each time: %.1f GB of them would take more than a quarter of "
                    "what is free in %s; set XDG_CACHE_HOME to a larger disk", size, size, rows.bytes / 1e9, folder,
                )  # fmt: skip
                break
            kept[size] = rows
        return kept

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Photograph:
        name = self.names[index]
        return Photograph(self._encoded[name], name, range(len(self))[index], self._kept)

    def digest(self) -> str:
        """A hash of the content of all pictures' files, and of the names of those in shards and tables."""
        files = {one.file.relative_to(self.root).as_posix() for one in self._encoded.values()}
        content = content_digest(self.root, sorted(files), what="images", cache=self._cache)
        return content if files == {*self.names} else _hash(f"{content} {self.names}")

    def describe(self) -> str:
        """The pictures' sizes, and how many were left out."""
        return (
            f"pictures of {min(self._sides)} to {max(self._sides)} pixels on the shorter side, "
            f"{len(self.skipped)} left out"
        )


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:16]


def _stamps(pictures: Mapping[str, EncodedPicture]) -> dict[str, list[int]]:
    """Bytes and time of change of the file that each picture is in."""
    stamps = {file: stamp(file) for file in {one.file for one in pictures.values()}}
    return {name: stamps[one.file] for name, one in pictures.items()}


def _shorter_side(file: Readable) -> int:
    """In pixels.  ValueError, without the file's name, where it cannot be decoded to its end."""
    try:
        return min(open_picture(file).size)
    except ValueError as error:
        raise ValueError(str(error).removeprefix(f"cannot read the image {str(file)!r}: ")) from error
