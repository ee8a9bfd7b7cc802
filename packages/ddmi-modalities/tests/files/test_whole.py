"""Files that are there as a whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ddmi_modalities.files.whole import remove_halves, whole

KILLED = """
import os, signal, sys
from pathlib import Path
from ddmi_modalities.files.whole import whole
with whole(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / ".notes.1.png").touch()
    assert subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "a.png")], check=False).returncode == -9
    assert len(list(tmp_path.iterdir())) == 2
    with whole(tmp_path / "b.png") as temporary:
        assert temporary.suffix == ".png"
        temporary.write_text("whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".notes.1.png", "b.png"]


def test_folders_in_which_nothing_is_written_any_more_can_be_tidied(tmp_path: Path) -> None:
    assert subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "a.png")], check=False).returncode == -9
    remove_halves(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    def half() -> None:
        with whole(tmp_path / "a.png") as temporary:
            temporary.write_text("half")
            raise ValueError("no")

    (tmp_path / "a.png").write_text("before")
    with pytest.raises(ValueError, match="no"):
        half()
    assert os.listdir(tmp_path) == ["a.png"]
    assert (tmp_path / "a.png").read_text() == "before"
