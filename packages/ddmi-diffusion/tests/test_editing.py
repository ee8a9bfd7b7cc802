"""Sampling that begins at given latents (SDEdit), and callbacks of it."""

from __future__ import annotations

from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor, nn

from ddmi_diffusion import LatentDiffusion, NoiseConfig, make_scheduler, seeded_normal
from ddmi_diffusion.schedulers import FLOW, FROM_NOISE, VARIANCE_PRESERVING

SHAPE = (2, 4, 4)
NAMED = [(p, s) for p in ("eps", "v", "x0") for s in ("ddpm", "ddim", "dpm-solver++", "unipc")]
NAMED += [("flow", s) for s in ("euler", "dpm-solver++", "unipc")]
CLASSES: list[tuple[str, Any]] = [("v", getattr(diffusers, name)) for name in VARIANCE_PRESERVING]
CLASSES += [("flow", getattr(diffusers, name)) for name in FLOW]
ALL = [*NAMED, *(pair for pair in CLASSES if pair[1].__name__ not in FROM_NOISE)]


class Known(nn.Module):
    """Predicts one z_0 whatever it is given, and keeps what that was."""

    def __init__(self, noise: NoiseConfig, z_0: Tensor) -> None:
        super().__init__()
        self.noise, self.z_0 = noise, z_0
        self.seen: list[tuple[Tensor, Tensor]] = []

    def forward(self, z: Tensor, t: Tensor, cond: None = None) -> Tensor:
        self.seen.append((z, t))
        return self.noise.standing_for(self.z_0.expand_as(z), z, t)


def known(prediction: Any, steps: int = 1000) -> tuple[LatentDiffusion, Known]:
    noise = NoiseConfig(prediction=prediction, steps=steps)
    denoiser = Known(noise, torch.full((1, *SHAPE), 0.25))
    return LatentDiffusion(denoiser, noise, SHAPE), denoiser


pytestmark = pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")  # DEIS, KDPM2


@pytest.mark.parametrize(("prediction", "sampler"), ALL)
def test_an_edit_begins_with_the_noised_latents_and_ends_as_the_denoiser_says(prediction: str, sampler: Any) -> None:
    diffusion, denoiser = known(prediction)
    initial = 3 + seeded_normal(7, range(2), *SHAPE)
    made = diffusion.sample(2, seed=1, num_steps=100, sampler=sampler, initial=initial, t_start=0.6)
    z_t, t = denoiser.seen[0]
    assert 500 < float(t[0]) <= 600
    wanted = diffusion.noise.add_noise(initial, seeded_normal(1, range(2), *SHAPE), t)
    torch.testing.assert_close(z_t, wanted, rtol=0.01, atol=0.01)  # some name times in whole steps
    torch.testing.assert_close(
        made, denoiser.z_0.expand_as(made), rtol=0, atol=0.15
    )  # SA-Solver draws to the end, also from pure noise


@pytest.mark.parametrize(("prediction", "sampler"), ALL)
def test_next_to_no_noise_gives_the_latents_back_and_pure_noise_nothing_of_them(prediction: str, sampler: Any) -> None:
    diffusion, denoiser = known(prediction)
    initial = seeded_normal(7, range(2), *SHAPE)
    how: dict[str, Any] = {"seed": 1, "num_steps": 20, "sampler": sampler}
    for t_start in (0.0, 0.01):
        assert torch.equal(diffusion.sample(2, initial=initial, t_start=t_start, **how), initial)
    assert not denoiser.seen
    plain = diffusion.sample(2, **how)
    assert torch.equal(diffusion.sample(2, initial=initial, t_start=1.0, **how), plain)
    late = diffusion.sample(1, start=1, initial=initial[1:], t_start=0.5, **how)
    batch = diffusion.sample(2, initial=initial, t_start=0.5, **how)
    torch.testing.assert_close(late, batch[1:], rtol=1e-5, atol=1e-5)


class Gaussian(nn.Module):
    """The best denoiser of z_0 ~ N(0, 1), whose reverse process keeps what it is given for the greater part."""

    def __init__(self, noise: NoiseConfig) -> None:
        super().__init__()
        self.noise = noise

    def forward(self, z: Tensor, t: Tensor, cond: None = None) -> Tensor:
        alpha, sigma = self.noise.coefficients(t, z)
        return self.noise.standing_for(alpha * z / (alpha**2 + sigma**2), z, t)


@pytest.mark.parametrize(
    ("prediction", "sampler"), [("eps", "ddim"), ("v", "dpm-solver++"), ("x0", "unipc"), ("flow", "euler")]
)
def test_the_later_it_begins_the_closer_it_stays(prediction: Any, sampler: str) -> None:
    noise = NoiseConfig(prediction=prediction)
    diffusion = LatentDiffusion(Gaussian(noise), noise, SHAPE)
    initial = seeded_normal(7, range(8), *SHAPE)
    misses = [
        float((diffusion.sample(8, sampler=sampler, initial=initial, t_start=t_start) - initial).square().mean())
        for t_start in (0.03, 0.2, 0.5, 0.9)
    ]
    assert misses == sorted(misses)
    assert misses[0] < 0.05 < 0.5 < misses[-1]


@pytest.mark.parametrize("name", FROM_NOISE)
def test_samplers_that_begin_with_noise_only_say_so(name: str) -> None:
    diffusion, _ = known("v")
    scheduler = make_scheduler(getattr(diffusers, name), diffusion.noise)
    with pytest.raises(ValueError, match=f"{name} begins with pure noise only, .*; name another sampler"):
        diffusion.sample(1, sampler=scheduler, initial=torch.zeros(1, *SHAPE), t_start=0.5)


def test_edits_that_make_no_sense() -> None:
    diffusion, _ = known("v")
    zeros = torch.zeros(1, *SHAPE)
    for wrong in ({"initial": zeros}, {"t_start": 0.5}, {"initial": zeros, "t_start": 1.2},
                  {"initial": zeros, "t_start": float("nan")}):  # fmt: skip
        with pytest.raises(
            ValueError, match="`initial`, latents to edit, goes with t_start in .*; z_T itself is `noise`"
        ):
            diffusion.sample(1, **wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"`initial` is \(1, 2, 4\), wanted \(1, 2, 4, 4\)"):
        diffusion.sample(1, initial=zeros[..., 0], t_start=0.5)


@pytest.mark.parametrize(("prediction", "sampler"), NAMED)
def test_a_callback_is_called_after_each_step(prediction: str, sampler: str) -> None:
    diffusion, denoiser = known(prediction)
    seen: list[tuple[int, float, Tensor]] = []
    made = diffusion.sample(1, num_steps=5, sampler=sampler, callback=lambda *step: seen.append(step))
    assert [step for step, _, _ in seen] == [1, 2, 3, 4, 5]
    assert [time for _, time, _ in seen] == [float(t[0]) for _, t in denoiser.seen]
    assert torch.equal(seen[-1][2], made)

    def stop(step: int, time: float, latents: Tensor) -> None:
        if step == 3:
            raise KeyboardInterrupt

    denoiser.seen.clear()
    with pytest.raises(KeyboardInterrupt):
        diffusion.sample(1, num_steps=5, sampler=sampler, callback=stop)
    assert len(denoiser.seen) == 3
