"""Both stages under `accelerate launch` follow one process with the same global batch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file


@pytest.mark.slow
def test_two_processes_follow_one(tmp_path: Path) -> None:
    settings = ["train", "openmoji", "--preset", "test", "--vae-training.steps", "3", "--diffusion-training.steps", "3"]
    settings += ["--vae-training.device", "cpu", "--diffusion-training.device", "cpu"]
    launch = ["accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0", "-m", "ddmi"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for name, command in (("one", ["ddmi"]), ("two", launch)):
        done = subprocess.run(
            [sys.executable, "-m", *command, *settings, "--run", str(tmp_path / name)],
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
    for file in ("vae", "latent_space", "denoiser"):
        one, two = (load_file(tmp_path / name / f"{file}.safetensors") for name in ("one", "two"))
        for key, value in one.items():
            torch.testing.assert_close(two[key], value, rtol=1e-3, atol=1e-3, msg=f"{file}: {key} differs")
