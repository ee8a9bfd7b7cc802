"""Discriminator, its objective, the adaptive weight and the augmentation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ddmi_modalities import Batch
from ddmi_modalities.grid_query import GridQuery
from ddmi_modalities.losses.diff_augment import DiffAugment
from ddmi_modalities.losses.discriminator import (
    AdversarialTerm,
    DiscriminatorObjective,
    PatchDiscriminator,
    adaptive_weight,
    hinge_discriminator,
    hinge_generator,
)


@pytest.fixture
def discriminator() -> PatchDiscriminator:
    torch.manual_seed(0)
    return PatchDiscriminator(width=8, layers=2)


def query(batch: int, size: int) -> GridQuery:
    return GridQuery(torch.zeros(batch, size * size, 2), torch.ones(batch), (size, size))


def values(images: Tensor) -> Tensor:
    return images.flatten(2).transpose(1, 2)


def test_patches(discriminator: PatchDiscriminator) -> None:
    assert discriminator(torch.zeros(2, 3, 64, 64)).shape == (2, 1, 14, 14)
    assert discriminator(torch.zeros(1, 3, 16, 24)).shape[0] == 1
    with pytest.raises(ValueError, match="it needs 16, or fewer layers"):
        discriminator(torch.zeros(1, 3, 8, 8))
    with pytest.raises(ValueError, match="multiple of 8"):
        PatchDiscriminator(width=9)


def test_hinge_losses() -> None:
    assert hinge_discriminator(torch.tensor([2.0, 0]), torch.tensor([-3.0, 1])).item() == (0.5 + 1) / 2
    assert hinge_generator(torch.tensor([1.0, 3])).item() == -2


def test_adaptive_weight_balances_the_gradients() -> None:
    layer = nn.Parameter(torch.tensor([1.0, 2.0]))
    nll, adversarial = (layer * torch.tensor([3.0, 4.0])).sum(), (layer * torch.tensor([0.0, 0.5])).sum()
    weight = adaptive_weight(nll, adversarial, layer)
    assert weight.item() == pytest.approx(10, rel=1e-4)
    assert not weight.requires_grad
    assert adaptive_weight(nll, adversarial * 1e-9, layer).item() == 1e4


def test_generator_side(discriminator: PatchDiscriminator, randomness: Callable[..., Any]) -> None:
    layer = nn.Conv2d(3, 3, 1)
    images = layer(torch.randn(2, 3, 32, 32))
    nll = images.square().mean()
    adversary = AdversarialTerm(discriminator, weight=0.5, start=10)
    assert adversary(values(images), query(2, 32), nll, layer.weight, 9, randomness(2)).item() == 0
    term = adversary(values(images), query(2, 32), nll, layer.weight, 10, randomness(2))
    pushed = torch.autograd.grad(term, layer.weight, retain_graph=True)[0].norm()
    pulled = torch.autograd.grad(nll, layer.weight, retain_graph=True)[0].norm()
    assert pushed.item() == pytest.approx(0.5 * pulled.item(), rel=1e-3)
    term.backward()
    assert all(weight.grad is None for weight in discriminator.parameters())
    augmented = AdversarialTerm(discriminator, augment=DiffAugment())
    images = layer(torch.randn(2, 3, 32, 32))
    augmented(values(images), query(2, 32), images.square().mean(), layer.weight, 0, randomness(2)).backward()


def test_discriminator_learns_to_tell(discriminator: PatchDiscriminator, randomness: Callable[..., Any]) -> None:
    objective = DiscriminatorObjective(discriminator, start=3, augment=DiffAugment(cutout=0.25))
    optimiser = torch.optim.Adam(objective.parameters(), 2e-3)
    made = torch.randn(4, 3, 24, 24) * 0.5
    real = torch.nn.functional.interpolate(made[..., :4, :4], (24, 24), mode="bilinear")  # smooth, not noisy
    batch = {"batch": Batch((real,), query(4, 24), values(real)), "aux": {"prediction": values(made)}}
    early = objective(batch, step=2, rng=randomness(4))
    early["loss"].backward()
    assert early["loss"].item() == 0
    assert all(weight.grad is not None and not weight.grad.any() for weight in objective.parameters())
    first = objective(batch, step=3, rng=randomness(4, 3))["loss"].item()
    for step in range(3, 23):
        optimiser.zero_grad()
        result = objective(batch, step=step, rng=randomness(4, step))
        result["loss"].backward()
        optimiser.step()
    assert result["loss"].item() < 0.7 * first
    assert result["logits_real"] > result["logits_made"]


def test_augmentation_is_off_when_switched_off(randomness: Callable[..., Any]) -> None:
    images = torch.rand(3, 3, 16, 20)
    off = DiffAugment(colour=False, translation=0.0, cutout=0.0)
    assert torch.equal(off(images, randomness(3)), images)


def test_translation_moves_whole_pixels(randomness: Callable[..., Any]) -> None:
    images = torch.rand(4, 3, 16, 24) + 1
    moved = DiffAugment(colour=False, translation=0.25, cutout=0.0)(images, randomness(4))
    shifts = set()
    for before, after in zip(images, moved, strict=True):
        found = [
            (dy, dx)
            for dy in range(-4, 5)
            for dx in range(-6, 7)
            if torch.allclose(
                after[:, max(dy, 0) : 16 + min(dy, 0), max(dx, 0) : 24 + min(dx, 0)],
                before[:, max(-dy, 0) : 16 + min(-dy, 0), max(-dx, 0) : 24 + min(-dx, 0)],
            )
        ]
        assert len(found) == 1
        shifts.update(found)
        assert (after == 0).any() == (found[0] != (0, 0))
    assert len(shifts) > 1


def test_cutout_is_a_square_of_the_right_size(randomness: Callable[..., Any]) -> None:
    cut = DiffAugment(colour=False, translation=0.0, cutout=0.5)(torch.ones(64, 3, 16, 16), randomness(64))
    holes = (cut == 0).all(1).sum((1, 2))
    assert holes.max() == 64
    assert holes.min() >= 16
    assert set(cut.unique().tolist()) == {0, 1}


def test_colour_keeps_the_gradient_of_white_and_differs_per_image(randomness: Callable[..., Any]) -> None:
    images = torch.ones(4, 3, 16, 16, requires_grad=True)
    changed = DiffAugment(translation=0.0, cutout=0.0)(images, randomness(4))
    changed.sum().backward()
    assert images.grad is not None
    assert (images.grad.flatten(1).abs().sum(1) > 0).all()
    assert len({round(value, 4) for value in changed.mean((1, 2, 3)).tolist()}) == 4
    # one image alone comes out as it does within the batch
    alone = DiffAugment(translation=0.2)(images[2:3], randomness([2]))
    assert torch.allclose(alone, DiffAugment(translation=0.2)(images, randomness(4))[2:3], atol=1e-6)


@pytest.mark.parametrize("options", [{"translation": 1.0}, {"cutout": -0.1}])
def test_bad_augmentations(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="parts of the image's side"):
        DiffAugment(**options)  # type: ignore[arg-type]
