"""Pixels between files (uint8, any mode) and models (float32 RGB in [-1, 1])."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from ddmi_modalities.files.colour import to_srgb
from ddmi_modalities.files.deep_grey import check_samples, sixteen_bits
from ddmi_modalities.files.kinds import PICTURES
from ddmi_modalities.files.readable import Readable

LARGE = 2**24
"""Pixels from which pictures are decoded one at a time, whatever the number of threads: each takes 20 bytes a pixel."""
_ONE_AT_A_TIME = threading.Lock()


def to_float(pixels: UInt8[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """[0, 255] to [-1, 1]: `v / 127.5 - 1`."""
    return pixels.float() / 127.5 - 1


def to_bytes(values: Float[Tensor, "*shape"]) -> UInt8[Tensor, "*shape"]:
    """[-1, 1] to [0, 255], rounded to the nearest and clamped; the inverse of `to_float`.

    Raises ValueError for NaN, which would become black without a word.
    """
    if values.isnan().any():
        raise ValueError(
            f"pixels: {int(values.isnan().sum())} of {values.numel()} values are NaN; a model gives such in too low a "
            "precision, or with weights that are not finite"
        )
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


def open_picture(path: Readable) -> Image.Image:
    """A file as an upright 8-bit sRGB picture, on white where it is transparent; see `open_cutout`."""
    return open_cutout(path)[0]


def open_cutout(
    path: Readable, shaped: tuple[int, int] | None = None
) -> tuple[Image.Image, UInt8[np.ndarray, "rows columns"] | None]:
    """A file as an 8-bit sRGB picture on white, and its opacity from 0 to 255; None where it has none.

    Colours are converted by the profile in the file, grey of more than 8 bits is scaled (Pillow's own conversion would
    clip it), and the picture is rotated as its EXIF orientation says.

    Args:
        path: The file, or a part of one.
        shaped: Columns and rows that somebody else says it has: it stays as it is stored where only that fits.

    Raises:
        ValueError: It cannot be decoded to the last byte, or it is not known which colours its numbers are; names it.
    """
    with _opened(path) as file:
        picture, alpha = _parts(file, _turned(file, shaped))
        gamma = None if "srgb" in file.info else file.info.get("gamma")
        rgb = to_srgb(picture, file.info.get("icc_profile"), gamma, name=str(path))
        if alpha is None:
            return rgb, None
        white = Image.new("RGB", rgb.size, "white")
        return Image.composite(rgb, white, alpha), np.asarray(alpha)


def open_mask(path: Readable, shaped: tuple[int, int] | None = None) -> Bool[np.ndarray, "rows columns"]:
    """Where a picture is at least half white, on black where it is transparent; otherwise as `open_cutout`."""
    with _opened(path) as file:
        picture, alpha = _parts(file, _turned(file, shaped))
        grey = to_srgb(picture, None).convert("L")
        if alpha is not None:
            grey = Image.composite(grey, Image.new("L", grey.size, 0), alpha)
        return np.asarray(grey) >= 128


@contextmanager
def _opened(path: Readable) -> Iterator[Image.Image]:
    """A picture that was decoded; what goes wrong with it is a ValueError that names the file."""
    try:
        with (
            path.open("rb") as stream,
            Image.open(stream) as file,
            _ONE_AT_A_TIME if file.width * file.height > LARGE else nullcontext(),
        ):
            deep = any("16" in str(tile[3]) for tile in file.tile)
            # load() decodes everything: a truncated file fails here and not in the middle of a training run.
            file.load()
            if deep and file.mode == "RGB" and "transparency" in file.info:
                raise ValueError("one of its 16-bit colours is transparent; convert that to an alpha channel")
            yield file
    except MemoryError:
        raise
    except Exception as error:  # Pillow's plug-ins raise nearly anything on damaged files
        reason: object = error
        if isinstance(error, UnidentifiedImageError):
            remedy = PICTURES.unread.get(path.suffix.lower())
            reason = "no image format that Pillow knows" + (f"; {remedy}" if remedy else "")
        elif isinstance(error, OSError) and error.strerror:
            reason = error.strerror
        raise ValueError(f"cannot read the image {str(path)!r}: {reason}") from error


def _turned(file: Image.Image, shaped: tuple[int, int] | None) -> Image.Image:
    """As its EXIF orientation says, unless only the stored pixels have the columns and rows that are expected."""
    upright = ImageOps.exif_transpose(file)
    return file if shaped not in (None, upright.size) and shaped == file.size else upright


def _parts(file: Image.Image, picture: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Colours, in a mode that `to_srgb` takes, and opacity where there is any."""
    check_samples(file)
    if picture.mode == "F":
        raise ValueError("floating-point pixels have no known range; convert it to 8 or 16 bits")
    if picture.mode.startswith("I"):  # "I" is what older Pillows say for a 16-bit PNG
        hidden = picture.info.get("transparency")
        alpha = (
            None if hidden is None else Image.fromarray(np.where(np.asarray(picture) == hidden, 0, 255).astype("u1"))
        )
        return sixteen_bits(file, picture), alpha
    if picture.has_transparency_data:
        colours = picture.convert("LA" if picture.mode in ("L", "LA", "La") else "RGBA")
        return colours.convert(colours.mode[:-1]), colours.getchannel("A")
    if picture.mode in ("1", "P", "PA", "RGBX", "LA"):
        picture = picture.convert("L" if picture.mode in ("1", "LA") else "RGB")
    return picture, None


def square_pixels(picture: Image.Image, aspect: float) -> Image.Image:
    """A picture whose pixels are `aspect` times as wide as high, with square ones; enlarged, never reduced."""
    if aspect == 1:
        return picture
    columns, rows = (picture.width * aspect, picture.height) if aspect > 1 else (picture.width, picture.height / aspect)
    return picture.resize((max(1, round(columns)), max(1, round(rows))), Image.Resampling.LANCZOS)


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
