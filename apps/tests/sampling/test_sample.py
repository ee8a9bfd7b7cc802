"""`ddmi sample` of many functions: stopped and resumed, and by several processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from PIL import Image

from ddmi.cli import main

from ..stopping import interrupted_after, launched, started, watched


@pytest.fixture
def batches() -> Iterator[list[tuple[int, int]]]:
    """(start, count) of what the denoiser is asked for."""
    with watched() as asked:
        yield asked


def sample(run: Path, out: Path, *options: str) -> int:
    base = ["sample", str(run), "--num-steps", "2", "--resolution", "12", "--batch", "2", "--out", str(out)]
    return main([*base, *(options if "--count" in options else ("--count", "5", *options))])


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}


@pytest.fixture
def whole(one_thread: None, tiny_run: Path, tmp_path: Path, batches: list[tuple[int, int]]) -> dict[str, bytes]:
    assert sample(tiny_run, tmp_path / "whole") == 0
    assert {path.name for path in (tmp_path / "whole").iterdir()} == {f"{i:03d}.png" for i in range(5)}
    batches.clear()
    return contents(tmp_path / "whole")


def test_a_stopped_command_goes_on(
    tiny_run: Path,
    tmp_path: Path,
    whole: dict[str, bytes],
    batches: list[tuple[int, int]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    with interrupted_after(2):
        assert sample(tiny_run, out) == 130
    (out / "004.png").write_bytes(b"torn")
    batches.clear()
    assert sample(tiny_run, out, "--resume") == 0
    assert batches == [(4, 1)]
    assert contents(out) == whole
    assert f"wrote 1 samples to {out}, 4 were there" in capsys.readouterr().err
    assert sample(tiny_run, out, "--resume", "--count", "6") == 0
    assert batches == [(4, 1), (5, 1)], "more of the same"
    (out / "001.png").unlink()
    assert sample(tiny_run, out, "--resume", "--count", "6") == 0
    assert batches == [(4, 1), (5, 1), (0, 2)], "a file had been taken away"


def test_a_picture_is_there_as_a_whole_or_not_at_all(
    tiny_run: Path, tmp_path: Path, whole: dict[str, bytes], batches: list[tuple[int, int]]
) -> None:
    out, save, saved = tmp_path / "out", Image.Image.save, []

    def torn(image: Image.Image, path: Path) -> None:
        saved.append(path)
        save(image, path)
        if len(saved) == 4:
            path.write_bytes(path.read_bytes()[:20])
            raise KeyboardInterrupt

    with mock.patch.object(Image.Image, "save", torn):
        assert sample(tiny_run, out) == 130
    assert contents(out) == {name: whole[name] for name in ("000.png", "001.png", "002.png")}
    batches.clear()
    assert sample(tiny_run, out, "--resume") == 0
    assert batches == [(2, 2), (4, 1)]
    assert contents(out) == whole


def test_torn_files_are_made_again(
    tiny_run: Path, tmp_path: Path, whole: dict[str, bytes], batches: list[tuple[int, int]]
) -> None:
    out = tmp_path / "out"
    assert sample(tiny_run, out, "--resume") == 0
    (out / "003.png").write_bytes((out / "003.png").read_bytes()[:20])
    batches.clear()
    assert sample(tiny_run, out, "--resume") == 0
    assert batches == [(2, 2)]
    assert contents(out) == whole


def test_files_of_other_settings_are_not_taken(
    tiny_run: Path, tmp_path: Path, whole: dict[str, bytes], batches: list[tuple[int, int]]
) -> None:
    out = tmp_path / "out"
    assert sample(tiny_run, out, "--seed", "1", "--resume") == 0
    other = contents(out)
    assert set(other) == set(whole)
    assert other != whole
    batches.clear()
    with interrupted_after(1):
        assert sample(tiny_run, out, "--resume") == 130
    assert batches == [(0, 2)]
    assert sample(tiny_run, out, "--resume") == 0
    assert batches == [(0, 2), (2, 2), (4, 1)]
    assert contents(out) == whole
    assert sample(tiny_run, out, "--seed", "1", "--resume") == 0
    assert contents(out) == other, "what was written over is not there any more"
    batches.clear()
    assert sample(tiny_run, out, "--seed", "1", "--resume", "--batch", "3") == 0
    assert batches == [], "how many at once changes the rounding only"


def test_without_resume_everything_is_made(
    tiny_run: Path, tmp_path: Path, whole: dict[str, bytes], batches: list[tuple[int, int]]
) -> None:
    out = tmp_path / "out"
    with interrupted_after(1):
        assert sample(tiny_run, out) == 130
    batches.clear()
    assert sample(tiny_run, out) == 0
    assert batches == [(0, 2), (2, 2), (4, 1)]
    assert contents(out) == whole
    assert not (out / ".sampled").exists()


@pytest.mark.slow
def test_two_processes_write_what_one_writes(tiny_run: Path, tmp_path: Path, whole: dict[str, bytes]) -> None:
    out = tmp_path / "out"
    options = [
        "sample",
        tiny_run,
        "--num-steps",
        "2",
        "--resolution",
        "12",
        "--batch",
        "2",
        "--count",
        "5",
        "--out",
        out,
    ]
    done = started(*launched("-m", "ddmi"), *options)
    assert done.returncode == 0, done.stderr[-3000:]
    said = [line for line in done.stderr.splitlines() if line.startswith("sampling")]
    assert said == ["sampling 1 to 2 of 5", "sampling 5 to 5 of 5"], "the other process made the others"
    assert contents(out) == whole
    assert done.stderr.count(f"wrote 5 samples to {out}") == 1
    assert not (out / ".sampled").exists()
