"""Pictures prepared as squares of one size: the same splits and the same pixels as those of the folder itself."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ddmi_modalities.datasets.preparation import Plan, Prepared, prepare
from ddmi_modalities.datasets.splits import SPLITS
from ddmi_modalities.files.pixels import open_picture
from ddmi_modalities.image import ImageModality
from ddmi_modalities.image.prepare import ImagePreparation


def picture(file: Path, seed: int, rows: int = 40, columns: int = 30, **options: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (rows, columns, 3), np.uint8)
    Image.fromarray(pixels).save(file, **options)
    return file


def modality(source: Path, cache: Path, **settings: Any) -> ImageModality:
    return ImageModality(
        source=str(source), size=16, target_sizes=(16, 24), target_weights=(0.5, 0.5), cache=cache, **settings
    )


def plan(source: Path, preparation: ImagePreparation | None = None, **settings: Any) -> Plan:
    return (preparation or ImagePreparation()).plan(modality(source, source, **settings))


def run(plan: Plan, out: Path) -> Prepared:
    return prepare(plan, out, workers=1)


def by_folders(root: Path) -> dict[str, Any]:
    for name in ("church_train/a/1.webp", "church_train/2.jpg", "church_val/a/1.jpg"):
        picture(root / name, len(name))
    return {}


def by_lists(root: Path) -> dict[str, Any]:
    for index in range(6):
        picture(root / f"{index}.png", index)
    (root / "train.txt").write_text("3.png\n1.png\n")
    (root / "val.txt").write_text("0.png\n2.png\n4.png\n")
    return {}


def by_numbers(root: Path) -> dict[str, Any]:
    for index in range(12):
        picture(root / f"{index}.jpg", index)
    return {"held_out": 3}


def by_names(root: Path) -> dict[str, Any]:
    for index in range(30):
        picture(root / f"{index}.jpeg", index)
    return {}


def by_class(root: Path) -> dict[str, Any]:
    for index in range(20):
        picture(root / ("cat" if index % 2 else "dog") / f"{index}.tiff", index)
    return {"classes": ("cat",)}


@pytest.mark.parametrize("write", [by_folders, by_lists, by_numbers, by_names, by_class])
def test_splits_and_pixels_are_those_of_the_folder(write: Any, tmp_path: Path) -> None:
    settings = write(tmp_path / "in")
    run(plan(tmp_path / "in", **settings), tmp_path / "out")
    for split in SPLITS:
        true, made = (
            {
                item.name.rsplit(".", 1)[0]: item
                for item in modality(tmp_path / name, tmp_path, **settings).dataset(split)
            }
            for name in ("in", "out")
        )
        assert true.keys() == made.keys()
        assert true
        for name, item in made.items():
            assert torch.equal(item.pixels(24), true[name].pixels(24)), "the largest size at which the preset compares"
            error = item.pixels(16).float() - true[name].pixels(16).float()
            assert error.abs().mean() < 6  # reduced twice, of noise


def test_pictures_are_upright_and_captions_come_along(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    pixels = np.zeros((30, 30, 3), np.uint8)
    pixels[:15] = 255
    (tmp_path / "in" / "train").mkdir(parents=True)
    Image.fromarray(pixels).save(tmp_path / "in" / "train" / "a.png", exif=exif)
    picture(tmp_path / "in" / "test" / "b.png", 1, icc_profile=b"profile")
    (tmp_path / "in" / "train" / "a.txt").write_text("half white\n")
    run(plan(tmp_path / "in"), tmp_path / "out")
    made = np.asarray(open_picture(tmp_path / "out" / "train" / "a.png"))
    assert made.shape == (24, 24, 3)
    assert made[:, -10:].min() > 240
    assert made[:, :10].max() < 15
    assert modality(tmp_path / "out", tmp_path).dataset("train")[0].caption == "half white"
    with Image.open(tmp_path / "out" / "test" / "b.png") as plain:
        assert "icc_profile" not in plain.info
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["settings"] == {"size": 24, "allow_small": False, "classes": [], "held_out": 0}
    assert list(manifest["items"]["train/a.png"]["sources"]) == ["train/a.png", "train/a.txt"]
    assert list(manifest["items"]["train/a.png"]["files"]) == ["train/a.png", "train/a.txt"]
    (tmp_path / "in" / "train" / "a.txt").write_text("half black\n")
    assert run(plan(tmp_path / "in"), tmp_path / "out").made == ("train/a.png",)
    assert modality(tmp_path / "out", tmp_path).dataset("train")[0].caption == "half black"


def test_small_and_broken_pictures_are_left_out(tmp_path: Path, said: list[str]) -> None:
    root = tmp_path / "in"
    by_numbers(root)
    picture(root / "100.png", 1, rows=20, columns=50)
    cut = picture(root / "50.jpg", 1)
    cut.write_bytes(cut.read_bytes()[:500])
    done = run(plan(root, held_out=3), tmp_path / "out")
    assert done.left_out["test/100.png"] == "20 pixels on its shorter side, wanted 24"
    assert "runcated" in done.left_out["test/50.png"]
    assert "left out 2 of 14 images: 100.png: 20 pixels on its shorter" in said[0]
    assert "with --allow-small, smaller ones keep their size" in said[0]
    train = ImageModality(source=str(tmp_path / "out"), cache=tmp_path).dataset("train")
    assert len(train) == 11, "what is held out is counted among all pictures, as training on the folder does"
    small = run(plan(root, ImagePreparation(allow_small=True), held_out=3), tmp_path / "small")
    assert list(small.left_out) == ["test/50.png"]
    assert open_picture(tmp_path / "small" / "test" / "100.png").size == (20, 20)
    run(plan(root, ImagePreparation(size=8), held_out=3), tmp_path / "tiny")
    assert open_picture(tmp_path / "tiny" / "test" / "100.png").size == (8, 8)


@pytest.mark.slow
def test_processes_make_the_same_folder(tmp_path: Path) -> None:
    by_folders(tmp_path / "in")
    picture(tmp_path / "in" / "church_val" / "a" / "tiny.png", 1, rows=3)
    results = [prepare(plan(tmp_path / "in"), tmp_path / f"{n}", workers=n) for n in (1, 2)]
    assert results[0] == results[1]
    first, second = (
        {file.relative_to(tmp_path / n): file.read_bytes() for file in (tmp_path / n).rglob("[!.]*.*")} for n in "12"
    )
    assert first == second
    assert len(first) == 4  # three pictures and the manifest


def test_a_split_without_pictures_stays_one(tmp_path: Path) -> None:
    picture(tmp_path / "in" / "a.png", 0)
    run(plan(tmp_path / "in"), tmp_path / "out")
    assert len(modality(tmp_path / "out", tmp_path).dataset("train")) == 1
    for name in ("in", "out"):
        with pytest.raises(ValueError, match="no image for the split 'test'|no images below"):
            modality(tmp_path / name, tmp_path).dataset("test")


def test_messages(tmp_path: Path) -> None:
    root = tmp_path / "in"
    with pytest.raises(ValueError, match="prepare: '.*in' does not exist; give the path of a folder of images"):
        plan(root)
    root.mkdir()
    with pytest.raises(ValueError, match="no images below .*; wanted files that end in"):
        plan(root)
    picture(root / "a.png", 0)
    with pytest.raises(ValueError, match="a.png' is a file; give the path of a folder"):
        plan(root / "a.png")
    picture(root / "a.jpg", 0)
    with pytest.raises(ValueError, match="'a.jpg' and 'a.png' in '.*in' would both become 'train/a.png'; rename one"):
        run(plan(root), tmp_path / "out")
    with pytest.raises(ValueError, match="size counts pixels, got 0"):
        ImagePreparation(size=0)
    shutil.rmtree(root)
    root.mkdir()
    (root / "data_batch_1.bin").write_bytes(b"")
    with pytest.raises(ValueError, match="files of CIFAR-10 and MNIST are read as they are; pass '.*in' to --data of"):
        plan(root)
