"""The embedded data set: its split, its captions, its sizes and its cache."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from ddmi_modalities.datasets.array_cache import default_cache
from ddmi_modalities.drawings.openmoji import ATTRIBUTION, caption_of, drawing_file, drawings, family_of
from ddmi_modalities.drawings.rasterise import rasterise
from ddmi_modalities.image import OpenMoji


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


def test_the_set_reads_its_cache_and_travels_to_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = drawings("test")[:3]
    monkeypatch.setattr("ddmi_modalities.image.data.openmoji.drawings", lambda split: few)
    source = OpenMoji("test", tmp_path, sizes=(16,))
    first = source[0].pixels(16)
    assert torch.equal(first, torch.from_numpy(rasterise(drawing_file(few[0]), 16)))
    (file,) = tmp_path.glob("openmoji-white-*-test-16.raw")
    first.zero_()  # a copy: the file is not touched
    assert source[0].pixels(16).any()
    blob = pickle.dumps(source)
    assert len(blob) < 2000 < file.stat().st_size
    assert torch.equal(pickle.loads(blob)[-1].pixels(16), source[2].pixels(16))


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
