"""Pictures in tar shards and tables are those of the folder that they were made of; only where they lie differs."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from pyarrow import parquet
from torch.utils.data import DataLoader

from ddmi_modalities.datasets.preparation import prepare
from ddmi_modalities.image import ImageFolder, ImageItem, ImageModality
from ddmi_modalities.image.prepare import ImagePreparation

Members = Sequence[tuple[str, bytes]]


def tar(file: Path, members: Iterable[tuple[str, bytes]]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w") as shard:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            shard.addfile(info, io.BytesIO(content))
    return file


def table(members: Members) -> pa.Table:
    values = [{"bytes": content, "path": name} for name, content in members]
    return pa.table({"image": pa.array(values, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))})


def in_shards(root: Path, members: Members) -> None:
    tar(root / "00000.tar", members[:25])
    tar(root / "deep" / "00001.tar", members[25:])


def in_parquet(root: Path, members: Members) -> None:
    (root / "data").mkdir(parents=True)
    parquet.write_table(table(members), root / "data" / "0.parquet", row_group_size=7)


def in_arrow(root: Path, members: Members) -> None:
    root.mkdir(parents=True)
    whole = table(members)
    for name in ("data-00000.arrow", "cache-1234.arrow"):
        with pa.ipc.new_stream(root / name, whole.schema) as writer:
            writer.write_table(whole, max_chunksize=9)


WAYS = [in_shards, in_parquet, in_arrow]


@pytest.fixture
def members(photographs: Path) -> Members:
    return [(file.name, file.read_bytes()) for file in sorted(photographs.iterdir())]


def by_name(root: Path, cache: Path, **options: Any) -> dict[str, ImageItem]:
    return {item.name: item for split in ("train", "test") for item in ImageFolder(root, split, cache=cache, **options)}  # type: ignore[arg-type, attr-defined]


@pytest.mark.parametrize("write", WAYS)
def test_pixels_are_those_of_the_folder(
    write: Callable[[Path, Members], None], photographs: Path, members: Members, tmp_path: Path
) -> None:
    write(tmp_path / "in", members)
    found = by_name(tmp_path / "in", tmp_path / "cache", sizes=(16,))
    assert len(found) == len(members)
    files = by_name(photographs, tmp_path / "cache")
    for number, name in enumerate(sorted(found)):
        assert torch.equal(found[name].pixels(16), files[f"{number:02d}.png"].pixels(16))
        assert torch.equal(found[name].window(10, 1, 2, 5), files[f"{number:02d}.png"].window(10, 1, 2, 5))
        assert isinstance(found[name], ImageItem)
        assert pickle.loads(pickle.dumps(found[name])) == found[name]
        assert len({found[name], found[name]}) == 1
    data = ImageFolder(tmp_path / "in", "train", cache=tmp_path / "cache")
    assert list(data.names) == sorted(data.names), "the order is no matter of the disk"
    assert data.digest() == ImageFolder(tmp_path / "in", "train", cache=tmp_path / "other").digest()
    assert data.digest() != ImageFolder(tmp_path / "in", "test", cache=tmp_path / "cache").digest()


@pytest.mark.parametrize("write", WAYS)
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning", "ignore:This DataLoader will create:UserWarning")
def test_workers_read_one_file_at_once(
    write: Callable[[Path, Members], None], members: Members, tmp_path: Path
) -> None:
    write(tmp_path / "in", members)
    data = ImageFolder(tmp_path / "in", "train", cache=tmp_path / "cache")

    def pixels(items: Any) -> torch.Tensor:
        return torch.stack([item.pixels(12) for item in items])

    loaded = DataLoader(data, 4, num_workers=2, collate_fn=pixels, multiprocessing_context="fork", timeout=60)
    assert torch.equal(torch.cat(list(loaded)), pixels(data))


@pytest.mark.parametrize("write", WAYS)
def test_broken_pictures_are_left_out_and_named(
    write: Callable[[Path, Members], None], members: Members, tmp_path: Path, said: list[str]
) -> None:
    name, content = members[3]
    write(tmp_path / "in", [*members[:3], (name, content[: len(content) // 2]), *members[4:]])
    assert len(by_name(tmp_path / "in", tmp_path / "cache")) == len(members) - 1
    assert any("left out 1 of" in one and "/0" in one and "repair or remove them" in one for one in said)


def test_captions_and_other_members(members: Members, tmp_path: Path, said: list[str]) -> None:
    content = members[0][1]
    names = ("a/x.jpg", "a/x.seg.png", "a/y.PNG", "x.webp", "._x.png", "__MACOSX/z.png", "z.psd", "x.cls", "x.json")
    texts = [("a/x.txt", "ein Fuß\nmore".encode()), ("x.txt", b"second")]
    tar(tmp_path / "in" / "00.tar", [*((name, content) for name in names), *texts])
    captions = {item.name: item.caption for item in ImageFolder(tmp_path / "in", "train", cache=tmp_path / "cache")}  # type: ignore[attr-defined]
    assert captions == {"00.tar/a/x.jpg": "ein Fuß", "00.tar/a/y.PNG": None, "00.tar/x.webp": "second"}
    assert any("1 pictures of two endings, such as x.seg.png, are other parts of a sample" in one for one in said)
    assert any("00.tar': 1 files are not read as images: 1 .psd" in one for one in said)


def test_headers_are_read_once_until_a_shard_changes(
    members: Members, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ddmi_modalities.image.data import tar_shards

    read: list[str] = []
    entries = tar_shards.tar_entries

    def spy(file: Path) -> list[tuple[str, int, int]]:
        read.append(file.name)
        return entries(file)

    monkeypatch.setattr(tar_shards, "tar_entries", spy)
    in_shards(tmp_path / "in", members)
    for _ in range(2):
        assert len(by_name(tmp_path / "in", tmp_path / "cache")) == len(members)
    assert sorted(read) == ["00000.tar", "00001.tar"]
    os.utime(tar(tmp_path / "in" / "00000.tar", members[:20]), (1, 1))
    assert len(by_name(tmp_path / "in", tmp_path / "cache")) == len(members) - 5
    assert read[2:] == ["00000.tar"]
    (memory,) = (tmp_path / "cache" / "checked").glob("shards-*.json")
    memory.write_text("{ damaged")
    assert len(by_name(tmp_path / "in", tmp_path / "cache")) == len(members) - 5


def test_a_damaged_shard_is_an_error(members: Members, tmp_path: Path) -> None:
    in_shards(tmp_path / "in", members)
    file = tmp_path / "in" / "00000.tar"
    os.truncate(file, file.stat().st_size // 2)
    for _ in range(2):  # remembered, too
        with pytest.raises(
            ValueError, match=r"ImageFolder: .*00000\.tar': is truncated.* after its member '.*; copy the"
        ):
            ImageFolder(tmp_path / "in", "train", cache=tmp_path / "cache")


@pytest.mark.parametrize("ending", ["tar", "parquet"])
def test_files_that_are_called_after_splits(ending: str, members: Members, tmp_path: Path, said: list[str]) -> None:
    root = tmp_path / "in"
    root.mkdir()
    for name, part in (
        ("train-0", members[:9]),
        ("train-1", members[9:20]),
        ("x-validation-0", members[30:]),
        ("more", members[20:30]),
    ):
        if ending == "tar":
            tar(root / f"{name}.tar", part)
        else:
            parquet.write_table(table(part), root / f"{name}.parquet")
    sizes = [len(ImageFolder(root, split, cache=tmp_path)) for split in ("train", "test")]  # type: ignore[arg-type]
    assert sizes == [20, 10]
    assert any(
        f"1 files are called after no split, and others are: left aside, such as 'more.{ending}'" in one for one in said
    )


def test_folders_lists_and_numbers_split_shards_too(members: Members, tmp_path: Path) -> None:
    def counts(root: Path, **options: Any) -> list[int]:
        return [len(ImageFolder(root, split, cache=tmp_path / "cache", **options)) for split in ("train", "test")]  # type: ignore[arg-type]

    tar(tmp_path / "a" / "train" / "cat" / "0.tar", members[:30])
    tar(tmp_path / "a" / "train" / "dog" / "0.tar", members[:5])
    tar(tmp_path / "a" / "validation" / "cat" / "0.tar", members[30:])
    assert counts(tmp_path / "a") == [35, 10]
    assert counts(tmp_path / "a", classes=("cat",)) == [30, 10]
    tar(tmp_path / "b" / "0.tar", members)
    assert counts(tmp_path / "b", held_out=4) == [36, 4]
    (tmp_path / "b" / "train.txt").write_text("0.tar/01.png\n0.tar/02\n")
    (tmp_path / "b" / "test.txt").write_text("0.tar/03.png\n")
    assert counts(tmp_path / "b") == [2, 1]


def test_one_way_of_storing_is_read(photographs: Path, members: Members, tmp_path: Path, said: list[str]) -> None:
    tar(photographs / "originals.tar", members)
    assert len(by_name(photographs, tmp_path / "cache")) == len(members)
    (sentence,) = [one for one in said if "beside them" in one]
    assert (
        "40 images are read, and 1 tar shards beside them, such as 'originals.tar', are not; name a folder" in sentence
    )


def test_what_holds_none(members: Members, tmp_path: Path) -> None:
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "0.tar.gz").touch()
    with pytest.raises(
        ValueError, match=r"holds '0\.tar\.gz', and others .*: unpack them to plain \.tar, such as by `gunzip`"
    ):
        ImageFolder(tmp_path / "packed", "train", cache=tmp_path)
    tar(tmp_path / "texts" / "0.tar", [("a.txt", b"words")])
    with pytest.raises(ValueError, match=r"no images in the tar shards below .*; wanted files that end in"):
        ImageFolder(tmp_path / "texts", "train", cache=tmp_path)
    (tmp_path / "labels").mkdir()
    parquet.write_table(pa.table({"label": [1, 2]}), tmp_path / "labels" / "0.parquet")
    with pytest.raises(ValueError, match=r"0\.parquet': 0 of its columns hold bytes"):
        ImageFolder(tmp_path / "labels", "train", cache=tmp_path)


@pytest.mark.parametrize("write", WAYS)
def test_they_are_prepared_alike(write: Callable[[Path, Members], None], members: Members, tmp_path: Path) -> None:
    cut = (members[7][0], members[7][1][:60])
    texts = [("05.txt", b"a caption")] if write is in_shards else []
    write(tmp_path / "in", [*texts, *members[:7], cut, *members[8:]])
    modality = ImageModality(source=str(tmp_path / "in"), size=16, target_sizes=(16,), cache=tmp_path / "cache")
    done = prepare(ImagePreparation().plan(modality), tmp_path / "out", workers=1)
    assert (len(done.made), len(done.left_out)) == (len(members) - 1, 1)
    again = prepare(ImagePreparation().plan(modality), tmp_path / "out", workers=1)
    assert (len(again.made), len(again.kept)) == (0, len(members) - 1)
    true, made = by_name(tmp_path / "in", tmp_path / "cache"), by_name(tmp_path / "out", tmp_path / "cache")
    assert len(true) == len(made)
    for name, item in made.items():
        (same,) = [one for one in (name, name.removesuffix(".png")) if one in true]
        assert torch.equal(item.pixels(16), true[same].pixels(16))
        assert item.caption == true[same].caption
    assert any(item.caption for item in made.values()) is (write is in_shards)
