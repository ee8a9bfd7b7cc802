"""Every example and package runs from installed wheels, alone."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
UV = shutil.which("uv")

EXAMPLES = {
    "plane_embedding.py": (["ddmi-fields"], ["--steps", "45", "--size", "32"], r"PlaneEmbedding .* ([\d.]+) dB", 20.0),
    "foreign_autoencoder.py": (["ddmi-diffusion"], ["--steps", "150"], r"decoded samples ([\d.]+)", 0.03),
    "custom_modality.py": (
        ["ddmi-fields", "ddmi-vae", "ddmi-diffusion", "ddmi-modalities"],
        ["--steps", "120"],
        r"resolution: ([\d.]+) dB",
        12.0,
    ),
}


def uv(*command: str, **options: object) -> subprocess.CompletedProcess[str]:
    assert UV is not None
    environment = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH")}
    done = subprocess.run([UV, *command], capture_output=True, text=True, env=environment, check=False, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr[-3000:]
    return done


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheels of all packages, built from this checkout."""
    if UV is None:
        pytest.skip("needs uv on the PATH: python3 -m pip install uv")
    dist = tmp_path_factory.mktemp("dist")
    uv("build", "-q", "--all-packages", "--wheel", "--no-sources", "-o", str(dist), cwd=ROOT)
    return dist


@pytest.mark.wheels
@pytest.mark.parametrize("name", EXAMPLES)
def test_example_runs_from_wheels(name: str, wheels: Path, tmp_path: Path) -> None:
    packages, arguments, pattern, least = EXAMPLES[name]
    python = tmp_path / "venv" / "bin" / "python"
    uv("venv", "-q", "--python", sys.executable, str(tmp_path / "venv"))
    fresh = [f"--refresh-package={package}" for package in packages]  # never wheels of an earlier checkout, by version
    uv("pip", "install", "-q", "--python", str(python), *fresh, "--find-links", str(wheels), *packages)
    siblings = uv("pip", "list", "--python", str(python)).stdout
    assert set(re.findall(r"^(ddmi\S*)", siblings, re.MULTILINE)) == set(packages), "nothing else came along"
    done = subprocess.run(
        [python, "-I", ROOT / "examples" / name, *arguments], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = re.search(pattern, done.stdout)
    assert found is not None, done.stdout
    assert float(found.group(1)) > least, done.stdout


@pytest.mark.slow
def test_the_example_of_completion_says_how_close_both_halves_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ddmi.cli import main

    run, out = tmp_path / "run", tmp_path / "completed.png"
    assert main(["train", "openmoji", "--preset", "test", "--run", str(run)]) == 0
    capsys.readouterr()
    line = ["complete.py", str(run), "--count", "2", "--num-steps", "4", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", line)
    runpy.run_path(str(ROOT / "examples" / "complete.py"), run_name="__main__")
    found = re.findall(r"^(\w+) +seen half +(\S+) dB, hidden half +(\S+) dB$", capsys.readouterr().out, re.MULTILINE)
    seen = {name: float(value) for name, value, _ in found}
    assert list(seen) == ["completed", "sampled", "reconstructed"]
    assert seen["completed"] > seen["sampled"] + 0.1  # what was seen is there
    assert out.exists()
