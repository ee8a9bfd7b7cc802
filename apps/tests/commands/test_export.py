"""Models to hand on: small, whole, with a card; and models that a distribution announces by name."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from ddmi import DDMI, registry
from ddmi.cli import main
from ddmi.experiment.config import Experiment
from ddmi.model_card import model_card
from ddmi.registry import make_experiment

from ..command_line import fails


@pytest.fixture(scope="module")
def few(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a mean flow."""
    run = tmp_path_factory.mktemp("export") / "run"
    shutil.copytree(tiny_run, run)
    line = ["train", "--config", str(run / "config.json"), "--run", str(run), "--stage", "mean-flow", "--resume"]
    assert main(line) == 0
    return run


def test_half_precision_is_half_the_size_and_almost_the_same(tiny_run: Path, tmp_path: Path) -> None:
    assert main(["export", str(tiny_run), "--precision", "half", "--out", str(tmp_path / "small")]) == 0
    assert load_file(tmp_path / "small" / "vae.safetensors")["decoder.out.weight"].dtype == torch.float16
    weights = [(run / "denoiser.safetensors").stat().st_size for run in (tiny_run, tmp_path / "small")]
    assert weights[1] < 0.6 * weights[0]
    model, small = DDMI.from_pretrained(tiny_run), DDMI.from_pretrained(tmp_path / "small")
    assert small.can_sample
    one, other = (each.sample_latents(2, seed=1, num_steps=2) for each in (model, small))
    assert 0 < (one - other).abs().max() < 0.02 * one.abs().max()
    # saved again as it was read, it is the same
    small.save_pretrained(tmp_path / "again", precision="half")
    first, second = (load_file(tmp_path / name / "denoiser.safetensors") for name in ("small", "again"))
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_eight_bits_are_a_quarter_of_the_size_and_nearly_the_same(tiny_run: Path, tmp_path: Path) -> None:
    model = DDMI.from_pretrained(tiny_run)
    assert main(["export", str(tiny_run), "--precision", "int8", "--out", str(tmp_path / "small")]) == 0
    weights = load_file(tmp_path / "small" / "denoiser.safetensors")
    large = [name for name, value in weights.items() if value.dtype == torch.int8]
    assert large
    assert all(weights[name + ".scale"].shape == (len(weights[name]),) for name in large)
    sizes = [(run / "denoiser.safetensors").stat().st_size for run in (tiny_run, tmp_path / "small")]
    assert sizes[1] < 0.45 * sizes[0]  # of so small a network names and norms are a good part
    small = DDMI.from_pretrained(tmp_path / "small")
    assert model.diffusion is not None
    assert small.diffusion is not None
    for name, value in model.diffusion.state_dict().items():
        largest, error = (
            one.abs().flatten(1).amax(1) if one.ndim > 1 else one.abs()
            for one in (value, small.diffusion.state_dict()[name] - value)
        )
        assert (error <= largest / 253 + 1e-7).all(), name
    one, other = (each.sample_latents(2, seed=1, num_steps=2) for each in (model, small))
    assert 0 < (one - other).abs().max() < 0.05 * one.abs().max()
    small.save_pretrained(tmp_path / "again", precision="int8")  # saved again as it was read, it is the same
    again = load_file(tmp_path / "again" / "denoiser.safetensors")
    assert all(torch.equal(value, again[name]) for name, value in weights.items() if value.dtype == torch.int8)


def test_scales_that_are_missing_are_noticed(tiny_run: Path, tmp_path: Path) -> None:
    assert main(["export", str(tiny_run), "--precision", "int8", "--out", str(tmp_path / "small")]) == 0
    file = tmp_path / "small" / "denoiser.safetensors"
    weights = load_file(file)
    scale = next(name for name in weights if name.endswith(".scale"))
    (tmp_path / "small" / "manifest.json").unlink()
    save_file({name: value for name, value in weights.items() if name != scale}, file)
    with pytest.raises(ValueError, match=f"denoiser.safetensors: .*{scale}"):
        DDMI.from_pretrained(tmp_path / "small")
    save_file({**weights, scale: weights[scale][:1].clone()}, file)  # would be taken for all rows
    with pytest.raises(ValueError, match=f"denoiser.safetensors: '{scale}' is .* rows; restore the file"):
        DDMI.from_pretrained(tmp_path / "small")


def test_what_half_precision_cannot_hold_is_refused(tiny_run: Path, tmp_path: Path) -> None:
    model = DDMI.from_pretrained(tiny_run)
    with torch.no_grad():
        next(model.vae.parameters()).view(-1)[0] = 1e6
    with pytest.raises(ValueError, match=r"beyond half precision \(65504\); keep it in full precision"):
        model.save_pretrained(tmp_path / "small", precision="half")


def test_the_mean_flow_alone(few: Path, tmp_path: Path) -> None:
    assert main(["export", str(few), "--mean-flow", "--out", str(tmp_path / "few")]) == 0
    assert {path.name for path in (tmp_path / "few").iterdir()} == {
        "ATTRIBUTION.txt", "README.md", "config.json", "denoiser.safetensors", "latent_space.safetensors",
        "manifest.json", "vae.safetensors",
    }  # fmt: skip
    model, alone = DDMI.from_pretrained(few), DDMI.from_pretrained(tmp_path / "few")
    wanted = model.sample_latents(2, seed=1, sampler="mean-flow", num_steps=4)
    assert torch.equal(alone.sample_latents(2, seed=1), wanted)


def test_the_card_says_whose_data(tiny_run: Path, tmp_path: Path) -> None:
    assert main(["export", str(tiny_run), "--out", str(tmp_path / "drawings")]) == 0
    card = (tmp_path / "drawings" / "README.md").read_text()
    for part in ("# drawings", "CC BY-SA 4.0", "ddmi train openmoji --preset test", 'from_pretrained("drawings")'):
        assert part in card
    assert "## Figures" not in card


@pytest.mark.parametrize(
    ("recipe", "part"),
    [("furniture", "nobody else's data"), ("turntable", "nobody else's data"), ("moving-openmoji", "CC BY-SA 4.0"),
     ("images", "Nobody told whose the data are"), ("furniture-text", 'prompts="a round table"')],
)  # fmt: skip
def test_cards_of_all_kinds(recipe: str, part: str) -> None:
    experiment: Experiment = make_experiment(recipe, "test", "DATA" if recipe == "images" else None)
    card = model_card(experiment, "x", {"psnr/64": 26.01943})
    assert part in card
    assert "| psnr/64 | 26.02 |" in card
    assert "rounded" not in card
    assert "weights were rounded to eight bits" in model_card(experiment, "x", {"psnr/64": 26.0}, precision="int8")


def test_what_is_there_stays(tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").write_text("x")
    assert "is a file, or not empty; name a new directory" in fails(capsys, "export", tiny_run, "--out", tmp_path)
    assert "is a file, or not empty" in fails(capsys, "export", tiny_run, "--out", tmp_path / "mine")
    assert "has no mean_flow.safetensors" in fails(capsys, "export", tiny_run, "--mean-flow", "--out", tmp_path / "new")


@pytest.fixture
def installed(tiny_run: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A distribution that announces the run as "drawings"."""
    monkeypatch.setattr("ddmi.model_directory.installed_models", lambda: {"drawings": tiny_run})
    return "drawings"


def test_an_installed_model_by_its_name(installed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert DDMI.from_pretrained(installed).can_sample
    assert main(["sample", installed, "--count", "1", "--num-steps", "1", "--out", "out"]) == 0
    assert (tmp_path / "out" / "000.png").exists()
    (tmp_path / "drawings").mkdir()  # a directory of that name goes before
    with pytest.raises(ValueError, match="no run or model"):
        DDMI.from_pretrained(installed)


@pytest.mark.parametrize("command", ["evaluate", "report", "analyze"])
def test_nothing_is_written_under_an_installed_name(
    installed: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "`ddmi export drawings --out DIR` makes it one" in fails(capsys, command, installed)
    assert not (tmp_path / "drawings").exists()


def test_a_name_that_is_not_installed_has_two_remedies(
    installed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    message = fails(capsys, "sample", "openmoji")
    assert "no installed model of this name (installed: drawings); install the distribution" in message
    assert "or train one with `ddmi train RECIPE`" in message


def test_models_are_found_by_their_entry_points(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    registry.installed_models.cache_clear()
    monkeypatch.setattr(registry, "_loaded", lambda group: {"mine": str(tmp_path)} if group == "ddmi.models" else {})
    assert dict(registry.installed_models()) == {"mine": tmp_path}
    registry.installed_models.cache_clear()
