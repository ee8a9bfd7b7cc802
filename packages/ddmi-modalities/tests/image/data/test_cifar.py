"""CIFAR-10's binary files: records, splits, damaged files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ddmi_modalities.image import ImageItem, ImageModality
from ddmi_modalities.image.data.cifar import BATCHES, RECORD, CifarBatches, batches_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three records a file; pixels are random."""
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number, name in enumerate(file for files in BATCHES.values() for file in files):
        records = rng.integers(0, 256, (3, RECORD), np.uint8)
        records[:, 0] = number
        records.tofile(folder / name)
    return folder


def test_records_are_labelled_pictures(folder: Path) -> None:
    data = CifarBatches(folder.parent, "train")
    assert len(data) == 15
    item = data[4]
    assert isinstance(item, ImageItem)
    assert (item.name, item.caption) == ("data_batch_2/00001", "automobile")
    own = np.fromfile(folder / "data_batch_2.bin", np.uint8)[RECORD + 1 : 2 * RECORD]
    pixels = item.pixels(32)
    assert pixels[1, 2, 3] == own[1024 + 2 * 32 + 3]  # green plane, row 2, column 3
    assert item.pixels(16).shape == (3, 16, 16)
    assert torch.equal(item.window(32, 4, 6, 8), pixels[:, 4:12, 6:14])
    with pytest.raises(IndexError):
        data[15]


def test_the_modality_finds_them(folder: Path) -> None:
    for source in (folder, folder.parent):
        data = ImageModality(source=str(source)).dataset("test")
        assert [data[i].name for i in range(len(data))] == [f"test_batch/0000{i}" for i in range(3)]
    assert "32 x 32 pixels in 5 CIFAR-10 batches" in CifarBatches(folder, "train").describe()


def test_damaged_and_other_files(folder: Path, tmp_path: Path) -> None:
    assert batches_folder(tmp_path / "nothing") is None
    (folder / "data_batch_3.bin").write_bytes(b"\x01" * 100)
    with pytest.raises(ValueError, match=r"data_batch_3\.bin' has 100 bytes, wanted records of 3073; unpack"):
        CifarBatches(folder, "train")
    (folder / "data_batch_3.bin").unlink()
    with pytest.raises(ValueError, match=r"data_batch_3\.bin' does not exist; unpack cifar-10-binary\.tar\.gz again"):
        CifarBatches(folder, "train")
    (folder / "test_batch.bin").write_bytes(bytes([10]) + bytes(RECORD - 1))
    with pytest.raises(ValueError, match="names class 10 of 10; .* not CIFAR-100"):
        CifarBatches(folder, "test")


def test_pickles_stay_closed(tmp_path: Path) -> None:
    (tmp_path / "data_batch_1").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(ValueError, match="whose pickles may run any code and are not opened here; take the binary"):
        ImageModality(source=str(tmp_path)).dataset("train")
