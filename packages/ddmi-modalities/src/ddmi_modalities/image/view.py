"""How a person wants an image function drawn, and the drawn images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import UInt8
from torch import Tensor

from ddmi_modalities.pixels import to_picture

Crop = tuple[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True, kw_only=True)
class ImageView:
    """Any size of image, or any window of it, from the same function."""

    resolution: int | tuple[int, int] = 256
    """Pixels of the whole image: one number for a square, or (rows, columns)."""
    crop: Crop | None = None
    """Draw only this window, ((first row, row after the last), (first column, column after the last))."""

    def __post_init__(self) -> None:
        if min(self.size) < 1:
            raise ValueError(f"ImageView: the resolution must be positive, got {self.resolution}")
        for (start, stop), count in zip(self.crop or (), self.size, strict=False):
            if not 0 <= start < stop <= count:
                raise ValueError(
                    f"ImageView: the crop {self.crop} is empty or not within the {self.size} pixels of the whole image"
                )

    @property
    def size(self) -> tuple[int, int]:
        """(rows, columns) of the whole image."""
        return (self.resolution, self.resolution) if isinstance(self.resolution, int) else self.resolution


def zoom_views(
    resolution: int, factors: Sequence[int | float], centre: tuple[int | float, int | float] = (0.5, 0.5)
) -> tuple[ImageView, ...]:
    """Views of `resolution` x `resolution` pixels that magnify the point `centre` by each of the factors >= 1.

    `centre` is (row, column) as fractions of the image; a window is moved inwards where it would leave it.
    """
    views = []
    for factor in factors:
        if factor < 1:
            raise ValueError(f"zoom: a factor of {factor} would show more than the image; give factors of at least 1")
        full = round(resolution * factor)
        starts = [min(max(round(at * full - resolution / 2), 0), full - resolution) for at in centre]
        rows, columns = ((start, start + resolution) for start in starts)
        views.append(ImageView(resolution=full, crop=(rows, columns)))
    return tuple(views)


@dataclass(frozen=True, eq=False)
class ImageArtefact:
    """A batch of drawn images."""

    images: UInt8[Tensor, "batch 3 rows columns"]

    def __len__(self) -> int:
        return len(self.images)

    def save(self, directory: Path, start: int = 0) -> list[Path]:
        """Writes 000.png, 001.png, ... (from `start`) into the directory, which is made; returns their paths."""
        directory.mkdir(parents=True, exist_ok=True)
        paths = [directory / f"{start + index:03d}.png" for index in range(len(self))]
        for path, image in zip(paths, self.images, strict=True):
            to_picture(image).save(path)
        return paths

    def save_sheet(self, path: Path) -> None:
        """Writes all images as one contact sheet, at most 128 pixels an image."""
        from ddmi_modalities.sheet import contact_sheet

        path.parent.mkdir(parents=True, exist_ok=True)
        contact_sheet(self.images, tile=min(128, max(self.images.shape[-2:]))).save(path)
