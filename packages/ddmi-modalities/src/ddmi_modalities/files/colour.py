"""Colours of picture files to sRGB, by the profile that a file carries (ICC.1), with LittleCMS."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

from ddmi_modalities.said import say_once

IDENTITY = 2
"""Levels: profiles that change no colour by more are sRGB by another name, and rounding would do more than they."""
STANDARD_GAMMA = 0.45455
"""What a PNG's gAMA says of sRGB."""
MODES = {"GRAY": ("L", "I;16"), "RGB ": ("L", "RGB", "I;16"), "CMYK": ("CMYK",), "Lab ": ("LAB",)}
"""Pixels that a profile of a colour space can be about; grey ones in an RGB profile have three equal channels."""


def to_srgb(picture: Image.Image, profile: bytes | None, gamma: float | None = None, *, name: str = "") -> Image.Image:
    """An 8-bit RGB picture of one without transparency (L, RGB, CMYK, LAB, I;16, others as Pillow converts them).

    A profile that is damaged, or is about other pixels, is left aside, as viewers do, and that is said.

    Args:
        picture: The pixels of a file.
        profile: Its ICC profile; None: it is sRGB already, or `gamma` says.
        gamma: Of a PNG's gAMA, where it has neither a profile nor the sRGB chunk: values are light ** gamma.
        name: Of the file, for what is said.
    """
    if profile:
        try:
            return _shown(picture, profile)
        except (OSError, ValueError, ImageCms.PyCMSError) as error:
            say_once(("profile", profile), f"{name}: its colour profile cannot be used ({error}): it is taken as sRGB")
    if picture.mode == "LAB":
        return _shown(picture, ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes())
    rgb = _eight_bits(picture).convert("RGB")
    if gamma is None or abs(gamma / STANDARD_GAMMA - 1) < 0.05:
        return rgb
    light = (np.arange(256) / 255) ** (1 / gamma)
    levels = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)  # IEC 61966-2-1
    return rgb.point((levels * 255).round().astype(int).tolist() * 3)


def _shown(picture: Image.Image, profile: bytes) -> Image.Image:
    space, transform = _transform(profile, picture.mode)
    if space == "RGB ":
        picture = _eight_bits(picture).convert("RGB")
    return picture if transform is None else ImageCms.applyTransform(picture, transform) or picture


def _eight_bits(picture: Image.Image) -> Image.Image:
    if picture.mode != "I;16":
        return picture
    return Image.fromarray((np.asarray(picture).astype(np.uint32) // 257).astype(np.uint8))


@lru_cache(maxsize=64)  # of a camera's thousand photographs all have one
def _transform(profile: bytes, mode: str) -> tuple[str, ImageCms.ImageCmsTransform | None]:
    """The space of a profile, and the way from pixels of this mode to sRGB; None where that changes nothing."""
    space = str(ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile.xcolor_space).ljust(4)
    if mode not in MODES.get(space, ()):
        raise ValueError(f"it is about {space.strip()}, and the pixels are {mode}")
    source = "RGB" if space == "RGB " else mode
    transform = ImageCms.buildTransform(io.BytesIO(profile), ImageCms.createProfile("sRGB"), source, "RGB")
    if source != "RGB":
        return space, transform
    some = np.stack(np.meshgrid(*[np.arange(0, 256, 17, dtype=np.uint8)] * 3), axis=-1).reshape(64, 64, 3)
    shown = np.asarray(ImageCms.applyTransform(Image.fromarray(some), transform))
    return space, transform if np.abs(shown.astype(int) - some).max() > IDENTITY else None
