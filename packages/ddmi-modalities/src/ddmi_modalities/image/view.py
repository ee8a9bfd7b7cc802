"""How a person wants an image function drawn, and the drawn images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jaxtyping import UInt8
from torch import Tensor

from ddmi_modalities.area_grid import TOLERANCE, check_tolerance
from ddmi_modalities.files.pixels import to_picture
from ddmi_modalities.files.sheets import contact_sheet
from ddmi_modalities.files.whole import save_picture

Crop = tuple[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True, kw_only=True)
class ImageRenderOptions:
    """Any size of image, or any window of it, from the same function."""

    resolution: int | tuple[int, int] = 256
    """Pixels of the whole image: one number for a square, or (rows, columns)."""
    crop: Crop | None = None
    """Draw only this window, ((first row, row after the last), (first column, column after the last))."""
    tolerance: float | None = TOLERANCE
    """By which colours, in [-1, 1], may be off where there are many pixels to a cell of the planes: large pictures take
    a small part of the time.  None: every pixel is read out."""

    def __post_init__(self) -> None:
        check_tolerance("ImageRenderOptions", self.tolerance)
        if min(self.size) < 1:
            raise ValueError(f"ImageRenderOptions: the resolution must be positive, got {self.resolution}")
        for (start, stop), count in zip(self.crop or (), self.size, strict=False):
            if not 0 <= start < stop <= count:
                raise ValueError(
                    f"ImageRenderOptions: the crop {self.crop} is empty or not within the {self.size} pixels of the "
                    "whole image"
                )

    @property
    def size(self) -> tuple[int, int]:
        """(rows, columns) of the whole image."""
        return (self.resolution, self.resolution) if isinstance(self.resolution, int) else self.resolution


@dataclass(frozen=True, eq=False)
class ImageRendering:
    """A batch of drawn images."""

    images: UInt8[Tensor, "batch 3 rows columns"]

    def __len__(self) -> int:
        return len(self.images)

    def save(self, directory: Path, start: int = 0) -> list[Path]:
        """Writes 000.png, 001.png, ... (from `start`) into the directory, which is made; returns their paths."""
        directory.mkdir(parents=True, exist_ok=True)
        paths = [directory / f"{start + index:03d}.png" for index in range(len(self))]
        for path, image in zip(paths, self.images, strict=True):
            save_picture(to_picture(image), path)
        return paths

    def save_sheet(self, path: Path) -> None:
        """Writes all images as one contact sheet, at most 128 pixels an image."""
        save_picture(contact_sheet(self.images, tile=min(128, max(self.images.shape[-2:]))), path)
