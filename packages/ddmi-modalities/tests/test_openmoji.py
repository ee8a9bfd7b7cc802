"""The embedded data set: its split, its captions, its sizes and its cache."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ddmi_modalities.image import ATTRIBUTION, OpenMoji
from ddmi_modalities.image.openmoji import _path, caption_of, drawings, family_of
from ddmi_modalities.image.raster_cache import cached_rasters, default_cache
from ddmi_modalities.image.rasterise import rasterise


@pytest.fixture
def paths() -> list[str]:
    return [_path(code) for code in drawings("test")[:6]]


def test_splits_are_disjoint_by_family_and_complete() -> None:
    train, test = drawings("train"), drawings("test")
    assert len(train) + len(test) >= 4000
    assert not {family_of(code) for code in train} & {family_of(code) for code in test}
    assert 0.08 < len(test) / (len(train) + len(test)) < 0.14
    assert len(OpenMoji("train")) == len(train)


@pytest.mark.parametrize(
    ("code", "family"),
    [
        ("1F469-1F3FD-200D-1F692", "1F9D1-1F692"),
        ("1F468-200D-1F692", "1F9D1-1F692"),
        ("1F3C3-1F3FB-200D-2640-FE0F", "1F3C3"),
        ("1F44D-1F3FF", "1F44D"),
        ("1F436", "1F436"),
        ("1F3FB", "1F3FB"),
        ("2640", "2640"),
    ],
)
def test_variants_share_a_family(code: str, family: str) -> None:
    assert family_of(code) == family


def test_captions() -> None:
    assert caption_of("1F436") == "dog face"
    assert caption_of("1F469-1F3FD-200D-1F692") == "woman, medium skin tone, fire engine"
    assert caption_of("E434") is None


def test_any_size_on_white() -> None:
    item = OpenMoji("test")[3]
    for size in (1, 33, 64):
        pixels = item.pixels(size)
        assert pixels.shape == (3, size, size)
        assert pixels.dtype == torch.uint8
    assert pixels[:, 0, 0].tolist() == [255, 255, 255]
    # the same drawing at both sizes, not another one
    reduced = torch.nn.functional.avg_pool2d(item.pixels(128).float()[None], 2)[0]
    assert (reduced - pixels.float()).abs().mean() < 3


def test_cached_and_fresh_pixels_are_equal(
    tmp_path: Path, paths: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    rasters = cached_rasters(tmp_path / "sub" / "six.npy", paths, 16)
    assert isinstance(rasters, np.memmap)
    assert "6/6" in capsys.readouterr().err
    assert all(np.array_equal(raster, rasterise(path, 16)) for raster, path in zip(rasters, paths, strict=True))
    cached_rasters(tmp_path / "sub" / "six.npy", paths, 16)
    assert capsys.readouterr().err == ""
    assert [file.name for file in sorted((tmp_path / "sub").glob("*.building"))] == []


def test_the_set_reads_its_cache_and_travels_to_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = drawings("test")[:3]
    monkeypatch.setattr("ddmi_modalities.image.openmoji.drawings", lambda split: few)
    source = OpenMoji("test", tmp_path, sizes=(16,))
    first = source[0].pixels(16)
    assert torch.equal(first, torch.from_numpy(rasterise(_path(few[0]), 16)))
    (file,) = tmp_path.glob("openmoji-*-test-16.npy")
    first.zero_()  # a copy: the file is not touched
    assert source[0].pixels(16).any()
    blob = pickle.dumps(source)
    assert len(blob) < 2000 < file.stat().st_size
    assert torch.equal(pickle.loads(blob)[-1].pixels(16), source[2].pixels(16))


@pytest.mark.parametrize("damage", ["empty", "truncated", "text", "shape"])
def test_a_damaged_cache_is_built_again(
    tmp_path: Path, paths: list[str], damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "six.npy"
    whole = np.array(cached_rasters(file, paths, 16))
    content = file.read_bytes()
    if damage == "shape":
        np.save(file, whole[:2])
    else:
        file.write_bytes({"empty": b"", "truncated": content[: len(content) // 2], "text": b"not an array"}[damage])
    assert np.array_equal(cached_rasters(file, paths, 16), whole)
    assert "damaged" in capsys.readouterr().err


def test_two_processes_build_one_cache(tmp_path: Path, paths: list[str]) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from ddmi_modalities.image.raster_cache import cached_rasters\n"
        "print(int(cached_rasters(Path(sys.argv[1]), sys.argv[2:], 64).sum()))"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "shared.npy"), *paths]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=60) for process in running]
    assert [process.returncode for process in running] == [0, 0], outputs
    assert outputs[0][0] == outputs[1][0] != ""
    assert sum("6/6" in err for _, err in outputs) == 1  # one built, the other waited
    assert not list(tmp_path.glob("*.building"))


def test_a_broken_drawing_is_an_error_and_leaves_no_cache(tmp_path: Path, paths: list[str]) -> None:
    (tmp_path / "broken.svg").write_text("<svg")
    with pytest.raises(RuntimeError, match="the helper process failed"):
        cached_rasters(tmp_path / "x.npy", [*paths, str(tmp_path / "broken.svg")], 16)
    assert not list(tmp_path.glob("*.npy")) + list(tmp_path.glob("*.building"))


def test_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "ddmi"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache() == Path.home() / ".cache" / "ddmi"


def test_errors_and_attribution() -> None:
    with pytest.raises((ValueError, TypeError), match=r"no split 'valid'; choose 'train' or 'test'|Type-check"):
        OpenMoji("valid")  # type: ignore[arg-type]
    with pytest.raises(IndexError):
        OpenMoji("test")[10**6]
    with pytest.raises(ValueError, match="at least 1 pixel"):
        OpenMoji("test")[0].pixels(0)
    assert "CC BY-SA 4.0" in ATTRIBUTION


def test_window_is_a_part_of_the_whole_drawing(tmp_path: Path) -> None:
    drawing = OpenMoji("test", tmp_path)[3]
    assert torch.equal(drawing.window(256, 0, 0, 256), drawing.pixels(256))
    for size in (200, 256):
        whole = drawing.pixels(size).float()
        error = drawing.window(size, 60, 41, 32).float() - whole[:, 60:92, 41:73]
        assert error.square().mean().sqrt() < 6, "only anti-aliasing may differ"
        shifted = drawing.window(size, 61, 41, 32).float() - whole[:, 60:92, 41:73]
        assert shifted.square().mean().sqrt() > 12, "one cell aside is another window"
