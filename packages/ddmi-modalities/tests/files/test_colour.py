"""Colours of files come out as sRGB, whatever profile they carry."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from ddmi_modalities.files.pixels import open_cutout, open_picture

ADOBE_RGB = {
    b"rXYZ": (0.60974, 0.31111, 0.01947),
    b"gXYZ": (0.20528, 0.62567, 0.06087),
    b"bXYZ": (0.14919, 0.06322, 0.74457),
}


def profile(primaries: dict[bytes, tuple[float, ...]] | None = None, gamma: float | None = None) -> bytes:
    """LittleCMS's sRGB with other primaries, or a gamma of its own in each channel."""
    content = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    (count,) = struct.unpack(">I", content[128:132])
    for place in range(132, 132 + 12 * count, 12):
        tag, start, _ = struct.unpack(">4sII", content[place : place + 12])
        if primaries and tag in primaries:
            content[start + 8 : start + 20] = struct.pack(">iii", *(round(65536 * v) for v in primaries[tag]))
        if gamma and tag in (b"rTRC", b"gTRC", b"bTRC"):  # a curve of one number: an exponent in 8.8 fixed point
            content[start : start + 14] = struct.pack(">4sIIH", b"curv", 0, 1, round(256 * gamma))
            content[place + 8 : place + 12] = struct.pack(">I", 14)
    return bytes(content)


def grey_profile(gamma: float) -> bytes:
    """A monitor's grey by hand: header, white point and curve."""
    tags = [
        (b"desc", b"desc" + bytes(4) + struct.pack(">I", 5) + b"grey\0" + bytes(78)),
        (b"wtpt", b"XYZ " + bytes(4) + struct.pack(">iii", 63190, 65536, 54061)),
        (b"kTRC", b"curv" + struct.pack(">IIH", 0, 1, round(256 * gamma)) + bytes(2)),
        (b"cprt", b"text" + bytes(4) + b"none\0\0\0\0"),
    ]
    start, table, body = 128 + 4 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, content in tags:
        content += bytes(-len(content) % 4)
        table += struct.pack(">4sII", name, start + len(body), len(content))
        body += content
    head = bytearray(128)
    head[0:4], head[8:12], head[12:24] = struct.pack(">I", start + len(body)), bytes([2, 0x40, 0, 0]), b"mntrGRAYXYZ "
    head[36:40], head[68:80] = b"acsp", struct.pack(">iii", 63190, 65536, 54061)
    return bytes(head) + table + body


def by_littlecms(picture: Image.Image, icc: bytes) -> np.ndarray:
    shown = ImageCms.profileToProfile(
        picture, ImageCms.ImageCmsProfile(io.BytesIO(icc)), ImageCms.createProfile("sRGB"), outputMode="RGB"
    )  # type: ignore[arg-type]
    return np.asarray(shown).astype(int)


def linear_to_srgb(light: np.ndarray) -> np.ndarray:
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize(
    ("ending", "options"), [("png", {}), ("jpg", {"quality": 100}), ("tif", {}), ("webp", {"lossless": True})]
)
def test_adobe_rgb_in_every_format(tmp_path: Path, ending: str, options: dict[str, object]) -> None:
    picture, icc = Image.new("RGB", (16, 16), (60, 180, 90)), profile(ADOBE_RGB, gamma=2.2)
    picture.save(tmp_path / f"a.{ending}", icc_profile=icc, **options)
    read = np.asarray(open_picture(tmp_path / f"a.{ending}")).astype(int)
    assert np.abs(read - by_littlecms(picture, icc)).max() <= 4
    assert read[0, 0, 0] < 10, "a green that sRGB cannot show as such"


def test_linear_light(tmp_path: Path) -> None:
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    picture = Image.fromarray(np.repeat(levels[None, :, None], 3, axis=2))
    picture.save(tmp_path / "a.png", icc_profile=profile(gamma=1.0))
    read = np.asarray(open_picture(tmp_path / "a.png"))[0, :, 0]
    assert np.abs(read - linear_to_srgb(levels / 255)).max() <= 1.5


def test_a_png_may_say_its_gamma(tmp_path: Path) -> None:
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(levels[None]).save(buffer, "PNG")
    content = buffer.getvalue()
    chunk = b"gAMA" + struct.pack(">I", 100000)
    import zlib

    at = content.index(b"IDAT") - 4
    marked = content[:at] + struct.pack(">I", 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + content[at:]
    (tmp_path / "a.png").write_bytes(marked)
    read = np.asarray(open_picture(tmp_path / "a.png"))[0, :, 0]
    assert np.abs(read - linear_to_srgb(levels / 255)).max() <= 0.5


@pytest.mark.parametrize("deep", [False, True])
def test_grey_with_a_profile_of_its_own(tmp_path: Path, deep: bool) -> None:
    levels = np.arange(0, 256, 15)
    values = (levels * 257).astype(np.uint16) if deep else levels.astype(np.uint8)
    Image.fromarray(values[None]).save(tmp_path / "a.png", icc_profile=grey_profile(1.0))
    read = np.asarray(open_picture(tmp_path / "a.png"))[0]
    assert np.abs(read - linear_to_srgb(levels / 255)[:, None]).max() <= 1.5


def test_alpha_is_no_colour(tmp_path: Path) -> None:
    icc, picture = profile(gamma=1.0), Image.new("RGBA", (4, 4), (55, 55, 55, 51))
    picture.save(tmp_path / "a.png", icc_profile=icc)
    shown, alpha = open_cutout(tmp_path / "a.png")
    assert alpha is not None
    assert np.unique(alpha).tolist() == [51]
    assert abs(shown.getpixel((0, 0))[0] - (0.2 * linear_to_srgb(np.array(55 / 255)) + 0.8 * 255)) <= 1.5  # type: ignore[index, operator]


def test_a_palette_in_another_space(tmp_path: Path) -> None:
    icc, picture = profile(ADOBE_RGB, gamma=2.2), Image.new("RGB", (4, 4), (60, 180, 90))
    picture.quantize(4).save(tmp_path / "a.png", icc_profile=icc)
    assert np.abs(np.asarray(open_picture(tmp_path / "a.png")) - by_littlecms(picture, icc)).max() <= 3


def test_srgb_by_its_name_stays_as_it_is(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    Image.fromarray(colours).save(tmp_path / "a.png", icc_profile=profile())
    assert np.array_equal(np.asarray(open_picture(tmp_path / "a.png")), colours)


@pytest.mark.parametrize("icc", [b"no profile", grey_profile(1.0), profile()[:300]])
def test_a_profile_that_cannot_be_used_is_said(tmp_path: Path, said: list[str], icc: bytes) -> None:
    icc += bytes(tmp_path.name, "ascii")  # what was said once is not said again
    Image.new("RGB", (4, 4), (60, 180, 90)).save(tmp_path / "a.png", icc_profile=icc)
    assert open_picture(tmp_path / "a.png").getpixel((0, 0)) == (60, 180, 90)
    assert any("a.png: its colour profile cannot be used" in one and "taken as sRGB" in one for one in said)
