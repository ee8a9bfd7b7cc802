"""Runs that version 0.1 saved are loaded: its words are translated, its weights fit, and functions are what they were.

Each file of `saved_runs` has what that version wrote into a run of preset test (names, shapes and metadata of tensors),
the config.json of every preset, and values that it computed with weights by rule.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from ddmi import DDMI, RECIPES, Experiment, make_experiment
from ddmi.experiment.config import GANTraining
from ddmi.experiment.renamed import PRESETS, VERSION
from ddmi.pipeline import LATENT_SPACE, read_experiment
from ddmi.serialization import experiment_text
from ddmi_diffusion import NoiseConfig
from ddmi_fields import ImplicitFunction
from ddmi_modalities.image import ImageModality
from ddmi_modalities.nerf import NerfModality
from ddmi_modalities.video import VideoModality

SAVED = sorted((Path(__file__).parent / "saved_runs").glob("*.json"))
NEWER = ("fashion-mnist", "sphere", "sweethome", "winds")
"""Recipes that version 0.1 did not have."""


def by_rule(file: str, name: str, shape: list[int]) -> Tensor:
    """A weight of every network, and statistics of the latent space."""
    if file == LATENT_SPACE:
        low, high = (-0.2, 0.3) if name.startswith("mean") else (0.5, 1.5)
        return torch.linspace(low, high, shape[0])
    drawn = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(tuple(shape))
    return torch.from_numpy(np.asarray(0.1 * drawn)).float()


def written(saved: dict[str, Any], run: Path) -> Path:
    (run / "config.json").write_text(json.dumps(saved["configs"]["test"]))
    for file, content in saved["files"].items():
        tensors = {name: by_rule(file, name, shape) for name, shape in content["tensors"].items()}
        save_file(tensors, run / file, content["metadata"])
    return run


def inputs_of(model: DDMI) -> tuple[Tensor, ...]:
    modality: Any = model.experiment.modality
    shape = {
        2: lambda: (1, 3, modality.size, modality.size),
        3: lambda: (1, modality.cloud, 6 if hasattr(modality, "hold_out") and hasattr(modality, "half") else 3),
    }
    if "t" in modality.layout.axes:
        size: tuple[int, ...] = (1, 3, modality.frames, modality.size, modality.size)
    else:
        size = shape[len(modality.layout.axes)]()
    return (torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, size)).float(),)


def values(function: ImplicitFunction) -> list[float]:
    axes = len(function.basis.layout.axes)
    at = torch.linspace(-0.9, 0.9, 5)[None, :, None].expand(1, 5, axes) * torch.tensor([1.0, -0.5, 0.7][:axes])
    towards = torch.tensor([0.0, 0.6, 0.8]).expand(1, 5, 3)
    rays = type(function.read_out).__name__ == "NerfReadOut"
    return (function(at, towards) if rays else function(at)).flatten().tolist()


@pytest.mark.parametrize("path", SAVED, ids=lambda path: path.stem)
def test_a_saved_run_is_the_model_that_it_was(path: Path, tmp_path: Path) -> None:
    saved = json.loads(path.read_text())
    model = DDMI.from_pretrained(written(saved, tmp_path))
    assert values(model.reconstruct(inputs_of(model))) == pytest.approx(saved["reconstruction"], abs=1e-6, rel=2e-5)
    assert values(model.sample(1, seed=3, num_steps=2)) == pytest.approx(saved["sample"], abs=1e-6, rel=2e-5)
    if "prompted" in saved:
        function = model.sample(1, seed=3, num_steps=2, prompts="a round table", guidance_scale=2.0)
        assert values(function) == pytest.approx(saved["prompted"], abs=1e-6, rel=2e-5)
        assert saved["prompted"] != pytest.approx(saved["sample"], rel=5e-5)
    model.save_pretrained(tmp_path / "again")
    assert json.loads((tmp_path / "again" / "config.json").read_text())["version"] == VERSION
    assert DDMI.from_pretrained(tmp_path / "again").experiment == model.experiment


RATES = {
    ImageModality: {"demo": 2e-3, "small": 1e-3, "recommended": 5e-4},
    NerfModality: {"demo": 4e-3, "small": 1e-3, "recommended": 5e-4},
}
"""Of stage 1, when that was AdamW's."""


def in_0_1(experiment: Experiment) -> Experiment:
    """What version 0.1 set otherwise: no workers, and, in all presets but `paper`, what they have learnt since."""
    gan, (first, second) = experiment.gan, (experiment.vae_training, experiment.diffusion_training)
    experiment = replace(
        experiment,
        vae_training=replace(first, num_workers=0),
        diffusion_training=replace(second, num_workers=0),
        gan=gan if gan == GANTraining() else replace(gan, training=replace(gan.training, num_workers=0)),
    )
    if experiment.preset == "paper":
        return experiment
    training, diffusion = replace(experiment.vae_training, validate_every=0), experiment.diffusion
    vae: Any = experiment.vae
    steps = diffusion.num_steps if experiment.preset == "test" else 50
    diffusion = replace(diffusion, noise=NoiseConfig(prediction="v"), sampler="ddim", num_steps=steps)
    if not isinstance(experiment.modality, VideoModality):  # which had its guide
        diffusion = replace(diffusion, guide_after=None, guidance_scale=3.0)
    if experiment.preset == "test":
        diffusion = replace(diffusion, cached_items=None)
    if (rate := RATES.get(type(experiment.modality), {}).get(experiment.preset)) is not None:
        training = replace(training, optimizer="adamw", learning_rate=rate)
    if isinstance(experiment.modality, NerfModality):
        vae = replace(vae, encoder=replace(vae.encoder, offsets=False))
    return Experiment(
        recipe=experiment.recipe, preset=experiment.preset, modality=experiment.modality, vae=vae,
        losses=experiment.losses, vae_training=training, gan=experiment.gan, diffusion=diffusion,
        diffusion_training=replace(experiment.diffusion_training, validate_every=0),
    )  # fmt: skip


@pytest.mark.parametrize("recipe", [recipe for recipe in RECIPES if recipe not in NEWER])
def test_every_preset_was_saved_as_the_recipe_that_it_is(recipe: str, tmp_path: Path) -> None:
    configs = json.loads((Path(__file__).parent / "saved_runs" / f"{recipe}.json").read_text())["configs"]
    presets = {PRESETS.get(preset, preset): config for preset, config in configs.items()}
    assert {*presets, "evening"} == set(RECIPES[recipe].presets)
    for preset, config in presets.items():
        (tmp_path / "config.json").write_text(json.dumps(config))
        wanted = make_experiment(recipe, preset, "DATA" if RECIPES[recipe].needs_data else None)
        assert read_experiment(tmp_path) == in_0_1(wanted)
        (tmp_path / "config.json").write_text(experiment_text(wanted))
        assert read_experiment(tmp_path) == wanted


@pytest.mark.parametrize(("was", "tracker"), [(True, "auto"), (False, "none")])
def test_a_configuration_of_version_2(was: bool, tracker: str, tmp_path: Path) -> None:
    experiment = make_experiment("openmoji", "test")
    data = json.loads(experiment_text(experiment)) | {"version": 2}
    for training in (data["vae_training"], data["diffusion_training"], data["gan"]["training"]):
        del training["tracker"]
        training["tensorboard"] = was
    (tmp_path / "config.json").write_text(json.dumps(data))
    read = read_experiment(tmp_path)
    assert [one.tracker for one in (read.vae_training, read.diffusion_training, read.gan.training)] == [tracker] * 3
    if was:
        assert read == experiment


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"version": 4}', "version 4 of the words of configurations is newer than 3, which this ddmi knows; upgrade"),
        ('{"version": "x"}', "version 'x' of the words"),
        ("[1]", "wanted an object of type 'experiment'"),
        ('{"type": "experiment"}', "is no configuration of a run"),
        ('{"version": 2, "type": "experiment", "modality": {"type": "modality/image"}}', "field .* is missing"),
        (
            '{"version": 2, "distributions": {"vae/tides": "ddmi-tides"}, "vae": {"type": "vae/tides"}}',
            r"the type 'vae/tides' is not known here; install it: pip install ddmi-tides",
        ),
        ('{"version": 2, "vae": {"type": "os:system"}}', "not known here; install the distribution that defines it"),
        ('{"version": 2, "type": "experiment", "modality": {"type": "gan"}}', "type 'gan' does not belong here"),
    ],
)
def test_configurations_that_cannot_be_read(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        read_experiment(tmp_path)
