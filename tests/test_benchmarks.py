"""Benchmarks that a machine elsewhere is to run work, at their smallest size."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from .documents import ROOT


def test_the_benchmark_of_gpus_runs_on_a_cpu(tmp_path: Path) -> None:
    line = (sys.executable, str(ROOT / "benchmarks" / "gpu.py"), "--size", "tiny", "--out", str(tmp_path / "gpu.json"))
    done = subprocess.run(line, capture_output=True, text=True, timeout=600, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert set(found["kernels"].values()) <= {"flash_attention", "efficient_attention", "cudnn_attention"}
    assert found["read_out"]["scale-conditioned, float32"]["rms_over_std"] == 0
    assert 0 < found["bfloat16/denoiser_rms_over_std"] < 0.05
    for stage in ("vae", "diffusion"):
        assert found[f"steps/openmoji/{stage}"]["tflop_a_step"] > 0
        assert 0 < found[f"steps/openmoji/{stage}"]["of_product_rate"] < 1.5


def test_paper_sizes_are_refused_on_a_cpu() -> None:
    line = (sys.executable, str(ROOT / "benchmarks" / "gpu.py"))
    done = subprocess.run(
        line, capture_output=True, text=True, timeout=300, env=os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    )
    assert done.returncode == 2
    assert "give --size tiny" in done.stderr
