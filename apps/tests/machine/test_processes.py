"""Both stages under `accelerate launch` follow one process with the same global batch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ..stopping import LAUNCH, started


@pytest.mark.slow
def test_two_processes_follow_one(tmp_path: Path) -> None:
    settings = ["train", "openmoji", "--preset", "test", "--vae-training.steps", "3", "--diffusion-training.steps", "3"]
    settings += ["--diffusion.cached-items", "3"]  # which two cannot share evenly
    for name, command in (("one", ["ddmi"]), ("two", LAUNCH)):
        done = started(*command, *settings, "--run", tmp_path / name)
        assert done.returncode == 0, done.stderr[-3000:]
    # processes that do not know of each other would train alike, and each write its own lines
    lines = [(tmp_path / name / "vae" / "metrics.jsonl").read_text().count("\n") for name in ("one", "two")]
    assert lines[0] == lines[1]
    for file in ("vae", "latent_space", "denoiser"):
        one, two = (load_file(tmp_path / name / f"{file}.safetensors") for name in ("one", "two"))
        for key, value in one.items():
            torch.testing.assert_close(two[key], value, rtol=1e-3, atol=1e-3, msg=f"{file}: {key} differs")
