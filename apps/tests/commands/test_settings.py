"""Every setting can be changed on the line: unions, None, whole configurations, and under former names."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ddmi import RECIPES, make_experiment
from ddmi.cli import main
from ddmi.commands.settings import with_setting
from ddmi.experiment.config import Experiment
from ddmi.registry import addresses, choices, node_type
from ddmi.serialization import experiment_text, is_settings, read_experiment_file

from ..command_line import fails

ONLY_IMPORTED = "vae/reference"
"""Is made from an author's checkpoint, and has no defaults."""


def kinds(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)


def alternatives(settings: type) -> Iterator[tuple[str, list[str]]]:
    """Fields of a type that take one of several types of settings, or None, with the words of these."""
    for name, hint in typing.get_type_hints(settings).items():
        words = [word for kind in kinds(hint) if is_settings(kind) for word in choices(kind)]
        words += ["none"] * (type(None) in kinds(hint))
        if len(words) > 1 or words == ["none"]:
            yield name, words


def settings_in(node: Any, path: str = "") -> Iterator[tuple[Any, str]]:
    """All dataclasses of an experiment, with where they are."""
    yield node, path
    for field in dataclasses.fields(node):
        value = getattr(node, field.name)
        if dataclasses.is_dataclass(value):
            yield from settings_in(value, f"{path}{field.name}.")


def smallest(recipe: str) -> Experiment:
    found = RECIPES[recipe]
    return make_experiment(recipe, found.presets[0], "PATH" if found.needs_data else None)


def test_every_union_of_the_registry_is_switched(tmp_path: Path) -> None:
    wanted = {
        (kind, name) for word in addresses() if (kind := node_type(word)) for name, words in alternatives(kind) if words
    }
    switched = set()
    queue = [smallest(recipe) for recipe in RECIPES]
    while queue:
        experiment = queue.pop(0)
        for node, path in settings_in(experiment):
            for name, words in alternatives(type(node)):
                if (type(node), name) in switched:
                    continue
                switched.add((type(node), name))
                for word in words:
                    if name == "vae" and ONLY_IMPORTED.endswith(word):
                        continue
                    new = with_setting(experiment, f"{path}{name}={word}")
                    value = new
                    for part in (path + name).split("."):
                        value = getattr(value, part)
                    assert (value is None) if word == "none" else addresses_of(value).endswith(f"/{word}")
                    (tmp_path / "config.json").write_text(experiment_text(new))
                    assert read_experiment_file(tmp_path / "config.json") == new
                    queue.append(new)
    assert switched == wanted


def addresses_of(value: Any) -> str:
    address = f"{type(value).__module__}:{type(value).__qualname__}"
    (word,) = (word for word, known in addresses().items() if known == address)
    return word if "/" in word else f"/{word}"


def test_what_both_have_under_one_name_is_kept() -> None:
    experiment = with_setting(make_experiment("openmoji", "test"), "vae.read_out.width=24")
    assert with_setting(experiment, "vae.read_out=concat").vae.read_out.width == 24  # type: ignore[attr-defined]


def printed(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main([*argv, "--print-config"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_switches_and_options_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    switches = ["--set", "diffusion.denoiser=dit", "--set", "losses.perceptual=none", "--set", "vae.read-out=concat"]
    config = printed(
        capsys, "train", "openmoji", "--preset", "test", *switches, "--diffusion.denoiser.head-channels", "8"
    )
    assert config["diffusion"]["denoiser"]["type"] == "denoiser/dit"
    assert config["diffusion"]["denoiser"]["head_channels"] == 8
    assert config["losses"]["perceptual"] is None
    assert config["vae"]["read_out"]["type"] == "read-out/concat"


def test_single_values_by_set(capsys: pytest.CaptureFixture[str]) -> None:
    values = {"modality.size": 8, "modality.target_sizes": [8, 16, 24], "diffusion.mixed": 0.5, "gan.kl_weight": None}
    argv = [arg for path, value in values.items() for arg in ("--set", f"{path}={json.dumps(value)}")]
    config = printed(capsys, "train", "openmoji", "--preset", "test", *argv, "--set", "modality.likelihood=laplace")
    assert [config[path.split(".")[0]][path.split(".")[1]] for path in values] == list(values.values())
    assert config["modality"]["likelihood"] == "laplace"


def test_a_saved_configuration_is_a_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = printed(capsys, "train", "openmoji", "--preset", "test", "--set", "vae.read_out=concat")
    (tmp_path / "mine.json").write_text(json.dumps(first))
    again = printed(capsys, "train", "--config", str(tmp_path / "mine.json"))
    assert again == first
    elsewhere = printed(
        capsys, "train", "--config", str(tmp_path / "mine.json"), "--data", "photos", "--vae.latent-channels", "5"
    )
    assert (elsewhere["modality"]["source"], elsewhere["vae"]["latent_channels"]) == ("photos", 5)


def test_a_configuration_that_needs_no_data_yet(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "train", "images", "--preset", "test")["modality"]["source"] == "PATH"


def test_refused_settings_say_what_there_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = ("train", "openmoji", "--preset", "test", "--print-config", "--set")
    assert "choose one of coarse-to-fine, concat, nerf" in fails(capsys, *train, "vae.read_out=mlp")
    assert "choose one of efficientnet-lite0, lpips, none" in fails(capsys, *train, "losses.perceptual=vgg")
    assert "did you mean 'read_out'" in fails(capsys, *train, "vae.readout=concat")
    assert "wanted PATH=VALUE" in fails(capsys, *train, "vae.read_out")
    assert "wanted PATH=VALUE" in fails(capsys, *train, "=concat")
    assert "switch it on first" in fails(capsys, *train, "diffusion.text.width=3")
    assert "it has no settings of its own" in fails(capsys, *train, "modality.size.big=3")
    assert "wanted int" in fails(capsys, *train, "modality.size=large")
    assert "type 'none'" in fails(capsys, *train, "vae=none") or "choose one of" in fails(capsys, *train, "vae=none")
    assert "'domain' of 'vae/reference' is missing" in fails(capsys, *train, "vae=reference")
    assert "name a recipe" in fails(capsys, "train")
    (tmp_path / "mine.json").write_text(experiment_text(make_experiment("openmoji", "test")))
    config = ("--config", tmp_path / "mine.json")
    assert "or give --config" in fails(capsys, "train", "openmoji", *config)
    assert "--config has its own" in fails(capsys, "train", "--preset", "paper", *config)
    assert str(tmp_path / "no.json") in fails(capsys, "train", "--config", tmp_path / "no.json")


OLD_OPTIONS = {
    "--vae.kl-weight": ("3.0", "losses", "kl_weight", 3.0),
    "--vae.perceptual.weight": ("0.25", "losses.perceptual", "weight", 0.25),
    "--modality.points": ("12", "modality", "num_queries", 12),
    "--diffusion.sampling-steps": ("7", "diffusion", "num_steps", 7),
    "--diffusion.guidance": ("1.5", "diffusion", "guidance_scale", 1.5),
    "--diffusion.min-snr": ("4.0", "diffusion", "min_snr_gamma", 4.0),
    "--vae-training.sheet-every": ("9", "vae_training", "preview_every", 9),
}


@pytest.mark.parametrize("option", OLD_OPTIONS)
def test_former_options_are_understood(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    value, path, name, wanted = OLD_OPTIONS[option]
    argv = ["train", "openmoji", "--preset", "test", option, value, "--print-config"]
    if "perceptual" in option:
        argv += ["--set", "losses.perceptual=lpips"]
    assert main(argv) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    for part in path.split("."):
        found = found[part]
    assert found[name] == wanted
    assert f"{option} is called --{path.replace('_', '-')}.{name.replace('_', '-')} now" in err


@pytest.mark.parametrize(("flag", "tracker"), [("tensorboard", "auto"), ("no-tensorboard", "none")])
def test_a_former_flag_is_understood(flag: str, tracker: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "openmoji", "--preset", "test", f"--vae-training.{flag}", "--print-config"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["vae_training"]["tracker"] == tracker
    assert f"--vae-training.{flag} is called --vae-training.tracker now" in err


def test_a_former_preset_is_understood(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "images", "--preset", "ours", "--print-config"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["preset"] == "recommended"
    assert "'ours' is called 'recommended' now" in err


def test_former_options_of_commands(tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["sample", str(tiny_run), "--count", "1", "--steps", "2", "--guidance=1", "--out", str(tmp_path / "a")]
    assert main(argv) == 0
    err = capsys.readouterr().err
    assert "--steps is called --num-steps now" in err
    assert "--guidance is called --guidance-scale now" in err
    assert len(list((tmp_path / "a").glob("*.png"))) == 1
