"""Files of every mode come out right, damaged ones are named."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ddmi_modalities.files import pixels
from ddmi_modalities.files.pixels import centre_square, open_picture, resize_square, to_bytes, to_float, to_tensor


def saved(picture: Image.Image, path: Path, **options: object) -> np.ndarray:
    picture.save(path, **options)
    return np.asarray(open_picture(path))


def test_bytes_survive_the_way_to_the_model_and_back() -> None:
    values = torch.arange(256, dtype=torch.uint8)
    assert to_float(values).aminmax() == (-1, 1)
    assert torch.equal(to_bytes(to_float(values)), values)
    assert to_bytes(torch.tensor([-3.0, 3.0, 0.0])).tolist() == [0, 255, 128]


def test_grey_16_bit_is_scaled_not_clipped(tmp_path: Path) -> None:
    grey = np.array([[0, 257 * 10], [257 * 128, 65535]], np.uint16)
    read = saved(Image.fromarray(grey), tmp_path / "grey.png")
    assert read[..., 0].tolist() == [[0, 10], [128, 255]]
    assert read.shape == (2, 2, 3)


def test_transparency_is_on_white(tmp_path: Path) -> None:
    rgba = np.array([[[255, 0, 0, 255], [255, 0, 0, 0], [0, 0, 0, 51]]], np.uint8)
    assert saved(Image.fromarray(rgba), tmp_path / "a.png").tolist() == [
        [[255, 0, 0], [255, 255, 255], [204, 204, 204]]
    ]


def test_palette_with_and_without_transparency(tmp_path: Path) -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 200, 100, 50])
    palette.putpixel((1, 0), 1)
    assert saved(palette, tmp_path / "p.png").tolist() == [[[10, 20, 30], [200, 100, 50]]]
    assert saved(palette, tmp_path / "t.png", transparency=0).tolist() == [[[255, 255, 255], [200, 100, 50]]]


@pytest.mark.parametrize(("mode", "colour", "wanted"), [("1", 1, 255), ("L", 77, 77), ("LA", (77, 0), 255)])
def test_grey_modes(tmp_path: Path, mode: str, colour: object, wanted: int) -> None:
    assert saved(Image.new(mode, (1, 1), colour), tmp_path / "grey.png").tolist() == [[[wanted] * 3]]  # type: ignore[arg-type]


def test_cmyk_is_converted(tmp_path: Path) -> None:
    red = saved(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), tmp_path / "c.jpg")
    assert red[4, 4, 0] > 240
    assert red[4, 4, 1] < 15


def test_exif_orientation_6_stands_upright(tmp_path: Path) -> None:
    stored = np.zeros((2, 4, 3), np.uint8)
    stored[:, :2] = 255  # orientation 6: shown after a quarter turn clockwise, so the stored left is the top
    exif = Image.Exif()
    exif[0x0112] = 6
    read = saved(Image.fromarray(stored), tmp_path / "turned.png", exif=exif)
    assert read.shape == (4, 2, 3)
    assert read[:2].min() == 255
    assert read[2:].max() == 0


def test_float_pixels_are_refused(tmp_path: Path) -> None:
    Image.new("F", (2, 2), 0.5).save(tmp_path / "f.tiff")
    with pytest.raises(ValueError, match=r"f.tiff.*no known range"):
        open_picture(tmp_path / "f.tiff")


def test_damaged_files_are_named(tmp_path: Path) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    for name in ("a.png", "a.jpg"):
        noise.save(tmp_path / name)
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(ValueError, match=rf"cannot read the image '.*{name}'"):
            open_picture(tmp_path / name)
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(ValueError, match="no image format that Pillow knows"):
        open_picture(tmp_path / "text.png")
    with pytest.raises(ValueError, match=r"missing\.png"):
        open_picture(tmp_path / "missing.png")


def test_square_and_resize() -> None:
    wide = Image.new("RGB", (30, 10), "red")
    wide.paste("blue", (10, 0, 20, 10))
    square = centre_square(wide)
    assert square.size == (10, 10)
    assert to_tensor(square).float().mean((1, 2)).tolist() == [0, 0, 255]
    assert resize_square(square, 10) is square
    # stripes finer than the new pixels average out: a resize without antialiasing would pick black or white
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    small = np.asarray(resize_square(Image.fromarray(stripes), 8), np.float32)
    assert np.abs(small[:, 1:-1] - 127.5).max() < 3
    assert resize_square(Image.new("RGB", (1, 1), "red"), 4).size == (4, 4)


def test_large_pictures_are_decoded_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for size in (32, 64):
        Image.new("RGB", (size, size)).save(tmp_path / f"{size}.png")
    monkeypatch.setattr(pixels, "LARGE", 2000)
    turned, at_once, most = pixels._turned, [0], {32: 0, 64: 0}

    def watched(file: Image.Image, shaped: tuple[int, int] | None) -> Image.Image:
        at_once[0] += 1
        most[file.width] = max(most[file.width], at_once[0])
        time.sleep(0.02)
        at_once[0] -= 1
        return turned(file, shaped)

    monkeypatch.setattr(pixels, "_turned", watched)
    for size in (32, 64):
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(open_picture, [tmp_path / f"{size}.png"] * 8))
    assert most[64] == 1
    assert most[32] > 1


def test_what_cannot_be_read_names_what_helps(tmp_path: Path) -> None:
    (tmp_path / "a.psd").write_bytes(b"8BIT")
    for name, reason in (
        ("a.psd", "Pillow knows; convert them to PNG"),
        ("none.png", "No such file"),
        ("", "Is a directory"),
    ):
        with pytest.raises(ValueError, match=rf"cannot read the image '{tmp_path / name}': .*{reason}") as error:
            open_picture(tmp_path / name)
        assert "Errno" not in str(error.value)
