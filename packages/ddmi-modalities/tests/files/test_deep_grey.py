"""Grey of more than 8 bits is what its format says, or is refused."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ddmi_modalities.files.pixels import open_cutout, open_picture

WHITE_IS_ZERO, BLACK_IS_ZERO, UNSIGNED, SIGNED = 0, 1, 1, 2


def tiff(file: Path, values: np.ndarray, bits: int, photometric: int = BLACK_IS_ZERO, form: int = UNSIGNED) -> Path:
    """One row of a baseline TIFF, written by hand."""
    data = values.tobytes()
    tags = {256: len(values), 257: 1, 258: bits, 259: 1, 262: photometric, 273: 8, 277: 1, 278: 1, 279: len(data)}
    tags[339] = form
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    head = struct.pack("<2sHI", b"II", 42, 8 + len(data) + len(data) % 2)
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    file.write_bytes(head + data + bytes(len(data) % 2) + directory)
    return file


def grey(file: Path) -> list[int]:
    return np.asarray(open_picture(file))[0, :, 0].tolist()


@pytest.mark.parametrize(("kind", "bits"), [("<u2", 16), ("<u4", 32)])
def test_a_ramp_is_a_ramp(tmp_path: Path, kind: str, bits: int) -> None:
    ramp = np.linspace(0, 2**bits - 1, 52).astype(kind)
    wanted = [5 * step for step in range(52)]
    assert np.abs(np.array(grey(tiff(tmp_path / "a.tif", ramp, bits))) - wanted).max() <= 1


def test_white_may_be_zero(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 52).astype("<u2")
    plain, turned = (grey(tiff(tmp_path / f"{one}.tif", ramp, 16, one)) for one in (BLACK_IS_ZERO, WHITE_IS_ZERO))
    assert np.abs(np.array(plain) + turned - 255).max() <= 1
    assert turned[0] == 255


def test_twelve_bits_are_not_taken_for_sixteen(tmp_path: Path) -> None:
    packed = bytes([0x00, 0x0F, 0xFF, 0x80, 0x04, 0x00])  # 0x000, 0xfff, 0x800, 0x400
    file = tiff(tmp_path / "a.tif", np.frombuffer(packed, np.uint8), 12)
    content = bytearray(file.read_bytes())
    at = content.index(struct.pack("<HHII", 256, 4, 1, 6))
    content[at : at + 12] = struct.pack("<HHII", 256, 4, 1, 4)
    file.write_bytes(content)
    assert grey(file) == [0, 255, 127, 63]


@pytest.mark.parametrize(("kind", "bits"), [("<i1", 8), ("<i2", 16), ("<i4", 32)])
def test_signed_numbers_are_refused(tmp_path: Path, kind: str, bits: int) -> None:
    file = tiff(tmp_path / "a.tif", np.linspace(-100, 100, 16).astype(kind), bits, form=SIGNED)
    with pytest.raises(ValueError, match=r"a\.tif': its numbers are signed, .*; convert it to unsigned"):
        open_picture(file)


def test_one_grey_may_be_transparent(tmp_path: Path) -> None:
    values = np.array([[0, 1000, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png", transparency=1000)
    picture, alpha = open_cutout(tmp_path / "a.png")
    assert alpha is not None
    assert alpha.tolist() == [[255, 0, 255]]
    assert np.asarray(picture)[0, :, 0].tolist() == [0, 255, 255]


def test_other_formats_are_refused_where_white_is_not_known(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 4095, np.uint16)).save(tmp_path / "a.jp2")
    with pytest.raises(ValueError, match=r"a\.jp2': the range of its grey is not known"):
        open_picture(tmp_path / "a.jp2")
