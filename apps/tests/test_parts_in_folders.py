"""The networks of every kind of signal, each alone in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ddmi.registry import make_experiment
from ddmi_diffusion import LatentDiffusion
from ddmi_vae import D2CVAE


@pytest.mark.parametrize("recipe", ["openmoji", "furniture", "furniture-text", "turntable", "moving-openmoji"])
def test_networks_of_a_recipe(recipe: str, tmp_path: Path) -> None:
    experiment = make_experiment(recipe, "test")
    vae = experiment.vae.build(experiment.modality.layout)
    packing = experiment.diffusion.packing
    shape = (4 * (1 if packing == "row" else len(experiment.modality.layout.planes)), 8, 8)
    shapes = [(4, 8, 8) for _ in experiment.modality.layout.planes]
    diffusion = experiment.diffusion.build(shapes, shape)
    vae.save_pretrained(tmp_path / "vae")
    diffusion.save_pretrained(tmp_path / "diffusion")
    again = D2CVAE.from_pretrained(tmp_path / "vae"), LatentDiffusion.from_pretrained(tmp_path / "diffusion")
    for one, other in zip((vae, diffusion), again, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    for folder in tmp_path.iterdir():  # of one form, whichever package wrote it
        assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
