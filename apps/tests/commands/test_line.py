"""The command line as a user meets it: what works, and one line with the remedy where it cannot."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from ddmi import DDMI
from ddmi.cli import main
from ddmi_modalities.files.pixels import to_tensor

from ..command_line import fails, refused


def pixels(path: Path) -> torch.Tensor:
    with Image.open(path) as image:
        return to_tensor(image.convert("RGB"))


def test_recipes_lists_names_and_presets(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes"]) == 0
    out = capsys.readouterr().out
    assert "openmoji" in out
    assert "paper" in out


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "reconstruct" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="0"):
        main(["train", "openmoji", "--preset", "test", "--help"])
    assert "--vae.latent-channels" in capsys.readouterr().out


def test_a_run_is_a_model(tiny_run: Path) -> None:
    names = {p.name for p in tiny_run.iterdir()}
    assert {"config.json", "vae.safetensors", "denoiser.safetensors", "latent_space.safetensors"} <= names
    assert json.loads((tiny_run / "config.json").read_text())["recipe"] == "openmoji"
    lines = (tiny_run / "vae" / "metrics.jsonl").read_text().splitlines()
    assert {"loss", "nll", "kl", "lr"} <= set(json.loads(lines[-1]))


def test_sample_any_resolution_and_count(tiny_run: Path, tmp_path: Path) -> None:
    base = ["sample", str(tiny_run), "--seed", "5", "--num-steps", "3"]
    assert main([*base, "--count", "3", "--resolution", "20", "--out", str(tmp_path / "a")]) == 0
    assert main([*base, "--count", "2", "--batch", "1", "--resolution", "20", "--out", str(tmp_path / "b")]) == 0
    first, second = ([pixels(p) for p in sorted((tmp_path / d).glob("*.png"))] for d in "ab")
    assert [tuple(image.shape) for image in first] == [(3, 20, 20)] * 3
    for one, two in zip(first[:2], second, strict=True):
        assert (one.float() - two.float()).abs().max() <= 1, "function i depends on (seed, i) only"


def test_reconstruct_reads_all_files_before_it_writes(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture, broken = tmp_path / "good.png", tmp_path / "broken.png"
    Image.new("RGB", (50, 40), "red").save(picture)
    broken.write_bytes(b"no picture")
    out = tmp_path / "out"
    message = fails(capsys, "reconstruct", tiny_run, picture, broken, "--out", out)
    assert "broken.png" in message
    assert not out.exists()
    assert main(["reconstruct", str(tiny_run), str(picture), "--resolution", "33", "--out", str(out)]) == 0
    assert pixels(out / "000.png").shape == (3, 33, 33)


def test_report_and_evaluate(tiny_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tiny_run)]) == 0
    report = {p.name for p in (tiny_run / "report").iterdir()}
    assert {"reconstructions.png", "samples.png", "resolutions.png", "zoom.png", "sample_1024.png"} <= report
    assert main(["evaluate", str(tiny_run), "--count", "8", "--pairs", "4", "--second-judge"]) == 0
    metrics = json.loads((tiny_run / "metrics.json").read_text())
    assert all(isinstance(value, int | float) for value in metrics.values())
    wanted = {"psnr/16", "psnr/128", "psnr_bicubic/64", "psnr_bicubic_true/64", "fd/samples", "fd/prior", "fd/real"}
    assert wanted | {"fd/reconstructions", "fd2/samples", "fd2/real"} <= set(metrics)
    assert metrics["fd2/real"] != metrics["fd/real"]
    assert "fd/samples" in capsys.readouterr().out


def test_reports_and_analyses_read_data_from_elsewhere(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "red"
    data.mkdir()
    for i in range(40):
        Image.new("RGB", (20, 20), "red").save(data / f"{i}.png")
    for command in ("report", "analyze"):
        assert str(tmp_path / "no") in fails(capsys, command, tiny_run, "--data", tmp_path / "no")
    assert main(["report", str(tiny_run), "--data", str(data), "--out", str(tmp_path / "report")]) == 0
    drawn = pixels(tmp_path / "report" / "reconstructions.png")
    assert (drawn == torch.tensor([255, 0, 0]).view(3, 1, 1)).all(0).any(), "the truth beside"


def test_finished_stages_are_left_alone_by_resume(tiny_run: Path) -> None:
    before = (tiny_run / "denoiser.safetensors").read_bytes()
    assert main(["train", "openmoji", "--preset", "test", "--run", str(tiny_run), "--resume"]) == 0
    assert (tiny_run / "denoiser.safetensors").read_bytes() == before


def test_python_round_trip(tiny_run: Path, tmp_path: Path) -> None:
    model = DDMI.from_pretrained(tiny_run)
    model.save_pretrained(tmp_path / "copy")
    again = DDMI.from_pretrained(tmp_path / "copy")
    a, b = (m.sample(2, seed=1, num_steps=3).grid((17, 9)) for m in (model, again))
    torch.testing.assert_close(a, b, rtol=0, atol=0)
    images = torch.rand(2, 3, 16, 16) * 2 - 1
    assert model.reconstruct((images,)).grid((8, 8)).shape == (2, 3, 8, 8)


def test_same_seed_is_the_same_function_at_every_resolution(tiny_run: Path) -> None:
    functions = DDMI.from_pretrained(tiny_run).sample(2, seed=3, num_steps=3)
    coarse, fine = functions.grid((8, 8), condition=1.0), functions.grid((24, 24), condition=1.0)
    torch.testing.assert_close(fine[:, :, 1::3, 1::3], coarse, atol=1e-4, rtol=1e-4)


def test_train_on_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "pictures"
    data.mkdir()
    for i in range(40):
        Image.new("RGB", (40, 32), (6 * i, 100, 200)).save(data / f"{i}.png")
    (data / "broken.jpg").write_bytes(b"\xff\xd8 cut")
    run = tmp_path / "run"
    assert main(["train", "images", "--data", str(data), "--preset", "test", "--run", str(run)]) == 0
    assert "broken.jpg" in capsys.readouterr().err
    assert (run / "denoiser.safetensors").exists()


def test_settings_can_be_changed_one_by_one(tmp_path: Path) -> None:
    run = tmp_path / "run"
    argv = ["train", "openmoji", "--preset", "test", "--run", str(run), "--stage", "vae", "--vae-training.steps", "1"]
    assert main([*argv, "--vae.latent-channels", "3"]) == 0
    config = json.loads((run / "config.json").read_text())
    assert config["vae"]["latent_channels"] == 3
    assert config["vae_training"]["steps"] == 1


# --- what cannot work ------------------------------------------------------------------------------------------------


def test_unknown_names_say_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean 'openmoji'" in fails(capsys, "train", "openmojis")
    assert "choose one of recipes, train" in fails(capsys, "tarin")
    assert "choose one of test, demo" in fails(capsys, "train", "openmoji", "--preset", "huge")
    assert "--data PATH" in fails(capsys, "train", "images")
    assert "unknown option '--nonsense'" in fails(capsys, "recipes", "--nonsense")


def test_missing_and_empty_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = fails(capsys, "train", "images", "--preset", "test", "--data", tmp_path / "no", "--run", tmp_path / "r")
    assert str(tmp_path / "no") in missing
    (tmp_path / "empty").mkdir()
    empty = fails(capsys, "train", "images", "--preset", "test", "--data", tmp_path / "empty", "--run", tmp_path / "q")
    assert str(tmp_path / "empty") in empty
    again = fails(capsys, "train", "images", "--preset", "test", "--data", tmp_path / "empty", "--run", tmp_path / "q")
    assert again == empty  # what trained nothing is no run that asks for --resume


def test_a_directory_that_is_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "has no config.json" in fails(capsys, "sample", tmp_path)
    assert "is not there" in fails(capsys, "sample", tmp_path / "nothing")


def test_a_run_is_not_overwritten(tiny_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = fails(capsys, "train", "openmoji", "--preset", "test", "--run", tiny_run)
    assert "go on with --resume, or name another --run" in message
    other = ("train", "openmoji", "--preset", "test", "--run", tiny_run, "--resume", "--vae.latent-channels", "9")
    assert "another vae" in fails(capsys, *other)


@pytest.fixture
def copy(tiny_run: Path, tmp_path: Path) -> Path:
    target = tmp_path / "copy"
    shutil.copytree(tiny_run, target)
    return target


def test_damaged_and_foreign_files_are_named(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = copy / "denoiser.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:200])
    assert "denoiser.safetensors is not as it was written" in fails(capsys, "sample", copy)
    (copy / "manifest.json").unlink()
    assert "denoiser.safetensors: damaged" in fails(capsys, "sample", copy)
    weights.write_bytes(whole)
    config = json.loads((copy / "config.json").read_text())
    config["vae"]["latent_channels"] = 5
    (copy / "config.json").write_text(json.dumps(config))
    assert "weights of another configuration" in fails(capsys, "sample", copy)
    config["vae"]["width"] = 1
    (copy / "config.json").write_text(json.dumps(config))
    assert "unknown field 'width'" in fails(capsys, "sample", copy)
    config["vae"] = {"type": "os.system"}
    (copy / "config.json").write_text(json.dumps(config))
    assert "the type 'os.system' is not known here; install the distribution that defines it" in fails(
        capsys, "sample", copy
    )
    (copy / "config.json").write_text("{")
    assert "cannot be read as JSON" in fails(capsys, "sample", copy)


def test_only_stage_one_cannot_sample(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copy / "denoiser.safetensors").unlink()
    assert "only its autoencoder is trained" in fails(capsys, "sample", copy)


def test_bad_counts_and_views(tiny_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--count" in fails(capsys, "sample", tiny_run, "--count", "0")
    assert "resolution must be positive" in refused(capsys, "sample", tiny_run, "--resolution", "0")
    assert "does not fit prediction" in fails(capsys, "sample", tiny_run, "--sampler", "ddim")


def test_too_little_memory_is_one_line(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reason = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 76800000000 bytes"

    def sample(*_: object, **__: object) -> None:
        raise RuntimeError(reason)

    monkeypatch.setattr(DDMI, "sample", sample)
    message = fails(capsys, "sample", tiny_run, "--out", tmp_path)
    assert "not enough memory" in message
    assert "smaller --resolution" in message
    reason = "a bug of ours"
    capsys.readouterr()
    assert main(["sample", str(tiny_run), "--out", str(tmp_path)]) == 70
    said = capsys.readouterr().err
    assert "ddmi: error: internal error: RuntimeError: a bug of ours; the fault is the program's" in said
    assert "Traceback" not in said
    assert main(["sample", str(tiny_run), "--out", str(tmp_path), "--debug"]) == 70
    assert "Traceback" in capsys.readouterr().err


def test_full_disk_is_one_line_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import ddmi_diffusion.atomic_files as files

    run = tmp_path / "run"
    argv = ["train", "openmoji", "--preset", "test", "--run", str(run), "--stage", "vae"]
    assert main(argv) == 0
    kept = (run / "vae.safetensors").read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(run))

    monkeypatch.setattr(files, "save_file", full)
    message = fails(capsys, *argv, "--resume", "--vae-training.steps", "3")
    assert "No space left" in message or "space" in message
    assert (run / "vae.safetensors").read_bytes() == kept


def test_stage_that_the_preset_lacks(tiny_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ("train", "openmoji", "--preset", "test", "--run", tiny_run, "--stage", "vae-gan", "--resume")
    assert "has no stage vae-gan" in fails(capsys, *argv)
    paper = ("train", "openmoji", "--preset", "paper", "--run", tiny_run.parent / "paper", "--stage", "vae")
    assert "weights of its backbone by path" in fails(capsys, *paper)
