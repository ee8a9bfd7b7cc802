"""Pixels between files (uint8, any mode) and models (float32 RGB in [-1, 1])."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor


def to_float(pixels: UInt8[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """[0, 255] to [-1, 1]: `v / 127.5 - 1`."""
    return pixels.float() / 127.5 - 1


def to_bytes(values: Float[Tensor, "*shape"]) -> UInt8[Tensor, "*shape"]:
    """[-1, 1] to [0, 255], rounded to the nearest and clamped; the inverse of `to_float`."""
    return ((values.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def to_tensor(picture: Image.Image) -> UInt8[Tensor, "3 rows columns"]:
    """An RGB picture as a tensor."""
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous()


def to_picture(pixels: UInt8[Tensor, "3 rows columns"]) -> Image.Image:
    """A tensor as an RGB picture."""
    return Image.fromarray(pixels.permute(1, 2, 0).contiguous().cpu().numpy())


def to_png(pixels: UInt8[Tensor, "3 rows columns"]) -> bytes:
    """The content of a PNG file with these pixels and nothing else: no colour profile, no place where it was taken."""
    buffer = io.BytesIO()
    to_picture(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def open_picture(path: Path) -> Image.Image:
    """A file as an upright 8-bit RGB picture, on white where it is transparent.

    Rotated as its EXIF orientation says; 16-bit grey is scaled to 8 bits (Pillow's own conversion would clip it).
    Raises ValueError that names the file when it cannot be decoded to the last byte.
    """
    try:
        with Image.open(path) as file:
            # load() decodes everything: a truncated file fails here and not in the middle of a training run.
            file.load()
            picture = ImageOps.exif_transpose(file)
            if picture.mode.startswith("I"):  # 16 bits; "I" is what older Pillows say for a 16-bit PNG
                picture = Image.fromarray((np.asarray(picture).astype(np.int64) // 257).clip(0, 255).astype(np.uint8))
            elif picture.mode == "F":
                raise ValueError("floating-point pixels have no known range; convert it to 8 or 16 bits")
            if picture.has_transparency_data:
                picture = picture.convert("RGBA")
                white = Image.new("RGBA", picture.size, "white")
                picture = Image.alpha_composite(white, picture)
            return picture.convert("RGB")
    except Exception as error:  # Pillow's plug-ins raise nearly anything on damaged files
        reason = "no image format that Pillow knows" if isinstance(error, UnidentifiedImageError) else error
        raise ValueError(f"cannot read the image {str(path)!r}: {reason}") from error


def centre_square(picture: Image.Image) -> Image.Image:
    """The largest centred square."""
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    return picture.crop((left, top, left + side, top + side))


def resize_square(picture: Image.Image, size: int) -> Image.Image:
    """A square picture at another size, by Pillow's Lanczos filter.

    Pillow and not kornia: its filter's support grows with the reduction (exact antialiasing, where kornia blurs by a
    Gaussian and then interpolates), it works on bytes without torch's threads, and the same filter has always been the
    usual one for preparing FFHQ and AFHQ.
    """
    if picture.size == (size, size):
        return picture
    return picture.resize((size, size), Image.Resampling.LANCZOS)
