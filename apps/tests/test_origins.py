"""Data, autoencoder, denoiser and samples that do not belong together are said or refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from ddmi import DDMI
from ddmi.cli import main
from ddmi.machine.safetensors_files import read_tensors
from ddmi.registry import make_experiment
from ddmi.training.latents import content_of
from ddmi_modalities.datasets.checked_sources import check_sources, content_digest
from ddmi_modalities.image import evaluation

from .command_line import fails


def pictures(root: Path, red: int) -> Path:
    for split, count in (("train", 6), ("test", 2)):
        (root / split).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            Image.new("RGB", (72, 72), (red, 5 * number, 0)).save(root / split / f"{number}.png")
    return root


def test_latents_of_replaced_pictures_are_encoded_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, run = pictures(tmp_path / "data", 200), tmp_path / "run"
    line = ["train", "images", "--preset", "test", "--data", str(data), "--run", str(run)]
    assert main(line) == 0
    before = np.load(run / "latents" / "train.npy")
    again = [*line, "--stage", "diffusion", "--resume", "--diffusion-training.steps"]
    assert main([*again, "3"]) == 0
    assert "encoding anew" not in capsys.readouterr().err
    for picture in pictures(data, 20).glob("*/*.png"):  # as many, of the same names, and as old as before
        shutil.copystat(run / "config.json", picture)
    assert main([*again, "4"]) == 0
    assert "train.npy is damaged, or of other data or another autoencoder: encoding anew" in capsys.readouterr().err
    assert not np.array_equal(np.load(run / "latents" / "train.npy"), before)


def test_data_that_cannot_say_what_it_holds_is_read(tmp_path: Path) -> None:
    experiment = make_experiment("openmoji", "test")

    @dataclass(frozen=True)
    class Plain:
        """A data set of somebody else, without a digest."""

        red: int
        name = "plain"
        caption = None

        def pixels(self, size: int) -> torch.Tensor:
            return torch.full((3, size, size), self.red, dtype=torch.uint8)

        def window(self, size: int, top: int, left: int, side: int) -> torch.Tensor:
            return self.pixels(side)

    one, same, other = ([Plain(red), Plain(7)] for red in (1, 1, 2))
    assert content_of(experiment, one) == content_of(experiment, same)  # type: ignore[arg-type]
    assert content_of(experiment, one) != content_of(experiment, other)  # type: ignore[arg-type]


@pytest.mark.parametrize("recipe", ["openmoji", "furniture", "moving-openmoji", "turntable"])
def test_what_is_drawn_has_a_version(recipe: str) -> None:
    experiment = make_experiment(recipe, "test")
    assert recipe.split("-")[-1] in content_of(experiment, experiment.modality.dataset("train"))


def test_a_denoiser_of_another_autoencoder_is_left_aside(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    line = ["train", "openmoji", "--preset", "test", "--run", str(run), "--resume"]
    assert main([*line, "--stage", "vae", "--vae-training.steps", "3"]) == 0
    message = fails(capsys, "sample", run, "--count", "1", "--out", tmp_path / "out")
    assert "only its autoencoder is trained" in message
    model = DDMI.from_pretrained(run)
    assert not model.can_sample
    assert main([*line, "--stage", "diffusion", "--diffusion-training.steps", "3"]) == 0
    assert DDMI.from_pretrained(run).can_sample
    assert main(["sample", str(run), "--count", "1", "--out", str(tmp_path / "out")]) == 0


def test_models_of_before_say_nothing_of_their_autoencoder(tiny_run: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_run, tmp_path / "run")
    file = tmp_path / "run" / "latent_space.safetensors"
    tensors, meta = read_tensors(file)
    save_file(tensors, file, {key: value for key, value in meta.items() if key != "autoencoder"})
    (tmp_path / "run" / "manifest.json").unlink()
    assert DDMI.from_pretrained(tmp_path / "run").can_sample


def test_samples_of_other_commands_are_said(tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    line = ["sample", str(tiny_run), "--num-steps", "1", "--out", str(out), "--count"]
    assert main([*line, "3"]) == 0
    assert "did not make" not in capsys.readouterr().err
    assert main([*line, "3", "--resume"]) == 0
    assert main([*line, "4", "--resume"]) == 0
    assert "did not make" not in capsys.readouterr().err
    assert main([*line, "2", "--seed", "1"]) == 0
    assert f"{out} holds 2 files that this command did not make, such as 002.png" in capsys.readouterr().err
    assert sorted(path.name for path in out.iterdir()) == ["000.png", "001.png", "002.png", "003.png"]


@pytest.mark.parametrize("name", ["vae", "denoiser", "latent_space"])
def test_weights_that_are_not_finite_are_refused(
    tiny_run: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    file = run / f"{name}.safetensors"
    tensors, meta = read_tensors(file)
    first = sorted(tensors)[0]
    tensors[first].view(-1)[0] = float("inf")
    save_file(tensors, file, meta)
    (run / "manifest.json").unlink()  # which would notice any other number, too
    for command in (["sample"], ["evaluate"], ["report"]):
        message = fails(capsys, *command, run)
        assert f"{name}.safetensors" in message
        assert "finite" in message or "infinite" in message
    assert load_file(file)[first].isinf().any(), "the test broke what it meant to"


def test_an_endless_figure_is_no_number(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(tiny_run, tmp_path / "run")
    monkeypatch.setattr(evaluation, "psnr", lambda made, true: torch.full((len(made),), float("inf")))
    assert main(["evaluate", str(tmp_path / "run"), "--pairs", "2", "--count", "0"]) == 0
    said = capsys.readouterr().err
    assert "psnr/16 is inf: it is in no table" in said
    assert "distances between sets of" in said, "that need two a side are left out"

    def strict(constant: str) -> None:
        raise AssertionError(constant)

    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text(), parse_constant=strict)
    record = json.loads((tmp_path / "run" / "evaluations" / "offline.json").read_text(), parse_constant=strict)
    assert "ssim/16" in metrics
    assert "psnr/16" not in metrics
    assert record["not_finite"]["psnr/16"] == "inf"


@pytest.mark.parametrize(("recipe", "options"), [
    ("openmoji", {"resolution": 10**7}),
    ("furniture", {"mesh_resolution": 2**20}),
    ("moving-openmoji", {"resolution": 10**6, "frames": 4096}),
    ("turntable", {"resolution": 10**6, "views": 8}),
])  # fmt: skip
def test_what_does_not_fit_is_said_before_the_work(recipe: str, options: dict[str, int]) -> None:
    modality = make_experiment(recipe, "test").modality
    with pytest.raises(
        ValueError, match=r"needs about [\d,.]+ GB of memory, and [\d,.]+ GB are free; ask for a smaller"
    ):
        modality.check_memory(modality.RenderOptions(**options), 4)
    modality.check_memory(modality.RenderOptions(), 1)


def test_sampling_looks_at_memory_first(tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = fails(capsys, "sample", tiny_run, "--out", tmp_path / "out", "--resolution", "10000000")
    assert "GB of memory" in message
    assert not (tmp_path / "out").exists()


def failing(kind: type[Exception]) -> Callable[[Path], int]:
    def check(path: Path) -> int:
        try:
            raise kind(24, "too many open files") if kind is OSError else kind("no")
        except Exception as error:
            raise ValueError(f"cannot read {path}") from error

    return check


def test_errors_that_may_pass_are_not_remembered(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"a")
    for kind, kept in ((OSError, False), (SyntaxError, True)):
        cache, sound = tmp_path / kind.__name__, lambda path: 5

        def check(look: Callable[[Path], int], cache: Path = cache) -> dict[str, Any]:
            return check_sources(tmp_path, ["a.png"], look, what="things", cache=cache)

        assert check(failing(kind)) == {"a.png": f"cannot read {tmp_path / 'a.png'}"}
        assert (check(sound) == {"a.png": 5}) is not kept


def test_the_digest_is_of_content(tmp_path: Path) -> None:
    root, cache = tmp_path / "data", tmp_path / "cache"
    (root / "b").mkdir(parents=True)
    (root / "a.txt").write_text("one")
    (root / "b" / "c.txt").write_text("two")

    def digest(where: Path = root) -> str:
        return content_digest(where, ["a.txt", "b"], what="texts", cache=cache)

    first = digest()
    shutil.copytree(root, tmp_path / "copy")
    assert digest(tmp_path / "copy") == first, "wherever it lies, and whenever it was written"
    (root / "b" / "c.txt").write_text("owt")
    assert digest() != first
    (root / "b" / "c.txt").write_text("two")
    assert digest() == first
    (root / "b" / "c.txt").rename(root / "b" / "d.txt")
    assert digest() != first
