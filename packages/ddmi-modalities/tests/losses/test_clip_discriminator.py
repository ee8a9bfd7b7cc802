"""The image terms see frames, and a discriminator of clips sees motion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ddmi_modalities.grid_query import GridQuery
from ddmi_modalities.losses.clip_discriminator import ClipDiscriminator
from ddmi_modalities.losses.configs import ClipDiscriminatorConfig
from ddmi_modalities.losses.diff_augment import DiffAugment
from ddmi_modalities.losses.perceptual import PerceptualTerm
from ddmi_modalities.modality import Batch


class Squares(nn.Module):
    """Mean squared difference of each picture."""

    def forward(self, made: Tensor, true: Tensor) -> Tensor:
        assert made.shape[1:] == (3, 8, 8)
        return (made - true).square().mean((1, 2, 3))


def windows(batch: int, frames: int, side: int) -> GridQuery:
    return GridQuery(torch.zeros(batch, frames * side * side, 3), torch.ones(batch), (frames, side, side))


def test_a_perceptual_term_is_the_mean_over_the_frames_of_a_clip() -> None:
    torch.manual_seed(0)
    query = windows(2, 3, 8)
    made, true = torch.rand(2, 2, 192, 3)
    term = PerceptualTerm(Squares(), 0.5)(made, true, query)
    torch.testing.assert_close(term, 0.5 * (made - true).square().mean((1, 2)))
    with pytest.raises(ValueError, match="this run compares single points"):
        PerceptualTerm(Squares(), 0.5)(made, true, GridQuery(query.coords, query.condition))


def test_frames_of_a_clip_are_augmented_alike(randomness: Callable[..., Any]) -> None:
    frame = torch.rand(2, 3, 16, 16)
    frames = frame.repeat_interleave(4, 0)  # four equal frames each of two clips
    made = DiffAugment()(frames, randomness(2)).unflatten(0, (2, 4))
    assert torch.equal(made[:, :1].expand_as(made), made)
    assert not torch.equal(made[0, 0], made[1, 0])


def test_a_discriminator_of_clips_sees_the_order_of_frames() -> None:
    torch.manual_seed(0)
    network = ClipDiscriminator(8, width=8, layers=1)
    clips = torch.rand(2, 8, 3, 16, 16)
    logits = network(clips.flatten(0, 1))
    assert len(logits) == 2
    assert not torch.allclose(network(clips.flip(1).flatten(0, 1)), logits, atol=1e-3)
    torch.testing.assert_close(network(clips[1]), logits[1:])
    with pytest.raises(ValueError, match=r"wanted clips of 8 frames \(the modality's shown\) of at least 8 pixels"):
        network(torch.rand(7, 3, 16, 16))
    with pytest.raises(ValueError, match="clips of 4 frames need fewer layers, as these take 8 frames"):
        ClipDiscriminator(4, layers=1)


def test_clip_discriminator_learns_in_bfloat16_as_in_float32() -> None:
    """Inputs of its last layers are thinner than their kernel: see `_PaddedConv3d`."""
    torch.manual_seed(0)
    network, clips = ClipDiscriminator(16, width=8, layers=2), torch.rand(32, 3, 32, 32) * 2 - 1
    gradients = []
    for half in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = network(clips).float().square().mean()
        gradients.append(torch.autograd.grad(loss, list(network.parameters())))
    for exact, rounded in zip(*gradients, strict=True):
        assert (rounded - exact).norm() < 0.2 * exact.norm() + 1e-6  # rounding gives 0.06


def test_both_discriminators_learn_and_pull(randomness: Callable[..., Any]) -> None:
    torch.manual_seed(0)
    config = ClipDiscriminatorConfig(width=8, layers=1, clip_layers=1, frames=8, start=1)
    adversary, objective = config.build()
    query = windows(2, 8, 16)
    real = torch.rand(2, 8 * 256, 3)
    head = nn.Linear(3, 3)
    made = head(torch.rand(2, 8 * 256, 3))
    nll = (made - real).square().mean()
    assert adversary(made, query, nll, head.weight, 0, randomness(2)) == 0
    term = adversary(made, query, nll, head.weight, 1, randomness(2))
    (pull,) = torch.autograd.grad(term, head.weight)
    assert pull.abs().sum() > 0
    batch = {"batch": Batch((real,), query, real), "aux": {"prediction": made.detach()}}
    result = objective(batch, step=1, rng=randomness(2))
    assert {"frames_logits_real", "clips_logits_made"} <= set(result)
    result["loss"].backward()
    kernels = [weight for weight in objective.parameters() if weight.ndim > 1]
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in kernels)
    assert objective(batch, step=0, rng=randomness(2))["loss"] == 0
