"""Mean velocities: exact ones satisfy the objective and sample in any number of steps; a network starts as the flow."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ddmi_diffusion import (
    DiffusionObjective,
    DiTConfig,
    Guidance,
    LatentBatch,
    LatentDiffusion,
    LatentSpace,
    MeanFlowObjective,
    NoiseConfig,
    StepRandom,
    UNetConfig,
    make_scheduler,
    seeded_normal,
)

FLOW = NoiseConfig(prediction="flow")
SHAPE = (2, 4, 4)
STD = 0.5
"""Of data that are normal: then the flow is known."""


def width_at(t: Tensor) -> Tensor:
    """Standard deviation of z_t; a point of the flow stays at the same multiple of it."""
    return ((1 - t).square() * STD**2 + t.square()).sqrt()


class Exact(nn.Module):
    """The velocity of normal data, and with spans its mean."""

    def __init__(self, spans: bool) -> None:
        super().__init__()
        self.span = nn.Identity() if spans else None

    def forward(self, z: Tensor, t: Tensor, cond: None = None, span: Tensor | None = None) -> Tensor:
        t = t.double() / 1000
        span = torch.zeros_like(t) if span is None else span.double() / 1000
        end = t - span
        mean = (1 - width_at(end) / width_at(t)) / span.clamp_min(1e-12)
        instant = (t - (1 - t) * STD**2) / width_at(t).square()
        factor = torch.where(span > 1e-9, mean, instant)
        return (factor.reshape(-1, 1, 1, 1) * z.double()).float()


class Wrong(Exact):
    """Takes every span for the velocity at its start."""

    def forward(self, z: Tensor, t: Tensor, cond: None = None, span: Tensor | None = None) -> Tensor:
        return super().forward(z, t)


def trained(denoiser: nn.Module | None = None, noise: NoiseConfig = FLOW) -> DiffusionObjective:
    diffusion = LatentDiffusion(denoiser or Exact(False), noise, SHAPE)
    return DiffusionObjective(diffusion, LatentSpace.identity([SHAPE], "grid"))


def batch(count: int = 64) -> LatentBatch:
    std = torch.full((count, *SHAPE), STD)
    return LatentBatch((torch.zeros_like(std),), (std,))


def loss_of(student: nn.Module, **changes: Any) -> float:
    objective = MeanFlowObjective(LatentDiffusion(student, FLOW, SHAPE), trained(), **changes)
    return float(objective(batch(), step=0, rng=StepRandom(0, 0, range(64)))["loss"])


def test_exact_mean_velocities_have_no_loss_but_that_of_the_leg() -> None:
    assert loss_of(Exact(True)) < 2e-5
    assert loss_of(Wrong(True)) > 100 * loss_of(Exact(True))


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_exact_mean_velocities_sample_exactly_in_any_number_of_steps(steps: int) -> None:
    made = LatentDiffusion(Exact(True), FLOW, SHAPE).sample(3, seed=5, num_steps=steps, sampler="mean-flow")
    torch.testing.assert_close(made, STD * seeded_normal(5, range(3), *SHAPE), rtol=1e-5, atol=1e-5)


def test_steps_are_shifted_as_those_of_the_flow_are() -> None:
    noise = NoiseConfig(prediction="flow", shift=3.0)
    made = LatentDiffusion(Exact(True), noise, SHAPE).sample(2, seed=5, num_steps=3, sampler="mean-flow")
    torch.testing.assert_close(made, STD * seeded_normal(5, range(2), *SHAPE), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("config", [UNetConfig(width=8, multipliers=(1, 2), blocks=1, groups=4, head_channels=8),
                                    DiTConfig(width=16, depth=1, head_channels=8)])  # fmt: skip
def test_a_network_starts_as_the_flow_that_it_learns_from(config: Any) -> None:
    torch.manual_seed(0)
    flow = trained(config.build([SHAPE], "grid"))
    for parameter in flow.parameters():
        nn.init.normal_(parameter, std=0.1)
    before = {name: value.clone() for name, value in flow.state_dict().items()}
    student = LatentDiffusion(config.of_mean_flow().build([SHAPE], "grid"), FLOW, SHAPE)
    objective = MeanFlowObjective(student, flow)
    z, t = seeded_normal(0, range(3), *SHAPE), torch.tensor([1000.0, 400.0, 20.0])
    wanted = flow.diffusion.predict(z, t)
    torch.testing.assert_close(student.predict(z, t, None, torch.tensor([0.0, 300.0, 20.0])), wanted)
    objective(batch(8), step=0, rng=StepRandom(0, 0, range(8)))["loss"].backward()
    # only what is trained has gradients, the network of spans among it
    assert student.denoiser.span[-1].weight.grad.abs().sum() > 0  # type: ignore[index, union-attr]
    assert all(parameter.grad is None for parameter in flow.parameters())
    assert all(torch.equal(value, before[name]) for name, value in flow.state_dict().items())
    assert [name for name, _ in objective.named_parameters() if not name.startswith("student.")] == []


def test_guidance_is_learned() -> None:
    """Guided by a guide of no velocity, the flow is w times as fast."""

    class Still(nn.Module):
        def forward(self, z: Tensor, t: Tensor, cond: None = None) -> Tensor:
            return torch.zeros_like(z)

    guide = LatentDiffusion(Still(), FLOW, SHAPE)
    objective = MeanFlowObjective(
        LatentDiffusion(Exact(True), FLOW, SHAPE), trained(), Guidance(scale=3.0, guide=guide)
    )
    z, t = seeded_normal(0, range(4), *SHAPE), torch.full((4,), 0.7)
    target = objective._target(z, t, torch.zeros(4), None)
    torch.testing.assert_close(target, 3 * Exact(False)(z, 1000 * t))


def test_what_does_not_fit_is_said() -> None:
    spans = LatentDiffusion(Exact(True), FLOW, SHAPE)
    with pytest.raises(ValueError, match="learned from a flow model, and this one predicts 'v'"):
        MeanFlowObjective(spans, trained(noise=NoiseConfig(prediction="v")))
    with pytest.raises(ValueError, match="needs a denoiser that takes spans"):
        MeanFlowObjective(LatentDiffusion(Exact(False), FLOW, SHAPE), trained())
    wide, narrow = (UNetConfig(width=8, multipliers=(1,) * n, groups=4, head_channels=8) for n in (2, 1))
    student = LatentDiffusion(wide.of_mean_flow().build([SHAPE], "grid"), FLOW, SHAPE)
    with pytest.raises(ValueError, match="differs from the trained one's in denoiser"):
        MeanFlowObjective(student, trained(narrow.build([SHAPE], "grid")))
    with pytest.raises(ValueError, match="predicts no mean velocities"):
        LatentDiffusion(Exact(False), FLOW, SHAPE).sample(1, sampler="mean-flow")
    with pytest.raises(ValueError, match="has the guidance that it was trained with"):
        spans.sample(1, sampler="mean-flow", guidance=Guidance(scale=2.0, guide=spans))
    with pytest.raises(ValueError, match="'mean-flow' does not fit prediction 'v'"):
        make_scheduler("mean-flow", NoiseConfig(prediction="v"))
