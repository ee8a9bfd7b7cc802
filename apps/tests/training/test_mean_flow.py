"""Stage mean-flow, through the command line: a run of the second stage that goes on to few steps."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from ddmi import DDMI
from ddmi.cli import main
from ddmi_diffusion import LatentDiffusion, encode_prompts

from ..command_line import fails


def continued(run: Path, *options: str) -> None:
    config = str(run / "config.json")
    assert main(["train", "--config", config, "--run", str(run), "--stage", "mean-flow", "--resume", *options]) == 0


@pytest.fixture(scope="module")
def few(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("mean-flow") / "run"
    shutil.copytree(tiny_run, run)
    continued(run, "--mean-flow-training.preview-every=2", "--mean-flow-training.validate-every=1")
    return run


def test_samples_take_four_calls_of_the_network(few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    predict = LatentDiffusion.predict

    def counted(self: LatentDiffusion, *arguments: object) -> torch.Tensor:
        calls.append(self.takes_spans)
        return predict(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(LatentDiffusion, "predict", counted)
    line = ["sample", str(few), "--sampler", "mean-flow", "--count", "2", "--resolution", "16", "--out", str(tmp_path)]
    assert main(line) == 0
    assert calls == [True] * 4
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["000.png", "001.png"]


def test_a_saved_model_has_it(few: Path, tmp_path: Path) -> None:
    model = DDMI.from_pretrained(few)
    model.save_pretrained(tmp_path)
    again = DDMI.from_pretrained(tmp_path)
    one, other = (each.sample_latents(2, seed=1, sampler="mean-flow", num_steps=3) for each in (model, again))
    assert torch.equal(one, other)
    assert not torch.equal(one, model.sample_latents(2, seed=1, num_steps=3))
    assert (few / "mean-flow" / "previews" / "00000002.png").exists()
    rows = [json.loads(line) for line in (few / "mean-flow" / "metrics.jsonl").read_text().splitlines()]
    assert all(row["held_out/loss"] > 0 for row in rows)


def test_of_a_denoiser_that_was_trained_on_it_is_left_aside(
    few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(few, run)
    for name in ("denoiser.safetensors", "guide.safetensors"):
        (run / name).unlink(missing_ok=True)
    shutil.rmtree(run / "diffusion")
    config = str(run / "config.json")
    options = ["--stage", "diffusion", "--resume", "--diffusion-training.seed", "7"]
    assert main(["train", "--config", config, "--run", str(run), *options]) == 0
    assert DDMI.from_pretrained(run).mean_flow is None
    assert main(["sample", str(run), "--count", "1", "--out", str(tmp_path / "samples")]) == 0
    assert "is of another denoiser than" in capsys.readouterr().err


def test_errors_name_the_remedy(tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = fails(capsys, "sample", tiny_run, "--sampler", "mean-flow", "--out", tmp_path)
    assert "has no mean_flow.safetensors: train it with `ddmi train ... --stage mean-flow --resume`" in message
    line = ["train", "openmoji", "--preset", "test", "--stage", "mean-flow", "--run", str(tmp_path / "new")]
    assert "train `--stage vae` first" in fails(capsys, *line)
    shutil.copytree(tiny_run, tmp_path / "first")
    (tmp_path / "first" / "denoiser.safetensors").unlink()
    line = [
        "train",
        "openmoji",
        "--preset",
        "test",
        "--stage",
        "mean-flow",
        "--resume",
        "--run",
        str(tmp_path / "first"),
    ]
    assert "train `--stage diffusion` first: this stage goes on from its weights" in fails(capsys, *line)
    line = ["train", "openmoji", "--preset", "test", "--stage", "mean-flow", "--dry-run"]
    v = ("--set", "diffusion.noise.shift=1.0", "--set", "diffusion.noise.prediction=v")
    assert "learned from a flow model, and this one predicts 'v'" in fails(capsys, *line, *v)


def test_sentences_are_kept(tmp_path: Path) -> None:
    assert main(["train", "furniture-text", "--preset", "test", "--run", str(tmp_path)]) == 0
    before = (tmp_path / "conditioner.safetensors").read_bytes()
    continued(tmp_path)
    assert (tmp_path / "conditioner.safetensors").read_bytes() == before
    model = DDMI.from_pretrained(tmp_path)
    one, other = (
        model.sample_latents(1, seed=1, sampler="mean-flow", prompts=prompt) for prompt in ("a table", "a chair")
    )
    assert not torch.equal(one, other)
    with pytest.raises(
        ValueError, match=r"the mean flow was trained with guidance_scale 3.0 at all times and has no other"
    ):
        model.sample(1, sampler="mean-flow", prompts="a table", guidance_scale=7.0)
    with pytest.raises(ValueError, match=r"at all times and has no other"):
        model.sample(1, sampler="mean-flow", prompts="a table", guidance_interval=(0.2, 0.8))
    # its guidance is in it: by another sampler too, it is not guided once more
    alone = model.of_few_steps()
    assert alone.diffusion is not None
    plain = alone.diffusion.sample(
        1, seed=1, num_steps=3, sampler="euler", cond=encode_prompts(alone.conditioner, ["a table"], "cpu")
    )
    assert torch.equal(alone.sample_latents(1, seed=1, num_steps=3, sampler="euler", prompts="a table"), plain)


def test_a_dry_run_measures_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "openmoji", "--preset", "test", "--stage", "mean-flow", "--dry-run"]) == 0
    assert "stage mean-flow: denoiser" in capsys.readouterr().out
