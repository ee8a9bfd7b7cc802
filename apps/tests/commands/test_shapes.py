"""Shapes, and shapes from sentences, at the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from ddmi import DDMI
from ddmi.cli import main
from ddmi_modalities.metrics import point_classifier
from ddmi_modalities.shape import evaluation, prompts, report

from .. import miniatures
from ..command_line import fails


@pytest.fixture(scope="module")
def shape_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("shapes") / "run"
    assert main(["train", "furniture", "--preset", "test", "--run", str(run)]) == 0
    return run


@pytest.fixture(scope="module")
def text_run(shape_run: Path) -> Path:
    """Stage 2 with text on the autoencoder of the other run."""
    run = shape_run.parent / "text"
    arguments = ["train", "furniture-text", "--preset", "test", "--run", str(run), "--vae", str(shape_run)]
    assert main(arguments) == 0
    return run


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """An untrained model's surface fills the cube, and takes seconds a shape at full resolution."""
    monkeypatch.setattr(evaluation, "RESOLUTION", 16)
    monkeypatch.setattr(report, "RESOLUTION", 16)
    monkeypatch.setattr(prompts, "LABELLED", 40)
    monkeypatch.setattr(point_classifier, "STEPS", 3)


def test_sample_meshes_in_any_format(shape_run: Path, tmp_path: Path) -> None:
    arguments = ["--count", "2", "--mesh-resolution", "16", "--format", "glb", "--picture", "32", "--turntable"]
    assert main(["sample", str(shape_run), "--out", str(tmp_path), *arguments]) == 0
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {f"00{i}.{kind}" for i in range(2) for kind in ("glb", "png", "gif")}


def test_reconstruct_a_cloud(shape_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    points = np.random.default_rng(0).uniform(-0.4, 0.4, (70, 3))
    trimesh.PointCloud(points).export(tmp_path / "cloud.ply")
    options = ["--mesh-resolution", "16", "--out", str(tmp_path / "out")]
    assert main(["reconstruct", str(shape_run), str(tmp_path / "cloud.ply"), *options]) == 0
    assert (tmp_path / "out" / "000.obj").exists()
    message = fails(capsys, "reconstruct", shape_run, tmp_path / "none.ply")
    assert "none.ply: cannot be read as a point cloud or mesh" in message


def test_whose_the_data_are_goes_where_the_model_goes(tmp_path: Path) -> None:
    """With the run, into what is exported, and into its card; also after the data are gone."""
    data, run, out = tmp_path / "data", tmp_path / "run", tmp_path / "out"
    miniatures.meshes(data)
    (data / "ATTRIBUTION.txt").write_text("Chairs by A. Carpenter, CC BY 3.0\n")
    assert main(["train", "shapes", "--preset", "test", "--data", str(data), "--run", str(run)]) == 0
    (data / "ATTRIBUTION.txt").unlink()
    assert main(["export", str(run), "--out", str(out)]) == 0
    assert (out / "ATTRIBUTION.txt").read_text() == "Chairs by A. Carpenter, CC BY 3.0\n"
    assert "\nChairs by A. Carpenter, CC BY 3.0\n" in (out / "README.md").read_text()
    assert DDMI.from_pretrained(out).attribution == "Chairs by A. Carpenter, CC BY 3.0"


@pytest.mark.usefixtures("coarse")
def test_a_shape_run_is_evaluated_and_reported(shape_run: Path) -> None:
    assert main(["report", str(shape_run)]) == 0
    pictures = {path.name for path in (shape_run / "report").iterdir()}
    assert {"reconstructions.png", "samples.png", "turntable.gif", "sample_0.glb"} <= pictures
    assert main(["evaluate", str(shape_run), "--count", "4", "--pairs", "2"]) == 0
    metrics = json.loads((shape_run / "metrics.json").read_text())
    wanted = {"iou", "iou/nearest_train", "chamfer_l1", "cov/samples", "cov/prior", "1nna/samples", "1nna/prior"}
    assert wanted <= set(metrics)


@pytest.mark.usefixtures("coarse")
def test_prompts(text_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert {"conditioner.safetensors", "denoiser.safetensors"} <= {path.name for path in text_run.iterdir()}
    options = ["--count", "2", "--mesh-resolution", "16", "--picture", "0", "--out", str(tmp_path)]
    assert main(["sample", str(text_run), "--prompt", "a round table", "--guidance-scale", "3", *options]) == 0
    assert main(["sample", str(text_run), *options]) == 0
    assert main(["report", str(text_run)]) == 0
    assert (text_run / "report" / "prompts.png").exists()
    assert main(["evaluate", str(text_run), "--count", "4", "--pairs", "2", "--guidance-scales", "0", "3"]) == 0
    metrics = json.loads((text_run / "metrics.json").read_text())
    assert {"kind/w0", "legs/w3", "top/w3", "class/true"} <= set(metrics)


def test_a_prompt_changes_what_is_generated(text_run: Path) -> None:
    model = DDMI.from_pretrained(text_run)
    assert model.conditioner is not None
    with torch.no_grad():  # two steps of training teach nothing: a strong cross-attention shows the way of the prompt
        for name, parameter in model.named_parameters():
            if "cross_out" in name or name.endswith("denoiser.out.weight"):
                parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))

    def made(prompt: str | None, scale: float | None = None) -> torch.Tensor:
        return model.sample(1, prompts=prompt, guidance_scale=scale, num_steps=2).grid((4, 4, 4))

    assert not torch.allclose(made("a round table"), made("a chair"))
    torch.testing.assert_close(made("a round table", 0.0), made("a chair", 0.0))  # w = 0 is no prompt at all
    torch.testing.assert_close(made("a chair", 0.0), made(None))
    with pytest.raises(ValueError, match="3 prompts for 2 functions"):
        model.sample(2, prompts=["a", "b", "c"])


def test_what_prompts_are_refused(shape_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "was trained without sentences" in fails(capsys, "sample", shape_run, "--prompt", "a chair")
    message = fails(capsys, "train", "furniture", "--preset", "test", "--text-weights", "x", "--run", shape_run / "x")
    assert "has no text" in message
    other = ["train", "furniture-text", "--preset", "test", "--run", shape_run.parent / "other", "--vae", shape_run]
    message = fails(capsys, *other, "--vae.latent-channels", "8")
    assert "its autoencoder is of another architecture" in message


def test_prepare_and_train_on_your_own_shapes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    miniatures.meshes(tmp_path / "meshes")
    options = ["--out", str(tmp_path / "out"), "--count", "500", "--workers", "1"]
    assert main(["prepare", "shapes", str(tmp_path / "meshes"), *options]) == 0
    assert (tmp_path / "out" / "boxes" / "train.lst").exists()
    train = ["train", "shapes", "--preset", "test", "--stage", "vae", "--run"]
    assert main([*train, str(tmp_path / "a"), "--data", str(tmp_path / "meshes")]) == 0
    assert main([*train, str(tmp_path / "b"), "--data", str(tmp_path / "out"), "--modality.near", "None"]) == 0
    assert "near=None" in fails(capsys, *train, tmp_path / "c", "--data", tmp_path / "out")
    assert "empty" in fails(capsys, "prepare", "shapes", tmp_path / "empty", "--out", tmp_path / "x")
