from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from ddmi_diffusion import NoiseConfig

PREDICTIONS = ["eps", "v", "x0", "flow"]


def implied(config: NoiseConfig, prediction: Tensor, z_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """The clean latent and the noise that a prediction at z_t = alpha z + sigma eps stands for, by hand."""
    alpha, sigma = config.coefficients(t, z_t)
    if config.prediction == "eps":
        return (z_t - sigma * prediction) / alpha, prediction
    if config.prediction == "v":
        return alpha * z_t - sigma * prediction, alpha * prediction + sigma * z_t
    if config.prediction == "x0":
        return prediction, (z_t - alpha * prediction) / sigma
    return z_t - sigma * prediction, z_t + alpha * prediction


def test_betas_are_squares_of_an_even_spacing() -> None:
    config = NoiseConfig()
    assert config.betas.dtype == torch.float64
    torch.testing.assert_close(config.betas[[0, -1]], torch.tensor([0.0015, 0.0195], dtype=torch.float64))
    roots = config.betas.sqrt()
    torch.testing.assert_close(roots.diff(), roots.diff().mean().expand(999))
    slow = 1.0
    for beta in config.betas[:10].tolist():
        slow *= 1 - beta
    assert config.alphas_cumprod[9].item() == pytest.approx(slow, rel=1e-12)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_targets_stand_for_the_clean_latent_and_the_noise(prediction: Any) -> None:
    torch.manual_seed(0)
    config = NoiseConfig(prediction=prediction)
    z, noise, t = torch.randn(4, 3, 5), torch.randn(4, 3, 5), torch.tensor([1.0, 200.0, 500.0, 900.0])
    z_t = config.add_noise(z, noise, t)
    target = config.target(z, noise, t)
    clean, eps = implied(config, target, z_t, t)
    torch.testing.assert_close(clean, z, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(eps, noise, atol=1e-3, rtol=1e-3)


def test_variance_is_preserved_and_flow_interpolates() -> None:
    like = torch.zeros(3, 2, 2)
    t = torch.tensor([0.0, 400.0, 999.0])
    alpha, sigma = NoiseConfig(prediction="v").coefficients(t, like)
    torch.testing.assert_close(alpha**2 + sigma**2, torch.ones(3, 1, 1))
    alpha, sigma = NoiseConfig(prediction="flow").coefficients(t, like)
    torch.testing.assert_close(sigma.flatten(), t / 1000)
    torch.testing.assert_close(alpha + sigma, torch.ones(3, 1, 1))


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_min_snr_weights_are_one_loss_in_x0_space(prediction: Any) -> None:
    """Whatever is predicted, weight * error(prediction) = min(snr, gamma) * error(x0)."""
    torch.manual_seed(0)
    config = NoiseConfig(prediction=prediction)
    z, noise = torch.randn(5, 64), torch.randn(5, 64)
    t = torch.tensor([5.0, 100.0, 400.0, 700.0, 950.0])
    z_t = config.add_noise(z, noise, t)
    target = config.target(z, noise, t)
    prediction_ = target + 0.1 * torch.randn_like(target)
    error = (prediction_ - target).square().mean(1) * config.min_snr_weight(t, 5.0)
    alpha, sigma = config.coefficients(t, z)
    snr = (alpha**2 / sigma**2).flatten().clamp(max=5.0)
    x0_error = (implied(config, prediction_, z_t, t)[0] - z).square().mean(1) * snr
    torch.testing.assert_close(error, x0_error, rtol=1e-2, atol=1e-6)


def test_times_are_whole_steps_or_continuous() -> None:
    uniform = torch.tensor([0.0, 0.12345, 0.999999])
    assert NoiseConfig().sample_times(uniform).tolist() == [0.0, 123.0, 999.0]
    assert NoiseConfig(prediction="flow").sample_times(uniform)[1].item() == pytest.approx(123.45)


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_logit_normal_times_are_moved_by_the_shift(shift: float) -> None:
    uniform = (torch.arange(10_000, dtype=torch.float64) + 0.5) / 10_000
    noise = NoiseConfig(prediction="flow", times="logit-normal", shift=shift)
    logits = torch.logit(noise.sample_times(uniform.float()).double() / noise.steps)
    assert logits.mean() == pytest.approx(math.log(shift), abs=0.01)
    assert logits.std() == pytest.approx(1, abs=0.01)
    even = NoiseConfig(prediction="flow", shift=shift).sample_times(torch.tensor([0.0, 0.5]))
    assert even.tolist() == [0, pytest.approx(1000 * shift / (1 + shift))]


def test_times_of_a_variance_preserving_process_stay_steps() -> None:
    ends = torch.tensor([0.0, 1 - 2**-24])
    assert NoiseConfig(prediction="v", times="logit-normal").sample_times(ends).tolist() == [0, 995]


def test_the_shift_follows_the_size_of_a_latent() -> None:
    noise = NoiseConfig(prediction="flow", shift=None)
    assert [noise.for_latents_of(n).shift for n in (1024, 4096, 16_384)] == [1, 1, 2]
    assert NoiseConfig(prediction="flow", shift=5.0).for_latents_of(16_384).shift == 5
    assert NoiseConfig().for_latents_of(16_384).shift == 1


@pytest.mark.usefixtures("_untyped")
def test_bad_configurations() -> None:
    with pytest.raises(ValueError, match="prediction must be 'eps', 'v', 'x0' or 'flow', got 'score'"):
        NoiseConfig(prediction="score")  # type: ignore[arg-type]
    for bad in ({"beta_start": 0.5, "beta_end": 0.1}, {"beta_start": 0.0}, {"beta_end": 1.0}, {"steps": 0}):
        with pytest.raises(ValueError, match="need steps >= 1 and 0 < beta_start <= beta_end < 1, got"):
            NoiseConfig(**bad)
    with pytest.raises(ValueError, match="times must be 'uniform' or 'logit-normal', got 'cosine'"):
        NoiseConfig(times="cosine")  # type: ignore[arg-type]
    for bad_shift in (0.5, math.inf, math.nan):
        with pytest.raises(ValueError, match="shift must be a number of at least 1, or None"):
            NoiseConfig(prediction="flow", shift=bad_shift)
    for shift in (2.0, None):
        with pytest.raises(ValueError, match="shift is of flow, got .* for 'v'; leave it at 1"):
            NoiseConfig(prediction="v", shift=shift)
