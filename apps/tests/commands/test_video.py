"""Video at the command line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from accelerate import PartialState
from PIL import Image

from ddmi import DDMI
from ddmi.cli import main
from ddmi.experiment.config import DiffusionConfig, GANTraining
from ddmi.pipeline import GUIDE
from ddmi.recipes.presets import two_steps
from ddmi.registry import make_experiment
from ddmi.sampling.kept_samples import KeptSamples
from ddmi.serialization import from_json, to_json
from ddmi.training.run import Run
from ddmi_diffusion import OptimizerConfig, Trainer, TrainingInterrupted
from ddmi_modalities.files.clips import save_mp4
from ddmi_modalities.losses.configs import ClipDiscriminatorConfig, EfficientNetPerceptualConfig

from ..command_line import fails


@pytest.fixture(scope="module")
def video_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("videos") / "run"
    assert main(["train", "moving-openmoji", "--preset", "test", "--run", str(run)]) == 0
    return run


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 frames, 2 seconds: a grey wedge that moves."""
    path = tmp_path_factory.mktemp("films") / "film.mp4"
    frames = [np.roll(np.tile(np.linspace(0, 250, 36), (24, 1)), shift, 1) for shift in range(40)]
    save_mp4(torch.tensor(np.array(frames, dtype=np.uint8))[:, None].repeat(1, 3, 1, 1), path, 20)
    return path


def length(path: Path) -> tuple[int, float]:
    """Frames, and seconds that they play."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = sum(1 for _ in container.decode(stream))
        assert stream.average_rate is not None
        return frames, frames / float(stream.average_rate)


def test_help_is_had_without_data(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["train", "sky-timelapse", "--preset", "test", "--help"])
    assert ended.value.code == 0
    assert "--modality.stride" in capsys.readouterr().out


def test_sample_at_another_rate_and_size(video_run: Path, tmp_path: Path) -> None:
    options = ["--frames", "8", "--fps", "16", "--resolution", "24", "--count", "2", "--out", str(tmp_path)]
    assert main(["sample", str(video_run), *options]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {
        f"00{i}.{kind}" for i in range(2) for kind in ("mp4", "gif", "png")
    }
    assert length(tmp_path / "000.mp4") == (8, pytest.approx(0.5))
    with Image.open(tmp_path / "001.gif") as gif:
        assert gif.n_frames == 8  # type: ignore[attr-defined]
    model = DDMI.from_pretrained(video_run)
    assert model.sample(1).grid((5, 6, 7)).shape == (1, 3, 5, 6, 7)


def test_a_run_with_a_guide(
    video_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = DDMI.from_pretrained(video_run)
    assert model.guide is not None
    assert model.diffusion is not None
    weights, size = model.guide.state_dict(), (2, 4, 4)
    guided, alone = (model.sample(1, guidance_scale=scale).grid(size) for scale in (None, 1.0))
    assert not torch.equal(guided, alone)
    assert torch.equal(guided, model.sample(1, guidance_scale=model.experiment.diffusion.guidance_scale).grid(size))
    kept = KeptSamples(model, model.experiment, tmp_path / "kept", PartialState())
    assert torch.equal(guided, kept.sample(1).grid(size))
    model.save_pretrained(tmp_path / "copy")
    assert torch.equal(guided, DDMI.from_pretrained(tmp_path / "copy").sample(1).grid(size))
    # the guide is older than the network, and what is left of a training stopped after the guide's step
    assert any(not torch.equal(weights[name], value) for name, value in model.diffusion.state_dict().items())
    stopped, options = tmp_path / "stopped", ["train", "moving-openmoji", "--preset", "test", "--vae", str(video_run)]

    def stop(run: Trainer, done: int, *rest: Any) -> None:
        save(run, done, *rest)
        if done == 1 and run.run_dir.name == "diffusion":
            raise TrainingInterrupted("stopped")

    save = Trainer._save
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_save", stop)
        options += ["--run", str(stopped), "--diffusion-training.save-every", "1"]
        assert main(options) != 0
    assert main([*options, "--resume"]) == 0
    again = DDMI.from_pretrained(stopped).guide
    assert again is not None
    assert all(torch.equal(weights[name], value) for name, value in again.state_dict().items())
    (stopped / GUIDE).write_bytes((stopped / GUIDE).read_bytes()[:500])
    assert GUIDE in fails(capsys, "sample", stopped)
    (stopped / GUIDE).unlink()
    assert GUIDE in fails(capsys, "sample", stopped)


def test_a_guide_whose_time_is_past_is_kept_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train = ["train", "moving-openmoji", "--preset", "test", "--run", str(tmp_path), "--diffusion-training.steps"]
    save = Trainer._save

    def stop(run: Trainer, done: int, *rest: Any) -> None:
        save(run, done, *rest)
        if done == 3 and run.run_dir.name == "diffusion":
            raise TrainingInterrupted("stopped")

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_save", stop)
        assert main([*train, "100", "--diffusion-training.save-every", "1"]) != 0
    assert not (tmp_path / GUIDE).exists()
    assert main([*train, "5", "--resume"]) == 0
    assert "the guide's step, 2, is past: it is kept after step 4" in capsys.readouterr().err
    assert DDMI.from_pretrained(tmp_path).guide is not None


def test_guidance_without_a_guide(tiny_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = DDMI.from_pretrained(tiny_run)
    assert model.guide is None
    assert len(model.sample(1, guidance_scale=1.0)) == 1
    assert "guidance_scale 2.0 has nothing to go away from" in fails(
        capsys, "sample", tiny_run, "--guidance-scale", "2"
    )
    with pytest.raises(ValueError, match="steps"):
        model.sample(1, num_steps=0)


def test_a_guide_needs_a_time_of_its_own() -> None:
    for part in (0.0, 1.0, 15.0):
        with pytest.raises(ValueError, match=r"guide_after is a part of the training, in \(0, 1\)"):
            DiffusionConfig(guide_after=part)
    with pytest.raises(ValueError, match="guide_after is for recipes without text"):
        DiffusionConfig(guide_after=0.5, text=make_experiment("furniture-text", "test").diffusion.text)


def test_reconstruct_a_film(video_run: Path, film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["reconstruct", str(video_run), str(film), "--frames", "12", "--fps", "60", "--out", str(tmp_path)]) == 0
    )
    assert length(tmp_path / "000.mp4") == (12, pytest.approx(0.2))
    # by default the model's frames, in the time of the file's: 4 of 20 a second
    assert main(["reconstruct", str(video_run), str(film), "--out", str(tmp_path)]) == 0
    assert length(tmp_path / "000.mp4") == (4, pytest.approx(0.2))
    (tmp_path / "text.mp4").write_text("no film")
    assert "cannot read the video" in fails(capsys, "reconstruct", video_run, tmp_path / "text.mp4")


def test_a_video_run_is_evaluated_and_reported(video_run: Path) -> None:
    assert main(["report", str(video_run)]) == 0
    pictures = {path.name for path in (video_run / "report").iterdir()}
    assert {"reconstructions.png", "between.png", "samples.gif", "slow_motion.gif", "slow_motion.png"} <= pictures
    assert main(["evaluate", str(video_run), "--count", "4", "--pairs", "2", "--rates", "2", "4"]) == 0
    metrics = json.loads((video_run / "metrics.json").read_text())
    wanted = {"psnr", "ssim", "psnr/mean_frame", "psnr/2x", "psnr_blend/4x"}
    wanted |= {f"fd/{side}" for side in ("samples", "prior", "reconstructions", "real")}
    assert wanted <= set(metrics)


def test_train_on_your_own_film(film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = ["train", "sky-timelapse", "--preset", "test", "--run"]
    assert main([*train, str(tmp_path / "run"), "--data", str(film)]) == 0
    assert main(["evaluate", str(tmp_path / "run"), "--pairs", "1"]) == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert "psnr/mean_frame" in metrics
    assert "psnr/4x" not in metrics  # nobody knows what is between stored frames
    assert main(["report", str(tmp_path / "run")]) == 0
    assert "does not exist" in fails(capsys, *train, tmp_path / "a", "--data", tmp_path / "none.mp4")
    message = fails(capsys, *train, tmp_path / "b", "--data", film, "--modality.stride", "20")
    assert "film.mp4: has 40 frames, and a clip of 4 with stride 20 needs 61" in message


@pytest.mark.parametrize("preset", ["test", "demo", "small", "recommended"])
def test_shapes_of_every_preset_fit(preset: str) -> None:
    experiment = make_experiment("sky-timelapse", preset, "somewhere")
    with torch.device("meta"):
        vae = experiment.vae.build(experiment.modality.layout)
        moments = vae.encoder((torch.zeros(1, 3, experiment.modality.frames, *2 * [experiment.modality.size]),))
        assert vae.decode(tuple(plane.chunk(2, dim=1)[0] for plane in moments)).fields[-1][0].shape[-1] >= 16


def test_configurations_of_older_runs_are_read() -> None:
    data = to_json(make_experiment("openmoji", "test"))
    del data["vae"]["decoder"]["scaled_axes"], data["vae"]["encoder"]["scaled_axes"]
    assert from_json(data, type(make_experiment("openmoji", "test"))) == make_experiment("openmoji", "test")


def test_windows_with_perceptual_and_adversarial_terms(film: Path, tmp_path: Path) -> None:
    experiment = make_experiment("sky-timelapse", "test", str(film))
    modality = replace(
        experiment.modality, frames=8, num_queries=0, shown=8, crop=16, target_sizes=(16,), target_weights=(1.0,)
    )
    losses = replace(
        experiment.losses,
        perceptual=EfficientNetPerceptualConfig(),
        discriminator=ClipDiscriminatorConfig(width=8, layers=1, clip_layers=1, frames=8),
    )
    gan = GANTraining(training=two_steps(), discriminator=OptimizerConfig())
    run = Run(replace(experiment, modality=modality, losses=losses, gan=gan), tmp_path / "run")
    run.train(("vae", "vae-gan"), resume=False)
    (last,) = (tmp_path / "run" / "vae-gan" / "metrics.jsonl").read_text().splitlines()[-1:]
    assert {"perceptual", "adversarial"} <= set(json.loads(last))
