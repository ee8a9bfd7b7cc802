"""Weights are as they were written, or are refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from ddmi import DDMI
from ddmi.machine import listed_weights
from ddmi.machine.listed_weights import MANIFEST, check_listed, read_manifest, save_listed

from ..command_line import fails


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> Path:
    shutil.copytree(tiny_run, tmp_path / "run")
    return tmp_path / "run"


def test_a_model_lists_all_its_weights(run: Path) -> None:
    assert set(read_manifest(run)) == {path.name for path in run.glob("*.safetensors")}
    model = DDMI.from_pretrained(run)
    model.save_pretrained(run.parent / "copy")
    assert read_manifest(run.parent / "copy") == read_manifest(run)


@pytest.mark.parametrize("name", ["vae", "denoiser", "latent_space"])
def test_one_flipped_bit_is_noticed(run: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = run / f"{name}.safetensors"
    content = bytearray(file.read_bytes())
    content[-5] ^= 1  # of a number, which stays one
    file.write_bytes(content)
    message = fails(capsys, "sample", run, "--out", run.parent / "out")
    assert f"{file} is not as it was written" in message
    assert "restore it from a copy, or train again" in message


def test_models_without_a_manifest_are_read(run: Path) -> None:
    (run / MANIFEST).unlink()
    assert DDMI.from_pretrained(run).can_sample


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"sha256": 3}', '{"sha256": {"vae.safetensors": null}}', "[" * 10**5]
)
def test_a_damaged_manifest_is_named(run: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    (run / MANIFEST).write_text(text)
    assert "manifest.json" in fails(capsys, "sample", run, "--out", run.parent / "out")


def test_whoever_is_killed_in_between_leaves_what_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.safetensors"
    save_listed(file, {"x": torch.zeros(3)})
    save_listed(tmp_path / "b.safetensors", {"x": torch.zeros(3)})

    class Killed(BaseException):
        pass

    def killed(path: Path) -> str:
        raise Killed

    monkeypatch.setattr(listed_weights, "sha256_file", killed)
    with pytest.raises(Killed):
        save_listed(file, {"x": torch.ones(3)})
    monkeypatch.undo()
    check_listed(file)
    assert set(read_manifest(tmp_path)) == {"b.safetensors"}
