"""Radiance fields at the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from ddmi.cli import main
from ddmi.recipes import make_experiment
from ddmi.serialization import from_json, to_json

from .test_cli import fails


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("scenes") / "run"
    assert main(["train", "turntable", "--preset", "test", "--run", str(run)]) == 0
    return run


def test_sample_views_depth_clips_and_meshes(run: Path, tmp_path: Path) -> None:
    options = ["--count", "2", "--views", "3", "--resolution", "16", "--samples", "8", "--depth"]
    more = ["--mesh", "--mesh-resolution", "16", "--orbit", str(tmp_path / "turn.mp4"), "--frames", "3"]
    assert main(["sample", str(run), *options, *more, "--out", str(tmp_path / "out")]) == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {f"00{i}{end}" for i in range(2) for end in (".png", "-depth.png", ".glb")}
    assert {path.name for path in tmp_path.glob("turn*")} == {
        f"turn-00{i}.{k}" for i in range(2) for k in ("mp4", "gif")
    }


def test_a_run_is_evaluated_and_reported(run: Path) -> None:
    assert main(["report", str(run)]) == 0
    assert {"unseen_views.png", "samples.png", "orbit.gif"} <= {path.name for path in (run / "report").iterdir()}
    assert main(["evaluate", str(run), "--scenes", "1", "--count", "2", "--poses", "1"]) == 0
    metrics = json.loads((run / "metrics.json").read_text())
    wanted = {"psnr/unseen_views", "psnr/mean_image", "psnr/nearest_view", "psnr/2x", "psnr_bicubic/2x", "fd/samples"}
    assert wanted <= set(metrics)


def test_bad_input_is_one_line(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["sample", str(run), "--orbit", "clip.avi"])
    assert "name it .mp4 or" in capsys.readouterr().err
    assert "none" in fails(capsys, "reconstruct", run, tmp_path / "none")
    (tmp_path / "empty").mkdir()
    assert "empty" in fails(
        capsys, "train", "srn-cars", "--preset", "test", "--data", tmp_path / "empty", "--run", tmp_path / "x"
    )


@pytest.mark.parametrize("recipe", ["turntable", "srn-cars"])
@pytest.mark.parametrize("preset", ["test", "demo", "small", "paper"])
def test_every_preset_is_a_model(recipe: str, preset: str) -> None:
    experiment = make_experiment(recipe, preset, "somewhere" if recipe == "srn-cars" else None)
    assert from_json(json.loads(json.dumps(to_json(experiment))), type(experiment)) == experiment
    with torch.device("meta"):
        experiment.vae.build(experiment.modality.layout)
