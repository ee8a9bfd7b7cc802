"""Radiance fields at the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ddmi.cli import main
from ddmi_modalities.nerf.turntable import Turntable

from .test_cli import fails, refused


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
    data = Turntable("train", 12, size=24, cache=tmp_path)
    for scene in (data[i] for i in range(12)):
        views, folder = scene.views("all"), tmp_path / "cars" / scene.name
        for name in ("rgb", "pose"):
            (folder / name).mkdir(parents=True)
        for k, (image, pose) in enumerate(zip(views.images, views.cameras.to_world, strict=True)):
            Image.fromarray(np.array(image)).save(folder / "rgb" / f"{k:06d}.png")
            np.savetxt(folder / "pose" / f"{k:06d}.txt", pose.reshape(1, 16))
        (folder / "intrinsics.txt").write_text(f"{views.cameras.focal[0, 0]} 12 12 0.\n0. 0. 0.\n1.\n24 24\n")
    train = ["train", "srn-cars", "--preset", "test", "--stage", "vae", "--run"]
    assert "ddmi prepare nerf" in fails(capsys, *train, tmp_path / "a", "--data", tmp_path / "cars")
    assert main(["prepare", "nerf", str(tmp_path / "cars"), str(tmp_path / "out"), "--count", "300"]) == 0
    assert "wrote 12 scenes" in capsys.readouterr().err
    assert main([*train, str(tmp_path / "b"), "--data", str(tmp_path / "out")]) == 0
    one = next((tmp_path / "out").rglob("*.npz"))
    options = ["--views", "1", "--resolution", "8", "--samples", "4", "--out", str(tmp_path / "again")]
    assert main(["reconstruct", str(tmp_path / "b"), str(one), *options]) == 0
