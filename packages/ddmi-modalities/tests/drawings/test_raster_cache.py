"""Rasters on disk: shared between processes, drawn again where they are damaged."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from ddmi_modalities.drawings.openmoji import drawing_file, drawings
from ddmi_modalities.drawings.raster_cache import KINDS, DrawingRasters

CODES = drawings("test")[:6]
BYTES = {"white": 3 * 32 * 32, "alpha": 4 * 32 * 32}


def fresh(kind: str, number: int) -> np.ndarray:
    return KINDS[kind](drawing_file(CODES[number]), 32)


@pytest.mark.parametrize("kind", ["white", "alpha"])
def test_a_raster_is_the_drawing(tmp_path: Path, kind: Literal["white", "alpha"]) -> None:
    rasters = DrawingRasters(tmp_path / "sub", "test", CODES, 32, kind)
    assert all(np.array_equal(rasters[i], fresh(kind, i)) for i in range(len(CODES)))
    again = pickle.loads(pickle.dumps(rasters))
    assert len(pickle.dumps(rasters)) < 1000, "workers map the file themselves"
    assert np.array_equal(again[1], rasters[1])


@pytest.mark.parametrize("kind", ["white", "alpha"])
def test_drawn_again_where_damaged(tmp_path: Path, kind: Literal["white", "alpha"]) -> None:
    first = DrawingRasters(tmp_path, "test", CODES, 32, kind)
    whole = [np.array(first[i]) for i in range(len(CODES))]
    (file,) = tmp_path.glob("*.raw")
    with file.open("r+b") as handle:
        handle.seek(BYTES[kind])
        handle.write(bytes(100))
    assert np.array_equal(DrawingRasters(tmp_path, "test", CODES, 32, kind)[1], whole[1])
    file.write_bytes(b"too short")
    assert np.array_equal(DrawingRasters(tmp_path, "test", CODES, 32, kind)[0], whole[0])
    assert {path.name for path in tmp_path.iterdir()} == {file.name, file.with_suffix(".lock").name}


def test_what_was_drawn_is_not_drawn_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = np.array(DrawingRasters(tmp_path, "test", CODES, 32, "white")[0])
    monkeypatch.setitem(KINDS, "white", lambda *_: pytest.fail("drawn twice"))
    assert np.array_equal(DrawingRasters(tmp_path, "test", CODES, 32, "white")[0], first)


def test_two_processes_share_one_file(tmp_path: Path) -> None:
    program = (
        "import sys, zlib; from pathlib import Path\n"
        "from ddmi_modalities.drawings.openmoji import drawings\n"
        "from ddmi_modalities.drawings.raster_cache import DrawingRasters\n"
        "rasters = DrawingRasters(Path(sys.argv[1]), 'test', drawings('test')[:6], 32, 'alpha')\n"
        "print(zlib.crc32(b''.join(rasters[i].tobytes() for i in range(6))))"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=60) for process in running]
    assert [process.returncode for process in running] == [0, 0], outputs
    assert outputs[0][0] == outputs[1][0] != ""
    rasters = DrawingRasters(tmp_path, "test", CODES, 32, "alpha")
    assert all(np.array_equal(rasters[i], fresh("alpha", i)) for i in range(len(CODES)))


def test_a_broken_drawing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken.svg").write_text("<svg")
    monkeypatch.setattr("ddmi_modalities.drawings.raster_cache.drawing_file", lambda code: str(tmp_path / "broken.svg"))
    with pytest.raises(ValueError, match="does not have a root node"):
        DrawingRasters(tmp_path / "cache", "test", CODES, 32, "white")[0]


def test_colours_of_alpha_are_times_alpha(tmp_path: Path) -> None:
    raster = DrawingRasters(tmp_path, "test", CODES, 32, "alpha")[2]
    assert raster.shape == (32, 32, 4)
    assert (raster[..., :3] <= raster[..., 3:]).all()
