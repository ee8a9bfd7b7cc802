"""Samples against a mixture of Gaussians, whose best denoiser is known: every scheduler, and guidance of flow."""

from __future__ import annotations

from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal

from ddmi_diffusion import Conditioning, Guidance, LatentDiffusion, NoiseConfig, make_scheduler
from ddmi_diffusion.schedulers import FLOW, VARIANCE_PRESERVING, set_steps

ITEMS, VALUES = 8, 500
CLASSES = torch.tensor([[0.3, -1.5, 0.3], [0.7, 1.0, 0.5]], dtype=torch.float64)
"""Weight, mean and standard deviation of two classes."""
WITHOUT_X0 = (
    "EulerAncestralDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "PNDMScheduler",
)
"""diffusers' schedulers that take no prediction of x0."""


def one_class(number: int) -> Conditioning:
    return Conditioning(CLASSES[number][None, None].float(), torch.ones(1, 1, dtype=torch.bool))


BOTH = Conditioning(CLASSES[None].float(), torch.ones(1, 2, dtype=torch.bool))


class MixtureDenoiser(nn.Module):
    """The posterior mean of mixture data, turned into what is predicted; without parameters.

    The condition's tokens are (weight, mean, standard deviation) of the components.  Times between whole steps, which
    some schedulers take, are noise levels between theirs.
    """

    def __init__(self, noise: NoiseConfig) -> None:
        super().__init__()
        self.noise = noise
        self.times: list[float] = []

    def levels(self, t: Tensor) -> tuple[Tensor, Tensor]:
        t = t.double()
        if self.noise.prediction == "flow":
            return 1 - t / self.noise.steps, t / self.noise.steps
        assert bool(((t >= 0) & (t <= self.noise.steps - 1)).all()), "a time that the network has never seen"
        log_snr = torch.logit(self.noise.alphas_cumprod)
        above = (t.floor() + 1).long().clamp(max=self.noise.steps - 1)
        abar = torch.sigmoid(torch.lerp(log_snr[t.long()], log_snr[above], t - t.floor()))
        return abar.sqrt(), (1 - abar).sqrt()

    def forward(self, z: Tensor, t: Tensor, cond: Conditioning | None = None) -> Tensor:
        self.times.append(float(t[0]))
        components = (BOTH if cond is None else cond).expand(len(z))
        weight, mean, std = (part[:, None] for part in components.tokens.double().unbind(2))
        weight = weight * components.mask[:, None]
        alpha, sigma = (level[:, None] for level in self.levels(t))
        far, variance = (
            z.double()[..., None] - alpha[..., None] * mean,
            (alpha[..., None] * std) ** 2 + sigma[..., None] ** 2,
        )
        share = torch.softmax(weight.log() - 0.5 * variance.log() - 0.5 * far**2 / variance, dim=-1)
        x0 = (share * (mean + alpha[..., None] * std**2 / variance * far)).sum(-1)
        eps = (z.double() - alpha * x0) / sigma
        made = {"eps": eps, "x0": x0, "v": alpha * eps - sigma * x0, "flow": eps - x0}
        return made[self.noise.prediction].float()


def mixture(prediction: Any, shift: float = 1.0) -> LatentDiffusion:
    noise = NoiseConfig(prediction=prediction, shift=shift)
    return LatentDiffusion(MixtureDenoiser(noise), noise, (VALUES,))


def even(components: Tensor = CLASSES) -> Tensor:
    """The quantiles of a mixture: its most even sample."""
    x = torch.linspace(-8, 8, 40_001, dtype=torch.float64)
    cdf = sum(weight * Normal(mean, std).cdf(x) for weight, mean, std in components)
    at = (torch.arange(ITEMS * VALUES) + 0.5) / (ITEMS * VALUES)
    return x[torch.searchsorted(cdf / cdf[-1], at.double())]


def initial() -> Tensor:
    """Pure noise without the error of chance."""
    noise = even(torch.tensor([[1.0, 0.0, 1.0]], dtype=torch.float64)).float()
    return noise[torch.randperm(len(noise), generator=torch.Generator().manual_seed(0))].view(ITEMS, VALUES)


def wasserstein(samples: Tensor, truth: Tensor) -> float:
    """Mean distance between the quantiles of two samples of one size."""
    return float((samples.double().flatten().sort().values - truth.double().flatten().sort().values).abs().mean())


@pytest.mark.parametrize(
    ("prediction", "name"),
    [(prediction, name) for prediction in ("eps", "v") for name in VARIANCE_PRESERVING]
    + [("x0", name) for name in VARIANCE_PRESERVING if name not in WITHOUT_X0]
    + [("flow", name) for name in FLOW],
)
@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")  # DEIS
def test_every_accepted_scheduler_samples_the_mixture(prediction: str, name: str) -> None:
    diffusion = mixture(prediction)
    scheduler = make_scheduler(getattr(diffusers, name), diffusion.noise)
    samples = diffusion.sample(ITEMS, seed=1, num_steps=100, sampler=scheduler, noise=initial())
    chance = name in ("DDPMScheduler", "SASolverScheduler") or "Ancestral" in name
    assert wasserstein(samples, even()) < (0.08 if chance else 0.03)
    again = diffusion.sample(2, seed=1, start=3, num_steps=100, sampler=scheduler, noise=initial()[3:5])
    torch.testing.assert_close(again, samples[3:5], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", FLOW)
@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")
def test_shifted_steps_sample_the_mixture(name: str) -> None:
    diffusion = mixture("flow", shift=3.0)
    samples = diffusion.sample(ITEMS, seed=1, num_steps=100, sampler=getattr(diffusers, name), noise=initial())
    assert wasserstein(samples, even()) < (0.08 if name == "SASolverScheduler" else 0.04)
    first, *_, last = diffusion.denoiser.times  # type: ignore[misc]
    assert first == pytest.approx(1000, abs=1.5)
    assert last == pytest.approx(1000 * 0.03 / 1.02, rel=0.1)


def test_the_distance_tells_a_wrong_sampler() -> None:
    for truth in (0.9 * even(), even() + 0.1, even(torch.tensor([[1.0, -1.5, 0.3]], dtype=torch.float64))):
        assert wasserstein(even(), truth) > 0.08


@pytest.mark.parametrize("name", ["ddpm", "ddim", "dpm-solver++", "unipc", "EulerDiscreteScheduler"])
@pytest.mark.parametrize("steps", [61, 103])  # 1000 / 61 is rounded down
def test_no_step_lies_below_time_0(name: str, steps: int) -> None:
    diffusion = mixture("eps")
    sampler = getattr(diffusers, name, name)
    samples = diffusion.sample(ITEMS, num_steps=steps, sampler=sampler, noise=initial())
    assert wasserstein(samples, even()) < 0.08
    assert len(diffusion.denoiser.times) == steps  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["dpm-solver++", "unipc"])
def test_noise_levels_go_with_the_steps_that_are_left(name: str) -> None:
    noise = NoiseConfig()
    scheduler = make_scheduler(name, noise)
    times = torch.stack(set_steps(scheduler, noise, 61))
    abar = noise.alphas_cumprod[times].float()
    torch.testing.assert_close(scheduler.sigmas[:-1], ((1 - abar) / abar).sqrt(), rtol=1e-3, atol=0)
    assert scheduler.sigmas[-1] == 0.0


def test_steps_below_time_0_that_cannot_be_left_out_are_refused() -> None:
    with pytest.raises(ValueError, match="HeunDiscreteScheduler would lay 61 steps out down to time -1.*num_steps=60"):
        mixture("eps").sample(1, num_steps=61, sampler=diffusers.HeunDiscreteScheduler)


@pytest.mark.parametrize("sampler", ["euler", "dpm-solver++", "unipc"])
@pytest.mark.parametrize("steps", [1, 2, 5, 50])
def test_each_step_of_flow_is_one_call_at_a_time_of_its_own(sampler: str, steps: int) -> None:
    diffusion = mixture("flow")
    diffusion.sample(1, num_steps=steps, sampler=sampler)
    times = torch.tensor(diffusion.denoiser.times)
    even_times = 1000 - 1000 / steps * torch.arange(steps)
    torch.testing.assert_close(times, even_times, atol=1.5, rtol=0)  # the solvers begin at T - 1


def test_few_steps_of_euler_are_close() -> None:
    distance = [
        wasserstein(mixture("flow").sample(ITEMS, num_steps=steps, sampler="euler", noise=initial()), even())
        for steps in (2, 4, 8)
    ]
    assert distance[0] < 0.5
    assert distance[1] < 0.25
    assert distance[2] < 0.12


@pytest.mark.parametrize("sampler", ["euler", "dpm-solver++", "unipc"])
def test_guidance_of_flow_follows_the_guided_field(sampler: str) -> None:
    """Against dz/dsigma = null + w (class - null), integrated by Heun's rule in 1000 steps of its own."""
    diffusion, guidance = mixture("flow"), Guidance(scale=2.0, null=BOTH)

    def field(z: Tensor, sigma: float) -> Tensor:
        times = torch.full((ITEMS,), 1000 * sigma)
        with_class, without = diffusion.denoiser(z, times, one_class(1)), diffusion.denoiser(z, times, BOTH)
        return without + 2.0 * (with_class - without)

    z = initial()
    for k in range(1000, 1, -1):
        slope = field(z, k / 1000)
        z = z - (slope + field(z - slope / 1000, (k - 1) / 1000)) / 2000
    samples = diffusion.sample(
        ITEMS, num_steps=100, sampler=sampler, noise=initial(), cond=one_class(1), guidance=guidance
    )
    assert wasserstein(samples, z) < 0.03
    assert wasserstein(samples, even(torch.cat((torch.ones(1), CLASSES[1, 1:]))[None])) > 0.1, "guided: another one"


@pytest.mark.parametrize("sampler", ["euler", "dpm-solver++", "unipc"])
def test_guidance_acts_from_the_first_step_of_flow(sampler: str) -> None:
    """One step from pure noise gives the mean of z_0 (of all classes -0.05 without a condition): w goes beyond it."""
    diffusion = mixture("flow")
    mean, means = float(CLASSES[:, 0] @ CLASSES[:, 1]), CLASSES[:, 1].tolist()
    for interval, wanted in (((0.0, 1.0), mean + 3.0 * (means[1] - mean)), ((0.0, 0.5), means[1])):
        guidance = Guidance(scale=3.0, null=BOTH, start=interval[0], stop=interval[1])
        made = diffusion.sample(1, num_steps=1, sampler=sampler, cond=one_class(1), guidance=guidance)
        torch.testing.assert_close(made, torch.full_like(made, wanted), atol=0.02, rtol=0)


def test_a_guidance_interval_is_closed_at_pure_noise_only() -> None:
    whole, part = Guidance(scale=2.0, null=BOTH), Guidance(scale=2.0, null=BOTH, start=0.2, stop=0.6)
    assert [whole.active(t, BOTH, 1000) for t in (0.0, 999.0, 1000.0)] == [True] * 3
    assert [part.active(t, BOTH, 1000) for t in (199.0, 200.0, 599.0, 600.0, 1000.0)] == [
        False,
        True,
        True,
        False,
        False,
    ]
