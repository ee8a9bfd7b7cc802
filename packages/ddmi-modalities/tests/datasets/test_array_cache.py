"""Arrays that are built once: by one process, whole, and again where they are damaged."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ddmi_modalities.datasets.array_cache import cached_array, shared_bytes


def count(target: NDArray[Any], report: Callable[[int], object]) -> None:
    for row in range(len(target)):
        target[row] = row
        report(1)


def refuse(target: NDArray[Any], report: Callable[[int], object]) -> None:
    pytest.fail("built twice")


def test_built_once_and_mapped(tmp_path: Path) -> None:
    file = tmp_path / "sub" / "six.npy"
    built = cached_array(file, (6, 2), np.int64, count, "counting")
    assert isinstance(built, np.memmap)
    assert built.tolist() == [[row, row] for row in range(6)]
    assert not built.flags.writeable
    assert np.array_equal(cached_array(file, (6, 2), np.int64, refuse, "counting"), built)
    assert [path.name for path in sorted(file.parent.iterdir())] == ["six.lock", "six.npy"]


@pytest.mark.parametrize("damage", ["empty", "truncated", "text", "shape"])
def test_a_damaged_file_is_built_again(tmp_path: Path, damage: str, said: list[str]) -> None:
    file = tmp_path / "six.npy"
    whole = np.array(cached_array(file, (6, 2), np.int64, count, "counting"))
    content = file.read_bytes()
    if damage == "shape":
        np.save(file, whole[:2])
    else:
        file.write_bytes({"empty": b"", "truncated": content[: len(content) // 2], "text": b"not an array"}[damage])
    assert np.array_equal(cached_array(file, (6, 2), np.int64, count, "counting"), whole)
    assert said == [f"{file} is damaged: building it again"]


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    def fail(target: NDArray[Any], report: Callable[[int], object]) -> None:
        count(target[:3], report)
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        cached_array(tmp_path / "six.npy", (6, 2), np.int64, fail, "counting")
    assert [path.name for path in tmp_path.iterdir()] == ["six.lock"]


def test_of_two_processes_one_builds(tmp_path: Path) -> None:
    program = """
import sys, time
from pathlib import Path
from ddmi_modalities.datasets.array_cache import cached_array, shared_bytes

def fill(target, report):
    time.sleep(1)
    target[:] = 7
    with open(sys.argv[1] + ".log", "a") as log:
        log.write("built ")

print(int(cached_array(Path(sys.argv[1]), (5,), "int64", fill, "x").sum()))
"""
    command = [sys.executable, "-c", program, str(tmp_path / "shared.npy")]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=60)[0].strip() for process in running]
    assert outputs == ["35", "35"]
    assert (tmp_path / "shared.npy.log").read_text() == "built "


@pytest.mark.parametrize(
    "make",
    [
        lambda file: cached_array(file, (2,), np.float32, lambda target, report: target.fill(1), "ones"),
        lambda file: shared_bytes(file, 5),
    ],
)
def test_what_a_killed_process_left_is_removed(make: Callable[[Path], object], tmp_path: Path) -> None:
    stale, other = tmp_path / "a.x1.building", tmp_path / "b.x1.building"
    stale.touch()
    other.touch()
    make(tmp_path / "a.npy")
    assert not stale.exists()
    assert other.exists(), "somebody else may be building that"
