"""Which items are held out: by the name alone, or by folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from ddmi_modalities.datasets.splits import evenly_spaced, split_folders, split_of


def test_the_split_of_a_name_is_pinned() -> None:
    # a change here would test published models on what they were trained on
    assert [name for name in "abcdefghijklmnopqrstuvwxyz" if split_of(name) == "test"] == ["d", "j", "n", "p", "s", "u"]
    share = sum(split_of(str(index)) == "test" for index in range(5000)) / 5000
    assert share == pytest.approx(0.11, abs=0.015)
    assert split_of("x", 1.0) == "test"
    assert split_of("x", 0.0) == "train"


def folders(root: Path, *names: str) -> None:
    for name in names:
        (root / name).mkdir()


def test_folders_of_both_splits(tmp_path: Path) -> None:
    folders(tmp_path, "train")
    assert split_folders(tmp_path) == {}, "one alone splits nothing"
    folders(tmp_path, "val")
    assert split_folders(tmp_path) == {"train": tmp_path / "train", "test": tmp_path / "val"}
    folders(tmp_path, "test")
    assert split_folders(tmp_path)["test"] == tmp_path / "test"
    assert split_folders(tmp_path / "nowhere") == {}


def test_names_that_end_in_a_split(tmp_path: Path) -> None:
    folders(tmp_path, "church_outdoor_train", "church_outdoor_val", "restrain")
    wanted = {"train": tmp_path / "church_outdoor_train", "test": tmp_path / "church_outdoor_val"}
    assert split_folders(tmp_path) == wanted
    folders(tmp_path, "other_train")
    assert split_folders(tmp_path) == {}, "nobody knows which"
    folders(tmp_path, "train")
    assert split_folders(tmp_path)["train"] == tmp_path / "train"


def test_indices_are_spaced_evenly() -> None:
    assert evenly_spaced(10, 4) == [0, 2, 5, 7]
    assert evenly_spaced(3, 9) == [0, 1, 2]
