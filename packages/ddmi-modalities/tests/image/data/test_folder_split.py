"""Which pictures of a folder are held out: folders, lists, the last ones, or a hash."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ddmi_modalities.image.data.folder_split import pictures_of_split


def split(*options: Any, **settings: Any) -> tuple[Path, list[str]]:
    base, pictures = pictures_of_split(*options, **settings)
    return base, list(pictures)


def files(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_classes_in_each_split(tmp_path: Path) -> None:
    root = files(tmp_path, *(f"{split}/{name}/{name}.png" for split in ("train", "val") for name in ("cat", "dog")))
    assert split(root, "train", ("cat",)) == (root / "train", ["cat/cat.png"])
    assert split(root, "test", ("cat", "dog")) == (root / "val", ["cat/cat.png", "dog/dog.png"])
    assert split(root, "test")[1] == ["cat/cat.png", "dog/dog.png"]
    with pytest.raises(ValueError, match="no class 'wild' in .*train', which has the sub-folders: cat, dog; give"):
        pictures_of_split(root, "train", ("wild",))


def test_lists_and_the_last_pictures(tmp_path: Path) -> None:
    root = files(tmp_path, *(f"{i}.jpg" for i in range(12)))
    assert split(root, "test", held_out=3)[1] == ["10.jpg", "11.jpg", "9.jpg"]
    assert len(split(root, "train", held_out=3)[1]) == 9
    (root / "train.txt").write_text("3.jpg\n\n1.jpg\n")
    assert len(split(root, "train", held_out=3)[1]) == 9, "one list alone splits nothing"
    (root / "test.txt").write_text("0.jpg\n")
    assert split(root, "train", held_out=3)[1] == ["1.jpg", "3.jpg"]
    assert split(root, "test", held_out=3)[1] == ["0.jpg"]
    (root / "test.txt").write_text("0.png\n")
    with pytest.raises(ValueError, match=r"test\.txt': 1 of 1 names are not there, such as '0\.png'"):
        pictures_of_split(root, "test")


@pytest.mark.parametrize("held_out", [12, 13])
def test_too_many_held_out(tmp_path: Path, held_out: int) -> None:
    root = files(tmp_path, *(f"{i}.jpg" for i in range(12)))
    with pytest.raises(ValueError, match=rf"held_out is {held_out}, and .* has 12 images; hold out fewer"):
        pictures_of_split(root, "train", held_out=held_out)


def test_a_database_is_not_read(tmp_path: Path) -> None:
    root = files(tmp_path, "church_outdoor_train_lmdb/data.mdb", "church_outdoor_val_lmdb/data.mdb")
    with pytest.raises(ValueError, match="holds an LMDB, which is not read here: export its pictures to a folder"):
        pictures_of_split(root, "train")
