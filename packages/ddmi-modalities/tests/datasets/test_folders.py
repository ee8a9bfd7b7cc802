"""Folders are walked alike for every kind of file: links followed, hidden parts left out, unread files counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from ddmi_modalities.datasets.folders import names_below, subfolders
from ddmi_modalities.files.kinds import MESHES, PICTURES, VIDEOS, Kind


def touched(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


@pytest.mark.parametrize(("kind", "ending"), [(PICTURES, ".png"), (VIDEOS, ".mp4"), (MESHES, ".obj")])
def test_what_computers_leave_behind_is_nobodys(tmp_path: Path, kind: Kind, ending: str) -> None:
    hidden = (".cache", "@eaDir", "__MACOSX", "#recycle", "$RECYCLE.BIN", "b/.Spotlight-V100/x")
    touched(tmp_path, f"a{ending}", f"b/c{ending.upper()}", *(f"{one}/d{ending}" for one in hidden), f"b/._c{ending}")
    assert names_below(tmp_path, kind) == [f"a{ending}", f"b/c{ending.upper()}"]


@pytest.mark.parametrize(("kind", "ending"), [(PICTURES, ".webp"), (VIDEOS, ".mkv"), (MESHES, ".stl")])
def test_links_are_followed_once(tmp_path: Path, kind: Kind, ending: str) -> None:
    root, elsewhere = touched(tmp_path / "root", f"a{ending}"), touched(tmp_path / "elsewhere", f"b{ending}")
    (root / "link").symlink_to(elsewhere, target_is_directory=True)
    (elsewhere / "circle").symlink_to(root, target_is_directory=True)
    (root / f"gone{ending}").symlink_to(tmp_path / "nowhere")
    assert names_below(root, kind) == [f"a{ending}", f"link/b{ending}"]
    assert [folder.name for folder in subfolders(root)] == ["link"]


def test_unread_files_are_counted_aloud_once(tmp_path: Path, said: list[str]) -> None:
    touched(tmp_path, "a.png", "b.psd", "c.PSD", "d.CR2", "e.txt")
    for _ in range(2):
        assert names_below(tmp_path, PICTURES) == ["a.png"]
    (message,) = said
    assert "3 files are not read as images: 2 .psd (convert them to PNG or JPEG), 1 .cr2" in message
