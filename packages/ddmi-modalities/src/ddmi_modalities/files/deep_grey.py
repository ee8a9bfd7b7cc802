"""Grey pictures of more than 8 bits: what their numbers mean, by the format that holds them."""

from __future__ import annotations

import numpy as np
from PIL import Image

BITS, PHOTOMETRIC, SAMPLE_FORMAT = 258, 262, 339
"""Tags of TIFF 6.0."""
WHITE_IS_ZERO, UNSIGNED = 0, 1


def check_samples(file: Image.Image) -> None:
    """ValueError where a TIFF's numbers are signed, whose black and white nobody knows."""
    formats = {*(_tag(file, SAMPLE_FORMAT) or ())}
    if formats and formats != {UNSIGNED} and file.mode != "F":
        raise ValueError("its numbers are signed, and what is black is not said; convert it to unsigned 8 or 16 bits")


def sixteen_bits(file: Image.Image, picture: Image.Image) -> Image.Image:
    """A grey picture (mode I;16) from 0, black, to 65535, white.

    Args:
        file: As opened, which knows the format and its tags.
        picture: Its pixels in one of Pillow's modes I and I;16.

    Raises:
        ValueError: It is not known which number is white.
    """
    values = np.asarray(picture)
    white = _white(file)
    if white is None:
        raise ValueError(f"the range of its grey is not known ({file.format}, {picture.mode}); convert it to 8 bits")
    if white > 2**16 - 1:
        values = values.astype(np.int32).view(np.uint32)  # Pillow keeps the bits of unsigned numbers in signed ones
    scaled = values.astype(np.float64).clip(0, white) * (65535 / white)
    if (_tag(file, PHOTOMETRIC) or (1,))[0] == WHITE_IS_ZERO:
        scaled = 65535 - scaled
    return Image.fromarray(scaled.round().astype(np.uint16))


def _white(file: Image.Image) -> int | None:
    """The number that is white: all bits set, where the format says how many there are."""
    if file.format in ("PNG", "PPM"):  # Pillow scales the latter
        return 65535
    bits = _tag(file, BITS)
    return 2 ** int(bits[0]) - 1 if bits else None


def _tag(file: Image.Image, number: int) -> tuple[int, ...] | None:
    """The numbers of a TIFF's tag; None where there is none, or the file is no TIFF."""
    found = getattr(file, "tag_v2", {}).get(number)
    return None if found is None else found if isinstance(found, tuple) else (found,)
