"""Recipes of published data sets: they train on the layouts as distributed, and their presets say what is published."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ddmi.cli import main
from ddmi.recipes import PRESETS
from ddmi.registry import RECIPES, make_experiment
from ddmi.serialization import from_json, to_json

from .. import miniatures
from ..command_line import fails

LAYOUTS: dict[str, tuple[Callable[[Path], Path], tuple[int, int], list[str]]] = {
    "afhqv2-cat": (miniatures.afhq, (6, 2), []),
    "afhqv2-dog": (miniatures.afhq, (7, 3), []),
    "celeba-hq": (miniatures.celeba, (9, 3), ["--modality.held-out", "3"]),
    "cifar10": (miniatures.cifar, (20, 4), []),
    "fashion-mnist": (miniatures.mnist, (12, 4), []),
    "lsun-churches": (miniatures.lsun, (6, 2), []),
    "shapenet-chair": (miniatures.shapenet, (2, 1), []),
    "shapenet-13": (miniatures.shapenet, (26, 13), []),
    "text2shape": (miniatures.text2shape, (4, 2), []),
    "srn-cars": (miniatures.cars, (10, 2), []),
    "sky-timelapse": (miniatures.sky, (6, 2), []),
}
"""How a recipe's data are laid out, items of the splits, and further options."""


@pytest.mark.parametrize("recipe", LAYOUTS)
def test_two_steps_on_a_miniature(recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write, (train, test), options = LAYOUTS[recipe]
    data, run = write(tmp_path / "data"), tmp_path / "run"
    argv = ["train", recipe, "--preset", "test", "--data", str(data), "--run", str(run), *options]
    assert main(argv) == 0
    assert f"data: {train} training items, {test} held out" in capsys.readouterr().err
    assert (run / "denoiser.safetensors").exists()
    for stage in ("vae", "diffusion"):
        lines = (run / stage / "metrics.jsonl").read_text().splitlines()
        assert json.loads(lines[-1])["step"] == 1


def test_a_data_set_is_read_in_a_package_of_debian(tmp_path: Path) -> None:
    files = {f"usr/share/{file.name}": file.read_bytes() for file in miniatures.mnist(tmp_path / "in").iterdir()}
    package = miniatures.deb(tmp_path / "dataset.deb", "dataset-fashion-mnist", files)
    data = make_experiment("fashion-mnist", "test", str(package)).modality.dataset("test")
    assert len(data) == 4
    assert data[3].caption == "dress"


PREPARED: dict[str, tuple[Callable[[Path], Path], tuple[int, int], list[str]]] = {
    "srn-cars": (miniatures.srn, (3, 2), ["--count", "200"]),
    "shapes": (miniatures.meshes, (26, 4), ["--count", "300"]),
    "sweethome": (miniatures.sweethome, (13, 3), []),
    "afhqv2-dog": (miniatures.afhq, (7, 3), ["--size", "24"]),
    "celeba-hq": (miniatures.celeba, (9, 3), ["--size", "24", "--modality.held-out", "3"]),
    "lsun-churches": (miniatures.lsun, (6, 2), ["--size", "24"]),
    "sky-timelapse": (miniatures.sky, (6, 2), ["--size", "24"]),
}
"""How a recipe's data are laid out as distributed, items of the splits, and options of their preparation."""


@pytest.mark.parametrize("recipe", PREPARED)
def test_two_steps_on_prepared_data(recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write, (train, test), options = PREPARED[recipe]
    source, out, run = write(tmp_path / "source"), tmp_path / "out", tmp_path / "run"
    assert main(["prepare", recipe, str(source), "--out", str(out), "--workers", "1", *options]) == 0
    said = capsys.readouterr().err
    (command,) = re.findall(r"train on them with `ddmi (.*)`", said)
    assert main([*command.split(), "--preset", "test", "--run", str(run)]) == 0
    assert f"data: {train} training items, {test} held out" in capsys.readouterr().err
    assert (run / "denoiser.safetensors").exists()
    manifest = json.loads((out / "manifest.json").read_text())
    assert (manifest["recipe"], manifest["complete"]) == (recipe, True)
    for file, stored in (pair for item in manifest["items"].values() for pair in item["files"].items()):
        assert hashlib.sha256((out / file).read_bytes()).hexdigest() == stored["sha256"]


def test_the_dry_run_tells_of_a_manifest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, options = tmp_path / "out", ["--workers", "1", "--size", "24"]
    assert main(["prepare", "afhqv2-cat", str(miniatures.afhq(tmp_path / "in")), "--out", str(out), *options]) == 0
    dry = ["train", "afhqv2-cat", "--preset", "test", "--data", str(out), "--dry-run", "--stage", "vae"]
    assert main(dry) == 0
    assert "prepared by recipe 'afhqv2-cat': train 6, test 2, left out 0\n" in capsys.readouterr().out
    manifest = json.loads((out / "manifest.json").read_text())
    (out / "manifest.json").write_text(json.dumps({**manifest, "complete": False}))
    assert main(dry) == 0
    assert "left out 0; NOT COMPLETE: run `ddmi prepare` again" in capsys.readouterr().out


def test_what_cannot_be_prepared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def message(recipe: str, source: Path, *options: str) -> str:
        return fails(capsys, "prepare", recipe, source, "--out", tmp_path / "out", *options)

    assert "makes its own data: `ddmi train openmoji`" in message("openmoji", tmp_path)
    assert "did you mean 'srn-cars'" in message("srn-car", tmp_path)
    assert f"prepare: name the data: `ddmi prepare shapes SOURCE --out {tmp_path / 'out'}`" in fails(
        capsys, "prepare", "shapes", "--out", tmp_path / "out"
    )
    assert "none.deb' is no file; give the path of sweethome3d-furniture" in message("sweethome", tmp_path / "none.deb")
    assert "read as they are; pass" in message("cifar10", miniatures.cifar(tmp_path / "cifar"))
    assert "in the layout that training reads; pass" in message("shapenet-13", miniatures.shapenet(tmp_path / "net"))
    assert "held_out is 3000, and" in message("celeba-hq", miniatures.celeba(tmp_path / "faces"))
    assert "8 of 8 images cannot be used" in message(
        "lsun-churches", miniatures.lsun(tmp_path / "lsun"), "--workers", "1"
    )
    with pytest.raises(SystemExit, match="2"):
        main(["prepare", "images", str(tmp_path / "faces"), "--out", str(tmp_path / "x"), "--repair"])
    with pytest.raises(SystemExit, match="0"):
        main(["prepare", "images", "x", "--out", "y", "--help"])
    assert "--allow-small" in capsys.readouterr().out


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_preset_is_a_model(recipe: str) -> None:
    for preset in RECIPES[recipe].presets:
        experiment = make_experiment(recipe, preset, "somewhere" if RECIPES[recipe].needs_data else None)
        assert (experiment.recipe, experiment.preset) == (recipe, preset)
        assert from_json(json.loads(json.dumps(to_json(experiment))), type(experiment)) == experiment
        with torch.device("meta"):
            experiment.vae.build(experiment.modality.layout)


def test_presets_that_a_recipe_lacks(capsys: pytest.CaptureFixture[str]) -> None:
    message = fails(capsys, "train", "cifar10", "--preset", "paper", "--data", "x")
    assert "recipe 'cifar10' has no preset 'paper'; choose one of test, demo, evening, small, recommended" in message
    assert "no preset 'large'; choose one of test, demo, evening, small, paper" in fails(
        capsys, "train", "openmoji", "--preset", "large"
    )
    assert set().union(*(recipe.presets for recipe in RECIPES.values())) == set(PRESETS)
    assert main(["recipes"]) == 0
    assert "binary version (--data PATH); no paper" in capsys.readouterr().out


def test_data_of_another_kind_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def message(recipe: str, data: Path) -> str:
        run = tmp_path / "runs" / recipe
        return fails(capsys, "train", recipe, "--preset", "test", "--data", data, "--run", run, "--stage", "vae")

    assert "no class 'dog' in" in message("afhqv2-dog", miniatures.celeba(tmp_path / "faces"))
    assert "held_out is 3000, and" in message("celeba-hq", tmp_path / "faces")
    database = tmp_path / "church_outdoor_train_lmdb"
    database.mkdir()
    (database / "data.mdb").write_bytes(b"x")
    assert "export its pictures to a folder" in message("lsun-churches", database)
    (tmp_path / "py").mkdir()
    (tmp_path / "py" / "data_batch_1").write_bytes(b"\x80")
    assert "take the binary version" in message("cifar10", tmp_path / "py")
    assert "captions.tablechair.csv" in message("text2shape", miniatures.shapenet(tmp_path / "shapes"))


@pytest.mark.parametrize("recipe", ["openmoji", "furniture-text", "turntable", "moving-openmoji"])
def test_held_out_losses_are_measured_in_all_presets_but_two(recipe: str) -> None:
    for preset in RECIPES[recipe].presets:
        experiment = make_experiment(recipe, preset)
        for config in (experiment.vae_training, experiment.diffusion_training):
            wanted = 0 if preset in ("test", "paper") else max(500, config.steps // 20)
            assert config.validate_every == wanted


@pytest.mark.parametrize("recipe", ["openmoji", "furniture", "furniture-text", "turntable", "moving-openmoji"])
def test_an_evening_trains_the_networks_of_the_demo_for_longer(recipe: str) -> None:
    demo, evening = (make_experiment(recipe, preset) for preset in ("demo", "evening"))
    assert evening.vae == demo.vae
    assert evening.diffusion.denoiser == demo.diffusion.denoiser
    for one, other in (
        (demo.vae_training, evening.vae_training), (demo.diffusion_training, evening.diffusion_training)
    ):  # fmt: skip
        assert other.steps >= 3 * one.steps
