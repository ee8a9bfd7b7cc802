"""Noise processes and what a denoiser predicts: eps, v, x0 (variance preserving) and flow."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ddmi_diffusion.device_transfer import sent

Prediction = Literal["eps", "v", "x0", "flow"]


def _per_item(values: Tensor, like: Tensor) -> Tensor:
    return sent(values.to(like.dtype), like.device).reshape(-1, *[1] * (like.ndim - 1))


@dataclass(frozen=True, kw_only=True)
class NoiseConfig:
    """`z_t = alpha_t z_0 + sigma_t eps`.

    Variance preserving ("eps", "v", "x0"): alpha^2 + sigma^2 = 1 with abar = prod(1 - beta),
    beta = linspace(sqrt(beta_start), sqrt(beta_end), T)^2, as in latent diffusion.
    Flow: alpha = 1 - sigma, sigma = t / T, and the target is dz/dsigma = eps - z_0.
    Times are in [0, T) everywhere; sampling of flow begins at T.  Computed in float64 on the CPU, as not every device
    has float64: times that are there need not be waited for.

    Examples:
        >>> flow = NoiseConfig(prediction="flow")
        >>> z, noise = torch.zeros(1, 2), torch.ones(1, 2)
        >>> flow.add_noise(z, noise, torch.tensor([250.0])).tolist()
        [[0.25, 0.25]]
    """

    prediction: Prediction = "eps"
    steps: int = 1000
    """T."""
    beta_start: float = 0.0015
    beta_end: float = 0.0195
    times: Literal["uniform", "logit-normal"] = "uniform"
    """Of training.  "logit-normal": `logit(t / T) ~ N(0, 1)`: most often where neither data nor noise prevails (Esser
    et al. 2024)."""
    shift: float | None = 1.0
    """k >= 1 of flow, in training and sampling: `sigma' = k sigma / (1 + (k - 1) sigma)`.  Noise that hides a small
    latent leaves the coarse of a large one visible (Esser et al. 2024).  None: max(1, sqrt(n / 4096)) for n numbers."""

    def __post_init__(self) -> None:
        if self.prediction not in ("eps", "v", "x0", "flow"):
            raise ValueError(f"NoiseConfig: prediction must be 'eps', 'v', 'x0' or 'flow', got {self.prediction!r}")
        if self.steps < 1 or not 0 < self.beta_start <= self.beta_end < 1:
            raise ValueError(
                f"NoiseConfig: need steps >= 1 and 0 < beta_start <= beta_end < 1, got {self.steps}, "
                f"{self.beta_start}, {self.beta_end}"
            )
        if self.times not in ("uniform", "logit-normal"):
            raise ValueError(f"NoiseConfig: times must be 'uniform' or 'logit-normal', got {self.times!r}")
        if self.shift != 1 and self.prediction != "flow":
            raise ValueError(f"NoiseConfig: shift is of flow, got {self.shift} for {self.prediction!r}; leave it at 1")
        if self.shift is not None and not 1 <= self.shift < math.inf:
            raise ValueError(f"NoiseConfig: shift must be a number of at least 1, or None, got {self.shift}")

    def for_latents_of(self, numbers: int) -> NoiseConfig:
        """The same with the shift that latents of so many numbers need, where it is None."""
        return self if self.shift is not None else replace(self, shift=max(1.0, math.sqrt(numbers / 4096)))

    @cached_property
    def betas(self) -> Float[Tensor, " step"]:
        """float64."""
        return torch.linspace(self.beta_start**0.5, self.beta_end**0.5, self.steps, dtype=torch.float64) ** 2

    @cached_property
    def alphas_cumprod(self) -> Float[Tensor, " step"]:
        """abar_t, float64."""
        return torch.cumprod(1.0 - self.betas, dim=0)

    def coefficients(self, t: Float[Tensor, " batch"], like: Tensor) -> tuple[Tensor, Tensor]:
        """(alpha_t, sigma_t), broadcastable over `like`."""
        if self.prediction == "flow":
            sigma = t.cpu().double() / self.steps
            return _per_item(1.0 - sigma, like), _per_item(sigma, like)
        abar = self.alphas_cumprod[t.long().cpu()]
        return _per_item(abar.sqrt(), like), _per_item((1.0 - abar).sqrt(), like)

    def sample_times(self, uniform: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """Training times from uniform numbers in [0, 1): whole steps, or continuous ones for flow."""
        parts = uniform.cpu().double()
        if self.times == "logit-normal":
            parts = torch.sigmoid(torch.special.ndtri(parts))
        shift = self.shift or 1.0
        times = shift * parts / (1 + (shift - 1) * parts) * self.steps
        return (times if self.prediction == "flow" else times.floor()).float().to(uniform.device)

    def add_noise(self, z: Tensor, noise: Tensor, t: Float[Tensor, " batch"]) -> Tensor:
        alpha, sigma = self.coefficients(t, z)
        return alpha * z + sigma * noise

    def _parts(self, alpha: Tensor, sigma: Tensor) -> tuple[Tensor | float, Tensor | float]:
        """(a, b) of what is predicted, `a z_0 + b eps`."""
        if self.prediction == "eps":
            return 0.0, 1.0
        if self.prediction == "x0":
            return 1.0, 0.0
        if self.prediction == "flow":
            return -1.0, 1.0
        return -sigma, alpha

    def target(self, z: Tensor, noise: Tensor, t: Float[Tensor, " batch"]) -> Tensor:
        """What the denoiser is to predict: eps, v = alpha eps - sigma z, z_0, or eps - z_0."""
        a, b = self._parts(*self.coefficients(t, z))
        return a * z + b * noise

    def clean(self, z_t: Tensor, prediction: Tensor, t: Float[Tensor, " batch"]) -> Tensor:
        """The z_0 that a prediction stands for, from `z_t = alpha z_0 + sigma eps` and `prediction = a z_0 + b eps`."""
        alpha, sigma = self.coefficients(t, z_t)
        a, b = self._parts(alpha, sigma)
        return (b * z_t - sigma * prediction) / (b * alpha - a * sigma)

    def standing_for(self, z: Tensor, z_t: Tensor, t: Float[Tensor, " batch"]) -> Tensor:
        """The prediction that stands for this z_0: the inverse of `clean`."""
        alpha, sigma = self.coefficients(t, z_t)
        a, b = self._parts(alpha, sigma)
        return a * z + b * (z_t - alpha * z) / sigma

    def min_snr_weight(self, t: Float[Tensor, " batch"], gamma: float) -> Float[Tensor, " batch"]:
        """Min-SNR-gamma weight of the squared error of the prediction (Hang et al. 2023).

        `min(snr, gamma)` in x0 space is `/ snr` for eps, `/ (snr + 1)` for v, and `alpha^2 / (...)` alike for flow.
        """
        alpha, sigma = self.coefficients(t, t.cpu().double())
        snr = alpha.square() / sigma.square().clamp_min(1e-12)
        weight = snr.clamp(max=gamma)
        if self.prediction == "eps":
            weight = weight / snr
        elif self.prediction == "v":
            weight = weight / (snr + 1)
        elif self.prediction == "flow":
            weight = weight * sigma.square()  # x0 error = sigma * flow error
        return weight.float().to(t.device)
