"""The objective in its units, and that it learns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from draws import Draws
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ddmi_fields import CoarseToFineReadOut, ImplicitFunction, PlaneLayout, grid_coordinates
from ddmi_vae import (
    D2CVAE,
    PlaneDecoder,
    PlaneDecoderConfig,
    PlaneEncoder,
    PlaneEncoderConfig,
    Ramp,
    SpectralRegulariser,
    VAEObjective,
    bernoulli_nll,
    convolution_matrices,
    gaussian_nll,
    laplace_nll,
    reconstruct,
)


@dataclass
class Batch:
    inputs: tuple[Tensor, ...]
    query: Tensor
    target: Tensor


def small_vae() -> D2CVAE:
    options: dict[str, Any] = dict(width=16, multipliers=(1, 2), blocks=1, groups=4)
    encoder = PlaneEncoder(PlaneLayout.image(), 8, PlaneEncoderConfig(in_channels=3, **options))
    decoder = PlaneDecoder(PlaneLayout.image(), 8, PlaneDecoderConfig(channels=8, scales=2, **options))
    return D2CVAE(encoder, decoder, CoarseToFineReadOut([8, 8], 3, width=32))


def pictures(count: int) -> Batch:
    """Discs of random colour on a ramp, 16 x 16."""
    generator = torch.Generator().manual_seed(0)
    coords = grid_coordinates((16, 16))
    centre = torch.rand(count, 1, 2, generator=generator) - 0.5
    colour = 2 * torch.rand(count, 1, 3, generator=generator) - 1
    inside = ((coords - centre).norm(dim=-1, keepdim=True) < 0.4).float()
    target = inside * colour + (1 - inside) * 0.5 * coords[..., :1]
    image = target.transpose(1, 2).reshape(count, 3, 16, 16)
    return Batch((image,), coords.expand(count, -1, -1), target)


class Doubled(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return 2 * weight


def read(function: ImplicitFunction, query: Tensor) -> Tensor:
    return function(query)


def test_likelihoods_sum_channels_and_average_coordinates() -> None:
    a, b = torch.randn(2, 7, 3), torch.randn(2, 7, 3)
    torch.testing.assert_close(gaussian_nll(a, b), (a - b).square().sum(2).mean(1))
    torch.testing.assert_close(laplace_nll(a, b), (a - b).abs().sum(2).mean(1))
    labels = (b > 0).float()
    slow = F.binary_cross_entropy(torch.sigmoid(a), labels, reduction="none").sum(2).mean(1)
    torch.testing.assert_close(bernoulli_nll(a, labels), slow, rtol=1e-4, atol=1e-5)
    assert bernoulli_nll(torch.full((1, 1, 1), 1e4), torch.zeros(1, 1, 1)).isfinite().all()


def test_loss_is_nll_plus_weighted_kl_and_terms() -> None:
    vae, batch = small_vae(), pictures(3)
    ramp = Ramp(start=0.0, stop=0.2, steps=10)
    assert [ramp(s) for s in (0, 5, 10, 99)] == pytest.approx([0.0, 0.1, 0.2, 0.2])
    seen: list[int] = []

    def perceptual(prediction: Tensor, target: Tensor, query: Tensor, step: int) -> Tensor:
        return torch.full((3,), 2.0)

    def adversary(prediction: Tensor, query: Tensor, nll: Tensor, last_layer: Tensor, step: int, rng: Draws) -> Tensor:
        (slope,) = torch.autograd.grad(nll, last_layer, retain_graph=True)
        assert slope.abs().sum() > 0
        seen.append(step)
        return torch.tensor(0.5)

    objective = VAEObjective(
        vae, predict=read, nll=laplace_nll, kl_weight=ramp, terms={"perceptual": perceptual}, adversarial=adversary,
        spectral_weight=lambda step: 1e-3,
    )  # fmt: skip
    out = objective(batch, step=5, rng=Draws(3))
    posterior = vae.encode(batch.inputs)
    nll = laplace_nll(vae.function(posterior.sample(Draws(3)))(batch.query), batch.target).mean()
    wanted = nll + 0.1 * posterior.kl().mean() + 2.0 + 0.5 + 1e-3 * out["spectral"]
    torch.testing.assert_close(out["loss"], wanted, rtol=1e-4, atol=1e-4)
    assert seen == [5]
    logged = {
        "nll": nll,
        "kl": posterior.kl().mean(),
        "perceptual": torch.tensor(2.0),
        "adversarial": torch.tensor(0.5),
    }
    assert set(out) == {"loss", "aux", "spectral", *logged}
    for name, value in logged.items():
        torch.testing.assert_close(out[name], value.detach(), rtol=1e-4, atol=1e-4)
    convolutions = convolution_matrices(nn.ModuleList([vae.encoder, vae.decoder]))
    largest = [torch.linalg.svdvals(one)[0] for one in convolutions]
    torch.testing.assert_close(out["spectral"], torch.stack(largest).sum().detach(), rtol=2e-2, atol=0)
    torch.testing.assert_close(out["aux"]["prediction"], vae.function(posterior.sample(Draws(3)))(batch.query).detach())
    assert not any(value.requires_grad for name, value in out.items() if name not in ("loss", "aux"))
    assert not out["aux"]["prediction"].requires_grad


def test_terms_are_no_part_of_the_model() -> None:
    judge = nn.Linear(2, 2)
    terms = {"judged": lambda prediction, target, query, step: judge(prediction[..., 0])}
    objective = VAEObjective(small_vae(), predict=read, nll=laplace_nll, kl_weight=lambda s: 0.0, terms=terms)
    assert not {id(p) for p in judge.parameters()} & {id(p) for p in objective.parameters()}


def test_finite_under_bfloat16() -> None:
    objective = VAEObjective(small_vae(), predict=read, nll=gaussian_nll, kl_weight=lambda s: 1e-4)
    with torch.autocast("cpu", torch.bfloat16):
        out = objective(pictures(3), step=0, rng=Draws(3))
    out["loss"].backward()
    assert out["loss"].dtype == torch.float32
    assert all(p.grad is not None and p.grad.isfinite().all() for p in objective.parameters())


@pytest.mark.slow
def test_overfits_eight_pictures_to_28_db_and_keeps_them_continuous() -> None:
    vae, batch = small_vae(), pictures(8)
    objective = VAEObjective(vae, predict=read, nll=gaussian_nll, kl_weight=lambda s: 1e-6)
    optimizer = torch.optim.Adam(vae.parameters(), lr=5e-3)
    for step in range(200):
        out = objective(batch, step=step, rng=Draws(8, step))
        optimizer.zero_grad()
        out["loss"].backward()
        optimizer.step()
    with torch.no_grad():
        made = reconstruct(vae, batch.inputs).grid((16, 16))
        psnr = 10 * torch.log10(4 / (made - batch.inputs[0]).square().mean((1, 2, 3)))
        finer = reconstruct(vae, batch.inputs).grid((64, 64))
    assert psnr.mean() > 28, psnr
    shrunk = F.avg_pool2d(finer, 4)
    assert 10 * torch.log10(4 / (shrunk - made).square().mean()) > 24, "the fine grid shows the same pictures"


def test_power_iteration_reaches_the_largest_singular_values() -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv1d(4, 5, 1), nn.Linear(3, 3))
    regulariser = SpectralRegulariser(module)
    exact = sum(torch.linalg.svdvals(m.weight.flatten(1))[0] for m in (module[0], module[1]))  # type: ignore[misc]
    torch.testing.assert_close(regulariser(), exact, rtol=1e-2, atol=0)
    regulariser().backward()
    u, _, v = torch.linalg.svd(module[0].weight.flatten(1).detach())
    torch.testing.assert_close(module[0].weight.grad.flatten(1), torch.outer(u[:, 0], v[0]), atol=0.05, rtol=0)  # type: ignore[union-attr,operator]
    assert not list(regulariser.parameters()), "the weights belong to the model"
    with pytest.raises(ValueError, match="SpectralRegulariser: Linear has no convolutions"):
        SpectralRegulariser(nn.Linear(3, 3))


def test_power_iteration_follows_the_weights() -> None:
    module = nn.Conv2d(3, 8, 3)
    regulariser = SpectralRegulariser(module)
    nn.init.normal_(module.weight)
    for _ in range(10):
        norm = regulariser()
    torch.testing.assert_close(norm, torch.linalg.svdvals(module.weight.flatten(1))[0], rtol=1e-2, atol=0)


def test_spectral_norms_of_parametrised_weights() -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3))
    before = SpectralRegulariser(module)().detach()
    for layer in module:
        parametrize.register_parametrization(layer, "weight", Doubled())
    torch.testing.assert_close(SpectralRegulariser(module)().detach(), 2 * before, rtol=1e-2, atol=0)


def test_without_gradients_the_terms_of_training_are_left_out() -> None:
    vae, batch = small_vae(), pictures(3)

    def adversary(*_: object) -> Tensor:
        raise AssertionError("it weighs itself by gradients")

    objective = VAEObjective(
        vae, predict=read, nll=laplace_nll, kl_weight=lambda step: 0.1, adversarial=adversary,
        spectral_weight=lambda step: 1e-3,
    )  # fmt: skip
    before = {name: value.clone() for name, value in objective.state_dict().items()}
    with torch.no_grad():
        out = objective(batch, step=5, rng=Draws(3))
    assert set(out) == {"loss", "aux", "nll", "kl"}
    torch.testing.assert_close(out["loss"], out["nll"] + 0.1 * out["kl"])
    assert all(torch.equal(value, before[name]) for name, value in objective.state_dict().items())
