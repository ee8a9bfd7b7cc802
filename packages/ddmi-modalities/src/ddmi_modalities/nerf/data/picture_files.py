"""The picture files of one scene: pixels on white, and where the object is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from ddmi_modalities.files.pixels import open_picture
from ddmi_modalities.nerf.items import mask_of_white

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def read_pictures(
    files: Sequence[Path],
) -> tuple[UInt8[np.ndarray, "view rows columns 3"], Bool[np.ndarray, "view rows columns"]]:
    """All pictures and masks: alpha of at least a half, or what is not white where no file has alpha.

    Raises ValueError that names the file that cannot be decoded to its end, or differs in size from the first.
    """
    images, masks = zip(*map(_read, files), strict=True)
    for file, image in zip(files, images, strict=True):
        if image.shape != images[0].shape:
            raise ValueError(
                f"{file}: has {image.shape[0]} x {image.shape[1]} pixels and {files[0].name} has "
                f"{images[0].shape[0]} x {images[0].shape[1]}; bring all views of a scene to one size"
            )
    return np.stack(images), np.stack(masks)


def _read(file: Path) -> tuple[UInt8[np.ndarray, "rows columns 3"], Bool[np.ndarray, "rows columns"]]:
    pixels = np.asarray(open_picture(file))
    with Image.open(file) as opened:
        if opened.has_transparency_data:
            alpha = np.asarray(opened.convert("RGBA"))[..., 3]
            if alpha.min() < 255:  # an opaque alpha channel says nothing
                return pixels, alpha >= 128
    return pixels, mask_of_white(pixels)
