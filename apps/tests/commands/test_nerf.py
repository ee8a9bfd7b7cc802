"""Radiance fields at the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ddmi.cli import main

from .. import miniatures
from ..command_line import fails, refused


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
    assert "name it .mp4 or" in refused(capsys, "sample", run, "--orbit", "clip.avi")
    assert "none" in fails(capsys, "reconstruct", run, tmp_path / "none")
    (tmp_path / "empty").mkdir()
    assert "empty" in fails(
        capsys, "train", "srn-cars", "--preset", "test", "--data", tmp_path / "empty", "--run", tmp_path / "x"
    )


def test_prepare_and_train_on_your_own_views(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In SRN's layout: pictures, camera-to-world matrices, one focal length, no points."""
    data, train = (
        miniatures.srn(tmp_path / "cars"),
        ["train", "srn-cars", "--preset", "test", "--stage", "vae", "--run"],
    )
    assert "ddmi prepare srn-cars" in fails(capsys, *train, tmp_path / "a", "--data", data)
    options = ["--out", str(tmp_path / "out"), "--count", "300", "--workers", "1"]
    assert main(["prepare", "srn-cars", str(data), *options]) == 0
    said = capsys.readouterr().err
    assert "wrote 5 scenes" in said
    assert "prepared by recipe 'srn-cars': train 3, test 2, left out 0" in said
    assert main(["prepare", "srn-cars", str(data), *options]) == 0
    assert "wrote 0 scenes" in capsys.readouterr().err
    assert main([*train, str(tmp_path / "b"), "--data", str(tmp_path / "out")]) == 0
    one = next((tmp_path / "out").rglob("*.npz"))
    options = ["--views", "1", "--resolution", "8", "--samples", "4", "--out", str(tmp_path / "again")]
    assert main(["reconstruct", str(tmp_path / "b"), str(one), *options]) == 0
