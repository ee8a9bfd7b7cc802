"""The hub is asked only where it is named."""

from __future__ import annotations

import shutil
from pathlib import Path

import huggingface_hub
import pytest

from ddmi import DDMI

from .command_line import fails


@pytest.fixture
def hub(tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None]]:
    """What is asked of a hub that has one model."""
    asked: list[tuple[str, str | None]] = []
    snapshot = tmp_path / "snapshots" / "0a1b2c3d"
    shutil.copytree(tiny_run, snapshot)

    def download(name: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        assert not any("pt" in pattern or "bin" in pattern for pattern in allow_patterns)
        asked.append((name, revision))
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return asked


def test_a_repository_by_its_name_and_revision(
    hub: list[tuple[str, str | None]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert DDMI.from_pretrained("hf:some/model").revision == "0a1b2c3d"
    assert DDMI.from_pretrained("hf:some/model@v1.0").can_sample
    assert hub == [("some/model", None), ("some/model", "v1.0")]
    from ddmi.cli import main

    capsys.readouterr()
    assert main(["sample", "hf:some/model", "--count", "1", "--num-steps", "1", "--out", str(tmp_path / "out")]) == 0
    assert "hf:some/model is commit 0a1b2c3d" in capsys.readouterr().err


@pytest.mark.parametrize("path", ["runs/demo", "owner/name"])
def test_a_path_never_leads_to_the_hub(
    hub: list[tuple[str, str | None]], path: str, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert f"there is no directory '{path}' here; a repository on the hub is named hf:{path}" in fails(
        capsys, "sample", path
    )
    with pytest.raises(ValueError, match=f"named hf:{path}"):
        DDMI.from_pretrained(path)
    assert not hub


@pytest.mark.parametrize("name", ["hf:", "hf:model", "hf:a/b/c", "hf:../x/y", "hf:a/b@", "hf:a/b@x y"])
def test_names_that_are_none(hub: list[tuple[str, str | None]], name: str) -> None:
    with pytest.raises(ValueError, match="names no repository; write hf:OWNER/NAME"):
        DDMI.from_pretrained(name)
    assert not hub


def test_a_hub_that_cannot_be_had_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def download(*_: object, **__: object) -> str:
        raise OSError("no route to host\nand more")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert "'hf:a/b' could not be had (no route to host)" in fails(capsys, "sample", "hf:a/b")
