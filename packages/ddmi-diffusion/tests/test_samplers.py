"""Every sampler against the analytic case: for Gaussian data the best denoiser is known in closed form."""

from __future__ import annotations

from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor, nn

from ddmi_diffusion import Conditioning, Guidance, LatentDiffusion, NoiseConfig, make_scheduler

MEAN, STD = 1.5, 0.4
PAIRS = [(p, s) for p in ("eps", "v", "x0") for s in ("ddpm", "ddim", "dpm-solver++", "unipc")]
PAIRS += [("flow", s) for s in ("euler", "dpm-solver++", "unipc")]


class GaussianDenoiser(nn.Module):
    """The exact posterior mean for z_0 ~ N(MEAN, STD^2), turned into what is predicted."""

    def __init__(self, noise: NoiseConfig) -> None:
        super().__init__()
        self.noise = noise
        self.unused = nn.Parameter(torch.zeros(()))

    def forward(self, z: Tensor, t: Tensor, cond: Conditioning | None = None) -> Tensor:
        mean = MEAN if cond is None else cond.tokens[:, :1, 0]
        alpha, sigma = (c.double() for c in self.noise.coefficients(t, z.double()))
        variance = alpha**2 * STD**2 + sigma**2
        x0 = mean + alpha * STD**2 / variance * (z.double() - alpha * mean)
        noise = (z.double() - alpha * x0) / sigma.clamp_min(1e-9)
        return self.noise.target(x0, noise, t).float()


def gaussian_diffusion(prediction: Any) -> LatentDiffusion:
    noise = NoiseConfig(prediction=prediction)
    return LatentDiffusion(GaussianDenoiser(noise), noise, (2,))


@pytest.mark.parametrize(("prediction", "sampler"), PAIRS)
def test_sampler_reaches_the_analytic_gaussian(prediction: str, sampler: str) -> None:
    steps = 200 if sampler in ("ddpm", "ddim") else 50  # first-order: their error falls with the step
    samples = gaussian_diffusion(prediction).sample(2000, seed=1, num_steps=steps, sampler=sampler)
    assert samples.mean().item() == pytest.approx(MEAN, abs=0.03)
    assert samples.std().item() == pytest.approx(STD, rel=0.08)


@pytest.mark.parametrize(("prediction", "sampler"), PAIRS)
def test_sample_i_is_a_function_of_seed_and_i(prediction: str, sampler: str) -> None:
    diffusion = gaussian_diffusion(prediction)
    batch = diffusion.sample(5, seed=3, num_steps=6, sampler=sampler)
    late = diffusion.sample(2, seed=3, start=3, num_steps=6, sampler=sampler)
    torch.testing.assert_close(batch[3:], late, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(batch[:2], diffusion.sample(2, seed=4, num_steps=6, sampler=sampler))
    assert diffusion.sample(0, num_steps=6, sampler=sampler).shape == (0, 2)


@pytest.mark.parametrize("steps", [5, 7, 61, 150, 600])
def test_ddim_is_the_written_recursion(steps: int) -> None:
    """Eta 0, times evenly spaced from T - 1, the last step returns the predicted z_0."""
    diffusion = gaussian_diffusion("eps")
    z = torch.randn(3, 2)
    wanted = z.clone()
    times = [int(-1 + (steps - i) * 1000 / steps) for i in range(steps)]
    abar = diffusion.noise.alphas_cumprod.float()
    for t, previous in zip(times, [*times[1:], None], strict=True):
        eps = diffusion.predict(wanted, torch.full((3,), float(t)))
        x0 = (wanted - (1 - abar[t]).sqrt() * eps) / abar[t].sqrt()
        wanted = x0 if previous is None else abar[previous].sqrt() * x0 + (1 - abar[previous]).sqrt() * eps
    torch.testing.assert_close(diffusion.sample(3, num_steps=steps, noise=z), wanted, rtol=1e-3, atol=1e-3)


def test_ddim_of_diffusers_only_where_its_steps_meet() -> None:
    diffusion = gaussian_diffusion("eps")
    settings = dict(trained_betas=diffusion.noise.betas.numpy(), clip_sample=False, timestep_spacing="trailing")
    theirs = diffusers.DDIMScheduler(num_train_timesteps=1000, set_alpha_to_one=True, **settings)
    z = torch.randn(3, 2)
    ours = diffusion.sample(3, num_steps=50, noise=z, sampler="ddim")
    torch.testing.assert_close(diffusion.sample(3, num_steps=50, noise=z, sampler=theirs), ours, rtol=0, atol=0)
    with pytest.raises(ValueError, match="steps evenly only where num_steps divides 1000, got 600; name 'ddim'"):
        diffusion.sample(3, num_steps=600, noise=z, sampler=theirs)


def test_guidance_moves_between_the_branches_in_one_batch() -> None:
    diffusion = gaussian_diffusion("eps")
    mask = torch.ones(1, 1, dtype=torch.bool)
    cond, null = Conditioning(torch.full((1, 1, 1), 2.0), mask), Conditioning(torch.zeros(1, 1, 1), mask)
    z, t = torch.randn(3, 2), torch.full((3,), 500.0)
    by_hand = diffusion.predict(z, t, null.expand(3)) + 2.5 * (
        diffusion.predict(z, t, cond.expand(3)) - diffusion.predict(z, t, null.expand(3))
    )
    guided = diffusion._guided(z, 500.0, cond.expand(3), Guidance(scale=2.5, null=null))
    torch.testing.assert_close(guided, by_hand, rtol=1e-5, atol=1e-5)
    outside = diffusion._guided(z, 500.0, cond.expand(3), Guidance(scale=2.5, null=null, start=0.6))
    torch.testing.assert_close(outside, diffusion.predict(z, t, cond.expand(3)))
    means = [
        diffusion.sample(500, num_steps=30, cond=cond, guidance=Guidance(scale=w, null=null)).mean().item()
        for w in (0.0, 1.0, 2.0)
    ]
    assert means[0] == pytest.approx(0.0, abs=0.1)
    assert means[1] == pytest.approx(2.0, abs=0.1)
    assert means[2] > 2.5


def test_autoguidance_moves_away_from_the_guide() -> None:
    diffusion, guide = gaussian_diffusion("v"), gaussian_diffusion("v")
    learned = guide.predict
    one = Conditioning(torch.ones(1, 1, 1), torch.ones(1, 1, dtype=torch.bool))  # a Gaussian of mean 1, not MEAN
    guide.predict = lambda z, t, cond=None: learned(z, t, one.expand(len(z)))  # type: ignore[method-assign]
    z, t = torch.randn(3, 2), torch.full((3,), 500.0)
    good, bad = diffusion.predict(z, t), guide.predict(z, t)
    guided = diffusion._guided(z, 500.0, None, Guidance(scale=2.5, guide=guide))
    torch.testing.assert_close(guided, bad + 2.5 * (good - bad))
    assert not torch.allclose(guided, good, atol=0.01)
    outside = diffusion._guided(z, 500.0, None, Guidance(scale=2.5, guide=guide, stop=0.5))
    torch.testing.assert_close(outside, good)
    means = [
        diffusion.sample(500, num_steps=30, guidance=Guidance(scale=w, guide=guide)).mean().item()
        for w in (0.0, 1.0, 2.0)
    ]
    assert means == pytest.approx([1.0, MEAN, 2 * MEAN - 1], abs=0.1)
    with pytest.raises(ValueError, match="not both"):
        Guidance(scale=2.0, null=one, guide=guide)
    for weight in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="the scale is a number, got"):
            Guidance(scale=weight, guide=guide)
    for start, stop in ((1.0, 0.0), (0.5, 0.5), (-0.1, 1.0), (0.0, 1.1), (float("nan"), 1.0)):
        with pytest.raises(ValueError, match="0 <= start < stop <= 1"):
            Guidance(scale=2.0, guide=guide, start=start, stop=stop)


def test_unfit_samplers_are_refused_with_the_remedy() -> None:
    with pytest.raises(ValueError, match="does not fit prediction 'flow'; choose one of euler"):
        make_scheduler("ddim", NoiseConfig(prediction="flow"))
    diffusion = gaussian_diffusion("v")
    with pytest.raises(ValueError, match="num_steps 1001 is more than the 1000 steps of the noise process"):
        diffusion.sample(1, num_steps=1001, sampler="dpm-solver++")
    for unknown in (diffusers.LCMScheduler(), diffusers.FlowMatchEulerDiscreteScheduler(), object()):
        with pytest.raises(
            ValueError, match=r"Scheduler|object is not known to sample rightly .* 'v'; name one of ours"
        ):
            diffusion.sample(1, sampler=unknown)


OURS = NoiseConfig(prediction="v")
RIGHT: dict[str, Any] = dict(
    trained_betas=OURS.betas.numpy(), prediction_type="v_prediction", timestep_spacing="trailing", clip_sample=False
)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clip_sample": True}, "clip_sample=True, which would cut whitened latents to"),
        ({"thresholding": True}, "thresholding=True, which would cut whitened latents to"),
        ({"prediction_type": "epsilon"}, "expects 'epsilon', the denoiser was trained for 'v_prediction'"),
        ({"trained_betas": None}, r"alphas_cumprod\[999\] is 4.036e-05 and should be 0.0001[0-9]*"),
        ({"trained_betas": None, "num_train_timesteps": 500}, "num_train_timesteps=500, .* was trained with 1000"),
        ({"rescale_betas_zero_snr": True}, r"another noise schedule .*: alphas_cumprod\[999\] is"),
        ({"timestep_spacing": "leading"}, "starts at time 800 of 1000, where a latent is not yet pure noise"),
    ],
)
def test_a_foreign_scheduler_of_another_process_is_refused(change: dict[str, Any], message: str) -> None:
    diffusion = gaussian_diffusion("v")
    assert diffusion.sample(1, sampler=diffusers.DDIMScheduler(**RIGHT), num_steps=5).isfinite().all()
    with pytest.raises(ValueError, match=message) as refused:
        diffusion.sample(1, sampler=diffusers.DDIMScheduler(**(RIGHT | change)), num_steps=5)
    assert "make_scheduler(diffusers.DDIMScheduler, diffusion.noise)" in str(refused.value)


def test_a_foreign_scheduler_of_flow_is_refused_where_it_is_not_of_this_flow() -> None:
    diffusion = gaussian_diffusion("flow")
    for options, message in (
        ({"num_train_timesteps": 100}, "num_train_timesteps=100"),
        ({"invert_sigmas": True}, "invert_sigmas=True, which would go from data to noise"),
        ({"stochastic_sampling": True}, "stochastic_sampling=True, which would draw around the mean"),
    ):
        with pytest.raises(ValueError, match=message):
            diffusion.sample(1, sampler=diffusers.FlowMatchEulerDiscreteScheduler(**options))
    solver: Any = diffusers.DPMSolverMultistepScheduler
    with pytest.raises(ValueError, match="expects 'epsilon', the denoiser was trained for 'flow_prediction'"):
        diffusion.sample(1, sampler=solver(use_flow_sigmas=True))
    with pytest.raises(ValueError, match="use_flow_sigmas=False, the denoiser was trained on flow"):
        diffusion.sample(1, sampler=solver(prediction_type="flow_prediction"))
    straight = solver(
        prediction_type="v_prediction", use_flow_sigmas=True, trained_betas=OURS.betas.numpy(), final_sigmas_type="zero"
    )
    with pytest.raises(ValueError, match="use_flow_sigmas=True, the denoiser was not trained on flow"):
        gaussian_diffusion("v").sample(1, sampler=straight)


def test_what_does_not_fit_the_model_is_refused() -> None:
    diffusion = gaussian_diffusion("v")
    for given in (torch.zeros(3, 2), torch.zeros(2, 3), torch.zeros(2, 2, 1)):
        with pytest.raises(ValueError, match=r"`noise` is \(.*\), wanted \(2, 2\)"):
            diffusion.sample(2, num_steps=3, noise=given)
    guides = {
        "prediction 'eps' and the model 'v'": LatentDiffusion(nn.Identity(), NoiseConfig(prediction="eps"), (2,)),
        "steps 100 and the model 1000": LatentDiffusion(nn.Identity(), NoiseConfig(prediction="v", steps=100), (2,)),
        "beta_end 0.1 and": LatentDiffusion(nn.Identity(), NoiseConfig(prediction="v", beta_end=0.1), (2,)),
        r"shape \(3,\) and the model \(2,\)": LatentDiffusion(nn.Identity(), NoiseConfig(prediction="v"), (3,)),
    }
    for message, guide in guides.items():
        with pytest.raises(ValueError, match=f"the guide has {message}.*earlier state of the same training"):
            diffusion.sample(2, num_steps=3, guidance=Guidance(scale=2.0, guide=guide))
    flow, other = gaussian_diffusion("flow"), NoiseConfig(prediction="flow", beta_end=0.1)
    unlike = LatentDiffusion(GaussianDenoiser(other), other, (2,))  # flow has no betas: they say nothing
    assert flow.sample(1, num_steps=3, sampler="euler", guidance=Guidance(scale=2.0, guide=unlike)).isfinite().all()
