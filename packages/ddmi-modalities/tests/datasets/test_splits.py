"""Which items are held out: by the name alone, or by folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ddmi_modalities.datasets.splits import evenly_spaced, listed_split, split_folders, split_of


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
    assert evenly_spaced(10, 4) == [0, 3, 5, 9]
    assert evenly_spaced(3, 9) == [0, 1, 2]
    assert evenly_spaced(0, 5) == []


@pytest.mark.parametrize(("length", "count"), [(3000, 100), (1000, 100), (793, 100), (100, 99), (4096, 64)])
@pytest.mark.parametrize("kinds", [2, 3, 4, 5, 8])
def test_items_that_are_looked_at_are_of_all_kinds_where_kinds_take_turns(length: int, count: int, kinds: int) -> None:
    chosen = evenly_spaced(length, count)
    assert sorted(set(chosen)) == chosen
    assert len(chosen) == count
    parts = np.array([number * count // length for number in chosen])
    assert np.abs(parts - np.arange(count)).max() <= 1, "spread over all of them"
    counts = np.bincount(np.array(chosen) % kinds, minlength=kinds)
    assert counts.min() > 0.6 * count / kinds


def listed(root: Path, **lists: str) -> Path:
    for name, text in lists.items():
        (root / name.replace("_", ".")).write_text(text)
    return root


NAMES = ("a/1.png", "a/2.png", "b/1.png", "b/3.png")


def test_one_list_alone_is_said(tmp_path: Path, said: list[str]) -> None:
    assert listed_split(listed(tmp_path, train_txt="a/1.png\n"), "train", NAMES) is None
    assert listed_split(tmp_path, "test", NAMES) is None
    (message,) = said
    assert "train.txt alone splits nothing, and is left aside" in message


def test_lists_name_the_splits(tmp_path: Path) -> None:
    assert listed_split(tmp_path, "train", NAMES) is None
    listed(tmp_path, train_lst="a\\1.png\n./b/1\n\n", val_lst="b/3.png\n")
    assert listed_split(tmp_path, "train", NAMES) == ["a/1.png", "b/1.png"]
    assert listed_split(tmp_path, "test", NAMES) == ["b/3.png"], "val, where there is no test"
    listed(tmp_path, test_txt="a/2\n")
    assert listed_split(tmp_path, "test", NAMES) == ["a/2.png"]


@pytest.mark.parametrize("name", ["test_txt", "val_txt", "val_lst"])
def test_lists_do_not_overlap(tmp_path: Path, name: str) -> None:
    listed(tmp_path, train_txt="a/1.png\na/2\n", **{name: "a/2.png\nb/1.png\n"})
    with pytest.raises(ValueError, match=r"1 items are both for training and held out, such as 'a/2\.png'"):
        listed_split(tmp_path, "train", NAMES)


def test_a_name_of_a_list_must_be_there_and_clear(tmp_path: Path) -> None:
    listed(tmp_path, train_txt="a/1.png\n1\n", test_txt="b/3.png\n")
    with pytest.raises(ValueError, match=r"train\.txt': 1 of 2 names are not there, such as '1'"):
        listed_split(tmp_path, "test", NAMES)
    with pytest.raises(ValueError, match=r"names are not there, such as 'b/3'"):
        listed_split(listed(tmp_path, train_txt="b/3\n"), "train", ("b/3.png", "b/3.jpg"))


def test_folders_of_splits_are_two(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "test").symlink_to("train", target_is_directory=True)
    with pytest.raises(ValueError, match="'train' and 'test' lead to the same files"):
        split_folders(tmp_path)


def test_a_name_need_not_be_utf_8() -> None:
    assert split_of(b"caf\xe9.png".decode("utf-8", "surrogateescape")) in ("train", "test")
