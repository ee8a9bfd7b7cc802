"""Pixels of a folder's pictures are kept on disk, and are those of the pictures as they are now."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from ddmi_modalities.image import ImageFolder
from ddmi_modalities.image.data import folder as module

SIZES = (16, 24)


@pytest.fixture
def pictures(photographs: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(photographs, tmp_path / "data"))


def _never(*_: Any) -> Any:
    raise AssertionError("decoded again")


def _open(root: Path, cache: Path, **options: Any) -> ImageFolder:
    return ImageFolder(root, "train", cache=cache, **options)


def test_they_are_the_same_and_decoded_once(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, kept = _open(pictures, tmp_path), _open(pictures, tmp_path, sizes=SIZES)
    for mine, other in zip(kept, plain, strict=False):
        for size in (*SIZES, 10):
            assert torch.equal(mine.pixels(size), other.pixels(size))
    assert torch.equal(kept[-1].pixels(24), plain[len(plain) - 1].pixels(24))
    again = pickle.loads(pickle.dumps(_open(pictures, tmp_path, sizes=SIZES)))  # as workers get it
    monkeypatch.setattr(module, "open_picture", _never)
    assert torch.equal(again[3].window(24, 2, 5, 8), kept[3].pixels(24)[:, 2:10, 5:13])
    with pytest.raises(AssertionError, match="decoded again"):
        again[3].pixels(10)


def test_what_is_changed_in_place_stays_out_of_the_file(pictures: Path, tmp_path: Path) -> None:
    kept = _open(pictures, tmp_path, sizes=SIZES)
    before = kept[0].pixels(16).clone()
    kept[0].pixels(16).zero_()
    assert torch.equal(kept[0].pixels(16), before)
    assert torch.equal(_open(pictures, tmp_path, sizes=SIZES)[0].pixels(16), before)


def test_a_changed_picture_is_read_anew_and_old_files_go(pictures: Path, tmp_path: Path) -> None:
    first = _open(pictures, tmp_path, sizes=SIZES)
    first[0].pixels(16)
    before = set((tmp_path / "pictures").glob("*.raw"))
    path = pictures / first.names[0]
    Image.new("RGB", (32, 32), "red").save(path)
    os.utime(path, (1, 1))
    pixels = _open(pictures, tmp_path, sizes=SIZES)[0].pixels(16)
    assert pixels[:, 3, 3].tolist() == [255, 0, 0]
    after = set((tmp_path / "pictures").glob("*.raw"))
    assert len(before) == len(after) == 1
    assert before != after


def test_damaged_rows_are_made_again(pictures: Path, tmp_path: Path) -> None:
    wanted = _open(pictures, tmp_path, sizes=(16,))[2].pixels(16)
    (file,) = (tmp_path / "pictures").glob("*.raw")
    data = bytearray(file.read_bytes())
    data[2 * 3 * 16 * 16 + 7] ^= 255
    file.write_bytes(data)
    assert torch.equal(_open(pictures, tmp_path, sizes=(16,))[2].pixels(16), wanted)


def test_without_room_pictures_are_decoded_each_time(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    count = len(_open(pictures, tmp_path))
    monkeypatch.setattr(module, "free_bytes", lambda _: 4 * count * (3 * 16 * 16 + 4) + 1000)
    kept = _open(pictures, tmp_path, sizes=SIZES)
    assert torch.equal(kept[1].pixels(24), _open(pictures, tmp_path)[1].pixels(24))
    kept[1].pixels(16)
    (file,) = (tmp_path / "pictures").glob("*.raw")
    assert file.name.endswith("-16.raw")
    assert any("pictures of 24 x 24 are decoded anew each time" in line for line in said)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ValueError("the cache cannot be written")])
def test_a_cache_that_cannot_be_used_costs_time_only(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str], error: Exception
) -> None:
    def failing(*_: Any) -> Any:
        raise error

    monkeypatch.setattr("ddmi_modalities.datasets.shared_rows.shared_bytes", failing)
    kept = _open(pictures, tmp_path / str(error), sizes=(16,))
    assert torch.equal(kept[0].pixels(16), _open(pictures, tmp_path)[0].pixels(16))
    assert kept[1].pixels(16).shape == (3, 16, 16)
    assert sum("is made each time" in line for line in said) == 1


def test_pictures_are_hashable_and_equal_however_they_are_kept(pictures: Path, tmp_path: Path) -> None:
    plain, kept = _open(pictures, tmp_path), _open(pictures, tmp_path, sizes=(16,))
    assert {plain[0], kept[0]} == {kept[0]}
