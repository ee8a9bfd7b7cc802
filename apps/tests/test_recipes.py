"""Recipes of published data sets: they train on the layouts as distributed, and their presets say what is published."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ddmi.cli import main
from ddmi.recipes import PRESETS, RECIPES, make_experiment
from ddmi.serialization import from_json, to_json

from . import miniatures
from .test_cli import fails

LAYOUTS: dict[str, tuple[Callable[[Path], Path], tuple[int, int], list[str]]] = {
    "afhqv2-cat": (miniatures.afhq, (6, 2), []),
    "afhqv2-dog": (miniatures.afhq, (7, 3), []),
    "celeba-hq": (miniatures.celeba, (9, 3), ["--modality.held-out", "3"]),
    "cifar10": (miniatures.cifar, (20, 4), []),
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
    assert "recipe 'cifar10' has no preset 'paper'; choose one of test, demo, small, ours" in message
    assert "no preset 'large'; choose one of test, demo, small, paper" in fails(
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
