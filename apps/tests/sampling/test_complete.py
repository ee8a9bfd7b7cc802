"""Functions completed from a part of them: every kind of signal, by its own query and likelihood."""

from __future__ import annotations

import pytest
import torch

from ddmi import DDMI
from ddmi.registry import make_experiment
from ddmi_diffusion import LatentSpace, StepRandom


@pytest.mark.parametrize("recipe", ["openmoji", "furniture", "turntable", "moving-openmoji"])
def test_what_was_observed_comes_out(recipe: str) -> None:
    experiment = make_experiment(recipe, "test")
    modality = experiment.modality
    torch.manual_seed(0)
    vae = experiment.vae.build(modality.layout).eval().requires_grad_(False)
    data = modality.dataset("test")
    items = [data[0], data[1]]
    space = LatentSpace.fit(vae.encode(modality.inputs(items)).mean, experiment.diffusion.packing)
    diffusion = experiment.diffusion.build(space.plane_shapes, space.shape).eval().requires_grad_(False)
    model = DDMI(experiment, vae, space, diffusion)
    batch = modality.collate(items, StepRandom(0, 0, range(2)))

    def misses(function: object) -> float:
        with torch.no_grad():
            return float(modality.nll(modality.predict(function, batch.query), batch.target).mean())  # type: ignore[arg-type]

    completed = model.complete(batch.query, batch.target, num_steps=4, guidance_scale=1.0)
    assert len(completed) == 2
    assert misses(completed) < misses(model.sample(2, num_steps=4, guidance_scale=1.0)) - 1e-3
    again = model.complete(batch.query, batch.target, num_steps=4, guidance_scale=1.0)
    assert misses(again) == misses(completed)
    broken = batch.target.float().clone()
    broken.view(-1)[0] = float("nan")
    with pytest.raises(ValueError, match="finite values, for at least one function; got .* with 1 that are not finite"):
        model.complete(batch.query, broken, num_steps=4)
    with pytest.raises(ValueError, match="weight is positive and inner_steps at least 1, got 0.0 and 10"):
        model.complete(batch.query, batch.target, weight=0.0)
    assert all(parameter.grad is None for parameter in vae.parameters())
