"""A kind of signal in a distribution of its own, as docs/how-to/modality.md shows it, installed beside our wheels."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .documents import files_of

ROOT = Path(__file__).resolve().parent.parent
UV = shutil.which("uv")

LOADED = """
from ddmi import DDMI, RECIPES
model = DDMI.from_pretrained("run")
print(type(model.experiment.modality).__name__, tuple(model.sample(2).grid((8, 8)).shape), "waves" in RECIPES)
"""


def run(*command: str | Path, folder: Path = ROOT, code: int = 0) -> str:
    """What a command says."""
    environment = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH")}
    environment["XDG_CACHE_HOME"] = str(folder / "cache")
    if command[0] == UV:
        del environment["XDG_CACHE_HOME"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment, cwd=folder)
    assert done.returncode == code, done.stderr[-3000:]
    return done.stdout + done.stderr


@pytest.mark.wheels
def test_a_plug_in_is_used_like_what_comes_with_us(tmp_path: Path) -> None:
    if UV is None:
        pytest.skip("needs uv on the PATH: python3 -m pip install uv")
    source, dist, environment = tmp_path / "ddmi-waves", tmp_path / "dist", tmp_path / "venv" / "bin"
    source.mkdir()
    for name, content in files_of(ROOT / "docs" / "how-to" / "modality.md").items():
        (source / name).write_text(content)
    run(UV, "build", "-q", "--all-packages", "--wheel", "--no-sources", "-o", dist)
    run(UV, "build", "-q", "--wheel", "-o", dist, source)
    run(UV, "venv", "-q", "--python", sys.executable, environment.parent)
    ours = ("ddmi", "ddmi-fields", "ddmi-vae", "ddmi-diffusion", "ddmi-modalities", "ddmi-models", "ddmi-waves")
    fresh = [f"--refresh-package={name}" for name in ours]  # never wheels of an earlier checkout, by version
    wanted = ("ddmi-waves", "ddmi-models")
    run(UV, "pip", "install", "-q", "--python", environment / "python", *fresh, "--find-links", dist, *wanted)
    ddmi = environment / "ddmi"

    (listed,) = (line for line in run(ddmi, "recipes", folder=tmp_path).splitlines() if line.startswith("waves"))
    assert listed.endswith("  damped waves of place and time; no evening, small, recommended, paper")
    run(ddmi, "train", "waves", "--preset", "test", "--run", "run", "--modality.items", "8", folder=tmp_path)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["distributions"] == {
        "modality/waves": "ddmi-waves"
    }
    assert "rmse" in run(ddmi, "evaluate", "run", "--count", "4", folder=tmp_path)
    run(ddmi, "sample", "run", "--count", "2", "--resolution", "24", "--out", "made", folder=tmp_path)
    assert sorted(path.name for path in (tmp_path / "made").glob("*.png")) == ["000.png", "001.png"]
    (tmp_path / "speed.txt").write_text("0.5")
    run(ddmi, "reconstruct", "run", "speed.txt", "--out", "again", folder=tmp_path)
    run(ddmi, "report", "run", folder=tmp_path)
    assert (tmp_path / "run" / "report" / "reconstructions.png").stat().st_size > 100
    run(ddmi, "explore", "run", "--html", "waves.html", "--count", "2", folder=tmp_path)
    assert (tmp_path / "waves.html").read_text().count("data:image/png;base64,") == 2
    run(ddmi, "sample", "moving-openmoji", "--count", "1", "--num-steps", "2", "--out", "clips", folder=tmp_path)
    assert (tmp_path / "clips" / "000.mp4").exists()
    assert "WaveModality (2, 1, 8, 8) True" in run(environment / "python", "-I", "-c", LOADED, folder=tmp_path)

    run(UV, "pip", "uninstall", "-q", "--python", environment / "python", "ddmi-waves")
    said = run(ddmi, "sample", "run", folder=tmp_path, code=2)
    assert "the type 'modality/waves' is not known here; install it: pip install ddmi-waves" in said
    assert "waves" not in run(ddmi, "recipes", folder=tmp_path)
