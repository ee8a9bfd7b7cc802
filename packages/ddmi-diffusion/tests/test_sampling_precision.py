"""Sampling in half precision, on devices without float64, and from weights that are not finite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from ddmi_diffusion import (
    Conditioning,
    DiTConfig,
    Guidance,
    LatentDiffusion,
    NoiseConfig,
    PlaneDiT,
    PlaneUNet,
    UNetConfig,
)

SIZES = UNetConfig(
    width=16, multipliers=(1, 2), blocks=1, attention_factors=(1,), head_channels=8, groups=4, positions=True
)
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "unet": lambda: PlaneUNet([(4, 8, 8)], config=SIZES, condition=6),
    "dit": lambda: PlaneDiT([(4, 8, 8)], config=DiTConfig(width=16, depth=2, head_channels=8), condition=6),
}
COND = Conditioning(torch.randn(1, 3, 6, generator=torch.Generator().manual_seed(0)), torch.ones(1, 3).bool())
NULL = Conditioning(torch.zeros(1, 1, 6), torch.ones(1, 1).bool())


def model(network: str = "unet", prediction: Any = "v", mixed: float | None = None) -> LatentDiffusion:
    torch.manual_seed(0)
    diffusion = LatentDiffusion(NETWORKS[network](), NoiseConfig(prediction=prediction), (4, 8, 8), mixed=mixed)
    for parameter in diffusion.denoiser.parameters():
        nn.init.normal_(parameter, std=0.05)
    return diffusion


@pytest.mark.parametrize(
    ("network", "prediction", "mixed", "sampler"),
    [
        ("unet", "v", None, "ddim"),
        ("unet", "eps", -6.0, "ddpm"),
        ("unet", "flow", None, "euler"),
        ("dit", "v", None, "dpm-solver++"),
    ],
)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_model_in_half_precision_samples_as_the_whole_one(
    network: str, prediction: str, mixed: float | None, sampler: str, dtype: torch.dtype
) -> None:
    diffusion = model(network, prediction, mixed)
    options: dict[str, Any] = dict(num_steps=6, sampler=sampler, cond=COND, guidance=Guidance(scale=1.5, null=NULL))
    whole = diffusion.sample(3, **options)
    half = diffusion.to(dtype).sample(3, **options)
    assert half.dtype == torch.float32
    error = (half - whole).square().mean().sqrt() / whole.std()
    assert 0 < error < 0.02
    loss = diffusion.loss(whole, torch.randn(3, 4, 8, 8), torch.tensor([1.0, 500.0, 900.0]), COND.expand(3))
    assert loss.dtype == torch.float32


def test_a_network_sees_its_own_precision_and_whole_times() -> None:
    seen: list[tuple[torch.dtype, ...]] = []

    class Watch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def forward(self, z: Tensor, t: Tensor, cond: Conditioning) -> Tensor:
            seen.append((z.dtype, t.dtype, cond.tokens.dtype))
            return z * self.weight

    diffusion = LatentDiffusion(Watch(), NoiseConfig(prediction="v"), (2,))
    for dtype in (torch.bfloat16, torch.float32, torch.float64):
        diffusion.to(dtype).sample(1, num_steps=1, cond=COND)
        assert seen.pop() == (dtype, torch.float32, dtype)  # bfloat16 has no 999


def test_the_mixed_prediction_is_mixed_in_float32() -> None:
    """Of bfloat16, 1 - sigmoid(-6) would be 1 - 0.0039."""
    diffusion = LatentDiffusion(nn.Conv2d(1, 1, 1), NoiseConfig(), (1, 2, 2), mixed=-6.0).bfloat16()
    diffusion.denoiser.forward = lambda z, t, cond: torch.zeros_like(z)  # type: ignore[method-assign]
    made = diffusion.predict(torch.ones(1, 1, 2, 2), torch.tensor([999.0]))
    sigma = float((1 - diffusion.noise.alphas_cumprod[-1]).sqrt())
    torch.testing.assert_close(made, torch.full_like(made, sigma * (1 - 0.00247262)), rtol=1e-5, atol=0)


class NoFloat64(TorchDispatchMode):
    """As on a device that has none: an error where one would lie there."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for one in made if isinstance(made, tuple | list) else (made,):
            if isinstance(one, Tensor) and one.dtype == torch.float64 and one.device.type != "cpu":
                raise TypeError(f"{func}: this device has no float64")
        return made


@pytest.mark.parametrize("prediction", ["eps", "v", "x0", "flow"])
def test_no_float64_lies_on_the_device(prediction: Any) -> None:
    noise = NoiseConfig(prediction=prediction)
    diffusion = LatentDiffusion(Echo(), noise, (2,), min_snr_gamma=5.0)
    betas, abar = noise.betas, noise.alphas_cumprod
    assert betas.device.type == abar.device.type == "cpu"
    with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True), NoFloat64():  # type: ignore[no-untyped-call]
        with pytest.raises(TypeError, match="this device has no float64"):
            torch.zeros(2, device="mps").double()
        if prediction == "eps":
            diffusion.mixing = nn.Parameter(torch.zeros(2, device="mps"), requires_grad=False)
        z, t = torch.zeros(3, 2, device="mps"), noise.sample_times(torch.rand(3, device="mps"))
        assert t.device.type == "mps"
        assert diffusion.loss(z, torch.zeros_like(z), t).device.type == "mps"
        assert diffusion._guided(z, 500.0, None, None).device.type == "mps"


class Echo(nn.Module):
    """Gives back its input; from a time on, what is not finite."""

    def __init__(self, bad: float = 0.0, since: float = -1.0) -> None:
        super().__init__()
        self.bad, self.since = bad, since

    def forward(self, z: Tensor, t: Tensor, cond: Conditioning | None = None) -> Tensor:
        return torch.where((t <= self.since).reshape(-1, 1), self.bad, z)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_latents_that_are_not_finite_are_an_error_that_names_the_step(bad: float) -> None:
    diffusion = LatentDiffusion(Echo(bad, since=500.0), NoiseConfig(prediction="v"), (2,))
    message = r"not finite from step 6 of 10 \(time 499\) on; weights and inputs are finite, so the network overflowed"
    with pytest.raises(ValueError, match=message):
        diffusion.sample(3, num_steps=10)


def test_the_likely_cause_is_named() -> None:
    diffusion = model()
    with torch.no_grad():
        diffusion.denoiser.out.bias[1] = float("nan")  # type: ignore[union-attr, operator]
    with pytest.raises(ValueError, match=r"from step 1 of 4 .*; denoiser.out.bias is not finite itself: .*checkpoint"):
        diffusion.sample(2, num_steps=4)
    good = model()
    with pytest.raises(ValueError, match=r"; guide.denoiser.out.bias is not finite itself"):
        good.sample(2, num_steps=4, guidance=Guidance(scale=2.0, guide=diffusion))
    with pytest.raises(ValueError, match=r"; noise is not finite itself"):
        good.sample(1, num_steps=4, noise=torch.full((1, 4, 8, 8), torch.inf))
    with pytest.raises(ValueError, match=r"; cond.tokens is not finite itself"):
        good.sample(1, num_steps=4, cond=Conditioning(COND.tokens * torch.nan, COND.mask))
    big = model().half()
    with torch.no_grad():
        for parameter in big.denoiser.out.parameters():  # type: ignore[union-attr]
            parameter.fill_(60_000.0)
    with pytest.raises(
        ValueError, match=r"the weights are torch.float16, in which the network may overflow: sample with"
    ):
        big.sample(1, num_steps=4)
