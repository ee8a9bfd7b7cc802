"""What a prediction stands for, and samples whose steps are corrected."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from ddmi_diffusion import LatentDiffusion, NoiseConfig, seeded_normal

SHAPE = (2, 4, 4)


@pytest.mark.parametrize("prediction", ["eps", "v", "x0", "flow"])
def test_a_prediction_stands_for_the_latents_that_it_was_made_of(prediction: str) -> None:
    noise = NoiseConfig(prediction=prediction)  # type: ignore[arg-type]
    z, eps = (seeded_normal(seed, range(3), *SHAPE) for seed in (0, 1))
    t = torch.tensor([40.0, 500.0, 900.0])
    z_t, target = noise.add_noise(z, eps, t), noise.target(z, eps, t)
    torch.testing.assert_close(noise.clean(z_t, target, t), z, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(noise.standing_for(z, z_t, t), target, rtol=1e-3, atol=1e-4)


class Half(nn.Module):
    def forward(self, z: Tensor, t: Tensor, cond: None = None) -> Tensor:
        return 0.5 * z


@pytest.mark.parametrize(
    ("prediction", "sampler"), [("v", "ddim"), ("eps", "ddim"), ("flow", "euler"), ("flow", "unipc")]
)
def test_corrected_samples_go_where_they_are_told(prediction: str, sampler: str) -> None:
    diffusion = LatentDiffusion(Half(), NoiseConfig(prediction=prediction), SHAPE)  # type: ignore[arg-type]
    how = {"seed": 3, "num_steps": 5, "sampler": sampler}
    plain = diffusion.sample(2, **how)  # type: ignore[arg-type]
    kept = diffusion.sample(2, correct=lambda z, _: z, **how)  # type: ignore[arg-type]
    torch.testing.assert_close(kept, plain, rtol=1e-3, atol=1e-3)
    seen: list[float] = []

    def told(z: Tensor, ratio: float) -> Tensor:
        seen.append(ratio)
        assert torch.is_grad_enabled()
        return torch.full_like(z, 0.25)

    made = diffusion.sample(2, correct=told, **how)  # type: ignore[arg-type]
    torch.testing.assert_close(made, torch.full_like(made, 0.25), rtol=1e-3, atol=5e-3)
    assert seen == sorted(seen, reverse=True)  # from pure noise to none
    assert seen[0] > 10
    assert seen[0] == math.inf or sampler != "euler"
