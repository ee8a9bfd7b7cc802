"""The hub is asked, and written to, only where it is named."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
import torch

from ddmi import DDMI
from ddmi.cli import main

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


class Hub:
    """What is written to it, in place of `HfApi`."""

    repositories: dict[str, Path]
    private: bool | None

    def create_repo(self, name: str, *, private: bool | None, exist_ok: bool) -> None:
        assert exist_ok
        Hub.private = private

    def upload_folder(
        self, *, repo_id: str, folder_path: Path, allow_patterns: list[str], delete_patterns: list[str], **_: Any
    ) -> SimpleNamespace:
        there = Hub.repositories[repo_id]
        there.mkdir(exist_ok=True)
        for pattern in delete_patterns:
            for old in there.glob(pattern):
                old.unlink()
        for pattern in allow_patterns:
            for new in Path(folder_path).glob(pattern):
                shutil.copy(new, there)
        return SimpleNamespace(commit_url=f"https://hub/{repo_id}/commit/0a1b2c3d")


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The repository me/drawings, which can be read again too."""
    folder = tmp_path / "0a1b2c3d"
    Hub.repositories = {"me/drawings": folder}
    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, **_: str(Hub.repositories[name]))
    return folder


def test_a_pushed_model_comes_back(tiny_run: Path, written: Path) -> None:
    model = DDMI.from_pretrained(tiny_run)
    written.mkdir()
    (written / "guide.safetensors").touch()  # of another model
    assert model.push_to_hub("me/drawings", private=True, figures={"psnr/64": 26.0}).endswith("/commit/0a1b2c3d")
    assert Hub.private
    assert {path.name for path in written.iterdir()} == {
        "ATTRIBUTION.txt", "README.md", "config.json", "denoiser.safetensors", "latent_space.safetensors",
        "manifest.json", "vae.safetensors",
    }  # fmt: skip
    card = (written / "README.md").read_text()
    for part in ("# drawings", 'from_pretrained("hf:me/drawings")', "| psnr/64 | 26 |"):
        assert part in card
    again = DDMI.from_pretrained("hf:me/drawings")
    assert torch.equal(again.sample_latents(1, num_steps=2), model.sample_latents(1, num_steps=2))


def test_an_export_is_pushed(tiny_run: Path, written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["export", str(tiny_run), "--out", str(tmp_path / "out"), "--push", "me/drawings"]) == 0
    assert "hf:me/drawings is https://hub/me/drawings/commit/0a1b2c3d" in capsys.readouterr().err
    assert {path.name for path in written.iterdir()} == {path.name for path in (tmp_path / "out").iterdir()}
    assert 'from_pretrained("hf:me/drawings")' in (written / "README.md").read_text()


@pytest.mark.parametrize("name", ["drawings", "hf:me/drawings", "me/drawings@v1", "a/b/c", ""])
def test_nothing_is_made_for_a_name_that_is_none(
    name: str, tiny_run: Path, written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match="names no repository to write to; write OWNER/NAME"):
        DDMI.from_pretrained(tiny_run).push_to_hub(name)
    assert "write OWNER/NAME" in fails(capsys, "export", tiny_run, "--out", tmp_path / "out", "--push", name)
    assert not written.exists()
    assert not (tmp_path / "out").exists()


def test_a_hub_that_refuses_is_one_line_with_the_remedy(
    tiny_run: Path, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("401 Unauthorized\nand more")

    monkeypatch.setattr(Hub, "create_repo", refuse)
    message = r"'me/drawings' could not be written to \(401 Unauthorized\); see to the network, and log in"
    with pytest.raises(ValueError, match=message):
        DDMI.from_pretrained(tiny_run).push_to_hub("me/drawings")
    assert not written.exists()
