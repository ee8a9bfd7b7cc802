"""MNIST's files: pictures, splits, names of classes, damaged files, packages of Debian."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from ddmi_modalities.image import ImageItem, ImageModality
from ddmi_modalities.image.data import idx
from ddmi_modalities.image.data.idx import IdxPictures, holds_idx


def packed(array: np.ndarray) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes() + array.astype(np.uint8).tobytes()


def files(side: int = 28) -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    found = {}
    for prefix, count in (("train", 5), ("t10k", 3)):
        found[f"{prefix}-images-idx3-ubyte"] = packed(rng.integers(0, 256, (count, side, 28)))
        found[f"{prefix}-labels-idx1-ubyte"] = packed(np.arange(count))
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Packed for training, plain and called otherwise where held out."""
    below = tmp_path / "data" / "raw"
    below.mkdir(parents=True)
    for name, content in files().items():
        if name.startswith("train"):
            (below / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (below / name.replace("-idx", ".idx")).write_bytes(content)
    return tmp_path / "data"


def test_pictures_and_classes(folder: Path) -> None:
    data = IdxPictures(folder, "train", names=("zero", "one", "two", "three", "four"))
    assert len(data) == 5
    item = data[3]
    assert isinstance(item, ImageItem)
    assert (item.name, item.caption) == ("train/00003", "three")
    own = np.frombuffer(files()["train-images-idx3-ubyte"], np.uint8, offset=16).reshape(5, 28, 28)[3]
    assert all(np.array_equal(channel, own) for channel in item.pixels(28).numpy())
    assert item.pixels(14).shape == (3, 14, 14)
    assert torch.equal(item.window(28, 4, 6, 8), item.pixels(28)[:, 4:12, 6:14])
    assert [IdxPictures(folder, "test")[i].caption for i in range(3)] == ["0", "1", "2"]
    with pytest.raises(IndexError):
        data[5]
    assert "28 x 28 pixels in IDX files" in data.describe()


def test_the_modality_finds_them_and_says_when_they_are_others(folder: Path) -> None:
    modality = ImageModality(source=str(folder), size=28, target_sizes=(28,), labels=("a", "b", "c", "d", "e"))
    held_out = modality.dataset("test")
    assert [modality.captions(held_out[i]) for i in range(3)] == [("a",), ("b",), ("c",)]
    before = IdxPictures(folder, "test").digest()
    file = folder / "raw" / "t10k-labels.idx1-ubyte"
    file.write_bytes(packed(np.array([2, 2, 2])))
    assert IdxPictures(folder, "test")[0].caption == "2", "files are read anew when they have changed"
    assert IdxPictures(folder, "test").digest() != before


def test_too_few_names(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"names class 4, and 2 have names; name all by --modality\.labels"):
        IdxPictures(folder, "train", names=("zero", "one"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train-images-idx3-ubyte.gz", gzip.compress(files()["train-images-idx3-ubyte"])[:-9], "damaged gzip file"),
        ("train-images-idx3-ubyte.gz", b"<html>", "no IDX file of unsigned bytes with 3 axes"),
        ("train-images-idx3-ubyte.gz", files()["train-images-idx3-ubyte"][:-1], "bytes of data, wanted"),
        ("train-images-idx3-ubyte.gz", files(27)["train-images-idx3-ubyte"], "27 x 28 pixels; wanted square ones"),
        ("train-labels-idx1-ubyte.gz", packed(np.arange(4)), "5 pictures and 4 labels in 'train'"),
        ("train-labels-idx1-ubyte.gz", packed(np.arange(0)), "and some; fetch it again"),
        ("train-labels-idx1-ubyte.gz", None, r"has no train-labels-idx1-ubyte\(\.gz\); put all four files"),
    ],
)
def test_damaged_files_are_named(folder: Path, name: str, content: bytes | None, message: str) -> None:
    file = folder / "raw" / name
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        IdxPictures(folder, "train")
    assert str(folder) in str(caught.value)


def test_a_package_of_debian(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "dataset.deb"
    package.touch()

    def installed(path: Path, wanted: idx.Callable[[str], bool]) -> Mapping[str, bytes]:
        assert path == package
        return {f"usr/share/{name}.gz": gzip.compress(c) for name, c in files().items() if wanted(f"usr/{name}.gz")}

    monkeypatch.setattr(idx, "deb_files", installed)
    assert holds_idx(package)
    assert len(IdxPictures(package, "test")) == 3
    monkeypatch.setattr(idx, "deb_files", lambda path, wanted: {})
    package.write_bytes(b"another")
    with pytest.raises(ValueError, match=r"installs no t10k-images-idx3-ubyte\(\.gz\); such a package is"):
        IdxPictures(package, "test")


def test_labels_of_what_has_no_numbers(tmp_path: Path) -> None:
    for source in ("openmoji", str(tmp_path)):
        with pytest.raises(ValueError, match=r"labels name the classes of MNIST's files, and .* holds none; give the"):
            ImageModality(source=source, labels=("a", "b")).dataset("train")


def test_other_folders_hold_none(tmp_path: Path) -> None:
    (tmp_path / "picture.png").touch()
    assert not holds_idx(tmp_path)
    assert not holds_idx(tmp_path / "nothing")
