"""The picture files of one scene: pixels on white, and where the object is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8

from ddmi_modalities.files.kinds import PICTURES
from ddmi_modalities.files.pixels import open_cutout, open_mask
from ddmi_modalities.nerf.items import mask_of_white

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", *sorted(PICTURES.read - {".png", ".jpg", ".jpeg", ".webp"}))
"""How a picture's file may end whose name lacks that, the likeliest first."""


def read_pictures(
    files: Sequence[Path], masks: Sequence[Path | None] = (), *, shaped: tuple[int, int] | None = None
) -> tuple[UInt8[np.ndarray, "view rows columns 3"], Bool[np.ndarray, "view rows columns"]]:
    """All pictures, on white, and masks.

    A mask is where its file is at least half white, and the picture is white elsewhere; without a file alpha of at
    least a half, or what is not white where there is no alpha.

    Args:
        files: The pictures.
        masks: A file or None for each; empty: none has any.
        shaped: Columns and rows for which the cameras' numbers are; see `open_cutout`.

    Raises:
        ValueError: One cannot be decoded to its end, or differs in size from the first; names it.
    """
    both = [_read(*pair, shaped) for pair in zip(files, masks or [None] * len(files), strict=True)]
    first = both[0][0].shape
    for file, (image, _) in zip(files, both, strict=True):
        if image.shape != first:
            raise ValueError(
                f"{file}: has {image.shape[0]} x {image.shape[1]} pixels and {files[0].name} has {first[0]} x "
                f"{first[1]}; bring all views of a scene to one size"
            )
    return np.stack([image for image, _ in both]), np.stack([mask for _, mask in both])


def _read(
    file: Path, mask_file: Path | None, shaped: tuple[int, int] | None
) -> tuple[UInt8[np.ndarray, "rows columns 3"], Bool[np.ndarray, "rows columns"]]:
    picture, alpha = open_cutout(file, shaped)
    pixels = np.asarray(picture)
    if mask_file is not None:
        mask = open_mask(mask_file, shaped)
        if mask.shape != pixels.shape[:2]:
            raise ValueError(
                f"{mask_file}: has {mask.shape[0]} x {mask.shape[1]} pixels and {file.name} has {pixels.shape[0]} x "
                f"{pixels.shape[1]}; bring the mask to the picture's size"
            )
        if alpha is not None:
            mask = mask & (alpha >= 128)
        return np.where(mask[..., None], pixels, np.uint8(255)), mask
    if alpha is not None and alpha.min() < 255:  # an opaque alpha channel says nothing
        return pixels, alpha >= 128
    return pixels, mask_of_white(pixels)
