"""A model in another precision generates, reconstructs and renders, whatever kind of signal."""

from __future__ import annotations

import pytest
import torch

from ddmi import DDMI
from ddmi.registry import make_experiment
from ddmi_diffusion import LatentSpace


@pytest.mark.parametrize("recipe", ["openmoji", "furniture", "moving-openmoji", "turntable"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
@torch.no_grad()
def test_every_precision(recipe: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    experiment = make_experiment(recipe, "test")
    modality, settings = experiment.modality, experiment.diffusion
    vae = experiment.vae.build(modality.layout).eval()
    data = modality.dataset("train")
    inputs = modality.inputs([data[0], data[1]])
    posterior = vae.encode(inputs)
    latent_space = LatentSpace.fit([(posterior.mean, posterior.std)], settings.packing)
    diffusion = settings.build(latent_space.plane_shapes, latent_space.shape)
    model = DDMI(experiment, vae, latent_space, diffusion).eval()
    axes = len(modality.layout.axes)
    points = torch.rand(1, 20, axes) * 2 - 1
    condition = torch.nn.functional.normalize(points.expand(2, -1, -1), dim=-1) if recipe == "turntable" else None
    exact = model.reconstruct(inputs)(points, condition)
    model = model.to(dtype)
    made = model.reconstruct(inputs)(points, condition)
    assert (made.double() - exact.double()).abs().max() <= (
        0.1 if dtype == torch.bfloat16 else 1e-4
    ) * exact.abs().max()
    functions = model.sample(2, num_steps=2)
    assert functions(points, condition).isfinite().all()
    assert len(modality.render(functions[0], modality.RenderOptions())) == 1
