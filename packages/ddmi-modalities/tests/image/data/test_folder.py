"""Folders of pictures: split, damaged files, captions, messages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ddmi_modalities.image import ImageFolder
from ddmi_modalities.image.data.encoded import PictureFile


def test_hash_split_and_pixels(photographs: Path, tmp_path: Path) -> None:
    train, test = (ImageFolder(photographs, split, cache=tmp_path) for split in ("train", "test"))
    assert sorted(train.names + test.names) == [f"{index:02d}.png" for index in range(40)]
    assert 0 < len(test) < len(train)
    item = train[0]
    assert item.pixels(24).shape == (3, 24, 24)
    assert item.pixels(7).shape == (3, 7, 7)
    whole = torch.from_numpy(np.array(Image.open(photographs / item.name))).permute(2, 0, 1)
    assert torch.equal(item.pixels(24), whole[:, :, 4:28])


@pytest.mark.parametrize("held_out", ["test", "val"])
def test_split_folders(photographs: Path, tmp_path: Path, held_out: str) -> None:
    root = tmp_path / "root"
    for name, count in (("train", 3), (held_out, 2)):
        (root / name / "deep").mkdir(parents=True)
        for index in range(count):
            (root / name / "deep" / f"{index}.png").write_bytes((photographs / "00.png").read_bytes())
    assert ImageFolder(root, "train", cache=tmp_path).names == ("deep/0.png", "deep/1.png", "deep/2.png")
    assert len(ImageFolder(root, "test", cache=tmp_path)) == 2


def broken(photographs: Path) -> None:
    whole = (photographs / "00.png").read_bytes()
    (photographs / "cut.png").write_bytes(whole[: len(whole) // 2])
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    noise.save(photographs / "cut.jpg")
    (photographs / "cut.jpg").write_bytes((photographs / "cut.jpg").read_bytes()[:2000])
    Image.new("RGB", (1, 1)).save(photographs / "pixel.png")


def test_unusable_files_are_reported_and_skipped(photographs: Path, tmp_path: Path, said: list[str]) -> None:
    broken(photographs)
    skipped = {}
    for split in ("train", "test"):
        skipped.update(ImageFolder(photographs, split, cache=tmp_path).skipped)  # type: ignore[arg-type]
    assert set(skipped) == {"cut.png", "cut.jpg", "pixel.png"}
    assert "1 pixels on its shorter side, wanted 16" in skipped["pixel.png"]
    assert "truncated" in skipped["cut.jpg"]
    assert all(any(name in message for message in said) for name in skipped)


def test_strict_refuses_them(photographs: Path, tmp_path: Path) -> None:
    broken(photographs)
    messages = []
    for split in ("train", "test"):
        try:
            ImageFolder(photographs, split, strict=True, cache=tmp_path)  # type: ignore[arg-type]
        except ValueError as error:
            messages.append(str(error))
    assert messages
    assert all("cannot be used: " in message and message.endswith("repair or remove them") for message in messages)


def test_checks_are_remembered_until_a_file_changes(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ImageFolder(photographs, "train", cache=tmp_path)
    opened: list[str] = []

    def spy(file: PictureFile) -> int:
        opened.append(file.file.name)
        return 24

    monkeypatch.setattr("ddmi_modalities.image.data.folder._shorter_side", spy)
    names = ImageFolder(photographs, "train", cache=tmp_path).names
    assert opened == []
    Image.new("RGB", (50, 60)).save(photographs / names[0])
    ImageFolder(photographs, "train", cache=tmp_path)
    assert opened == [names[0]]
    (memory,) = (tmp_path / "checked").glob("*.json")
    memory.write_text("{ damaged")
    ImageFolder(photographs, "train", cache=tmp_path)
    assert len(opened) == 1 + len(names)


def test_a_file_that_breaks_later_is_named(photographs: Path, tmp_path: Path) -> None:
    data = ImageFolder(photographs, "train", cache=tmp_path)
    (photographs / data.names[0]).write_bytes(b"gone bad")
    with pytest.raises(ValueError, match=data.names[0]):
        data[0].pixels(8)


def test_captions_from_text_files(photographs: Path, tmp_path: Path) -> None:
    data = ImageFolder(photographs, "train", cache=tmp_path)
    (photographs / data.names[0]).with_suffix(".txt").write_text("a red ramp\nsecond line\n")
    assert data[0].caption == "a red ramp"
    assert data[1].caption is None


def test_messages(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not exist; give the path of a folder of images"):
        ImageFolder(tmp_path / "nowhere", "train", cache=tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ValueError, match=r"no images below .*wanted files that end in"):
        ImageFolder(empty, "train", cache=tmp_path)
    (empty / "a.png").write_text("no image")
    with pytest.raises(ValueError, match="no image for the split 'test'"):
        ImageFolder(empty, "test", cache=tmp_path)
    with pytest.raises(ValueError, match=r"1 of 1 images cannot be used: a.png: .*; repair or remove them"):
        ImageFolder(empty, "train", cache=tmp_path)
    (tmp_path / "file.png").write_text("")
    with pytest.raises(ValueError, match="is a file"):
        ImageFolder(tmp_path / "file.png", "train", cache=tmp_path)


def test_a_cache_that_cannot_be_written_is_no_error(photographs: Path, tmp_path: Path, said: list[str]) -> None:
    (tmp_path / "file").write_text("")
    assert len(ImageFolder(photographs, "train", cache=tmp_path / "file")) > 0
    assert any("cannot remember" in message for message in said)
