"""Both stages under `accelerate launch` follow one process with the same global batch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ddmi import DDMI
from ddmi.machine.processes import find_device

from ..command_line import fails
from ..stopping import launched, started


def test_the_first_device_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    for cuda, mps, wanted in ((True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")):
        monkeypatch.setattr("torch.cuda.is_available", lambda there=cuda: there)
        monkeypatch.setattr("torch.backends.mps.is_available", lambda there=mps: there)
        assert find_device("auto") == torch.device(wanted)
    assert find_device(torch.device("cpu")) == torch.device("cpu")


@pytest.mark.parametrize("command", ["sample", "evaluate", "report", "analyze", "reconstruct", "fit"])
def test_devices_that_are_not_there_are_named(
    tiny_run: Path, command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    file = ["x.png"] if command == "reconstruct" else []
    for device in ("cuda", "gpu0"):
        message = fails(capsys, command, tiny_run, *file, "--device", device)
        assert f"there is no device '{device}' here; choose auto, or one of cpu" in message


def test_reconstruct_takes_inputs_from_any_device(tiny_run: Path) -> None:
    model = DDMI.from_pretrained(tiny_run).to("meta")
    function = model.reconstruct((torch.zeros(2, 3, 16, 16),))
    assert function.basis.device.type == "meta"


@pytest.mark.slow
def test_two_processes_follow_one(tmp_path: Path) -> None:
    settings = ["train", "openmoji", "--preset", "test", "--vae-training.steps", "3", "--diffusion-training.steps", "3"]
    settings += ["--diffusion.cached-items", "3"]  # which two cannot share evenly
    for name, command in (("one", ["ddmi"]), ("two", launched("-m", "ddmi"))):
        done = started(*command, *settings, "--run", tmp_path / name)
        assert done.returncode == 0, done.stderr[-3000:]
    # processes that do not know of each other would train alike, and each write its own lines
    lines = [(tmp_path / name / "vae" / "metrics.jsonl").read_text().count("\n") for name in ("one", "two")]
    assert lines[0] == lines[1]
    for file in ("vae", "latent_space", "denoiser"):
        one, two = (load_file(tmp_path / name / f"{file}.safetensors") for name in ("one", "two"))
        for key, value in one.items():
            torch.testing.assert_close(two[key], value, rtol=1e-3, atol=1e-3, msg=f"{file}: {key} differs")
