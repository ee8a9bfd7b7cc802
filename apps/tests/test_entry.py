"""Where the command begins: an interrupt amid its imports is an interrupt, and a full output is one line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

import ddmi.__main__ as entry

from .command_line import fails


@pytest.fixture
def interrupted() -> Iterator[None]:
    class Interrupt:
        def find_spec(
            self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
        ) -> ModuleSpec | None:
            if name == "ddmi.cli":
                raise KeyboardInterrupt
            return None

    kept = sys.modules.pop("ddmi.cli", None)
    finder = Interrupt()
    sys.meta_path.insert(0, finder)  # type: ignore[arg-type]
    yield
    sys.meta_path.remove(finder)  # type: ignore[arg-type]
    if kept is not None:
        sys.modules["ddmi.cli"] = kept


def test_an_interrupt_amid_imports(interrupted: None) -> None:
    assert entry.run() == 130


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_output_to_a_full_device_is_one_line() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-m", "ddmi", "recipes"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert "No space left on device" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_cache_that_cannot_be_written_names_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    message = fails(capsys, "train", "openmoji", "--preset", "test", "--run", tmp_path / "run")
    assert (
        "cannot be written (Not a directory); fix its permissions, or set XDG_CACHE_HOME to another folder" in message
    )
