from __future__ import annotations

import pytest
import torch
from draws import Draws
from torch.distributions import Normal, kl_divergence

from ddmi_vae import Posterior


def test_kl_is_that_of_torch_summed_over_elements_and_planes() -> None:
    posterior = Posterior.from_moments((torch.randn(3, 8, 4, 5), torch.randn(3, 8, 2, 2)))
    slow = torch.zeros(3)
    for mean, std in zip(posterior.mean, posterior.std, strict=True):
        slow += kl_divergence(Normal(mean, std), Normal(0.0, 1.0)).flatten(1).sum(1)
    torch.testing.assert_close(posterior.kl(), slow, rtol=1e-4, atol=1e-4)


def test_moments_split_mean_first_and_clamp_the_log_variance() -> None:
    moments = torch.cat((torch.full((1, 2, 1, 1), 3.0), torch.tensor([-99.0, 99.0]).reshape(1, 2, 1, 1)), dim=1)
    posterior = Posterior.from_moments((moments,))
    assert posterior.mean[0].flatten().tolist() == [3.0, 3.0]
    assert posterior.log_variance[0].flatten().tolist() == [-30.0, 20.0]


def test_kl_is_float32_under_half_precision() -> None:
    posterior = Posterior.from_moments((torch.randn(1, 4, 2, 2, dtype=torch.bfloat16),))
    assert posterior.kl().dtype == torch.float32


def test_samples_have_the_stated_moments() -> None:
    mean = torch.tensor([1.0, -2.0]).reshape(1, 2, 1, 1).expand(20_000, -1, -1, -1)
    log_variance = torch.tensor([0.5, -1.0]).reshape(1, 2, 1, 1).expand_as(mean)
    posterior = Posterior((mean,), (log_variance,))
    (z,) = posterior.sample(Draws(20_000))
    torch.testing.assert_close(z.mean(0), mean[0], atol=0.03, rtol=0)
    torch.testing.assert_close(z.std(0), posterior.std[0][0], atol=0.03, rtol=0)


def test_odd_channels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(batch, 2 C, rows, columns\), got \(1, 3, 2, 2\)"):
        Posterior.from_moments((torch.zeros(1, 3, 2, 2),))
