"""Prompts beside cached latents, and a conditioner that learns with the denoiser."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ddmi_diffusion import (
    Conditioner,
    Conditioning,
    DiffusionObjective,
    Guidance,
    LatentCache,
    LatentDiffusion,
    LatentSpace,
    NoiseConfig,
    PlaneUNet,
    PromptedLatents,
    StepRandom,
    UNetConfig,
    encode_prompts,
)

WORDS = {"": 0, "low": 1, "high": 2}


class Words(nn.Module):
    """A conditioner that knows three prompts: token number, then a token that does not count."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(3, 8)

    def tokenize(self, prompts: Sequence[str]) -> Tensor:
        return torch.tensor([[WORDS[prompt], 0] for prompt in prompts])

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        return self.embedding(tokens), torch.tensor([True, False]).expand(len(tokens), 2)


@pytest.fixture
def cache(tmp_path: Path) -> LatentCache:
    """Two kinds of latents, -2 and 2."""
    values = torch.tensor([-2.0, 2.0]).repeat(8)[:, None, None, None].expand(16, 2, 2, 2)
    moments = [((values,), (torch.full_like(values, 0.01),))]
    return LatentCache.build(tmp_path / "latents.npy", "key", 16, moments)


CAPTIONS = [("low",), ("high", "high")] * 8


def test_frozen_features_equal_those_encoded_now(cache: LatentCache) -> None:
    torch.manual_seed(0)
    words = Words()
    assert isinstance(words, Conditioner)
    data = PromptedLatents(cache, CAPTIONS, words, frozen=True)
    batch = data.collate([0, 1, 3], StepRandom(0, 0, range(3)))
    assert batch.prompts is None
    assert batch.cond is not None
    assert batch.cond.mask.tolist() == [[True]] * 3
    expected = encode_prompts(words, ["low", "high", "high"], "cpu").tokens[:, :1]
    torch.testing.assert_close(batch.cond.tokens, expected, atol=1e-3, rtol=1e-3)


def test_captions_are_drawn_by_position(cache: LatentCache) -> None:
    data = PromptedLatents(cache, [("low", "high", "")] * 16, Words(), frozen=False)
    tokens = torch.cat([_prompts(data, [0, 1, 2, 3], step) for step in range(20)])
    assert set(tokens.tolist()) == {0, 1, 2}
    whole = _prompts(data, [0, 1, 2, 3], 0)
    part = data.collate([2, 3], StepRandom(0, 0, [2, 3])).prompts
    assert part is not None
    assert torch.equal(whole[2:], part[:, 0])
    with pytest.raises(ValueError, match="3 lists of captions for 16 latents"):
        PromptedLatents(cache, [("low",)] * 3, Words(), frozen=False)


def _prompts(data: PromptedLatents, rows: list[int], step: int) -> Tensor:
    batch = data.collate(rows, StepRandom(0, step, range(len(rows))))
    assert batch.prompts is not None
    return batch.prompts[:, 0]


def test_items_without_captions_get_the_empty_prompt(cache: LatentCache) -> None:
    data = PromptedLatents(cache, [()] * 16, Words(), frozen=False)
    assert _prompts(data, [0, 1], 0).tolist() == [0, 0]


@pytest.mark.slow
def test_a_trained_conditioner_learns_what_the_words_mean(cache: LatentCache) -> None:
    torch.manual_seed(0)
    words = Words()
    data = PromptedLatents(cache, CAPTIONS, words, frozen=False)
    space = LatentSpace.fit(cache.moments())
    settings = dict(width=16, multipliers=(1,), blocks=1, attention_factors=(1,), head_channels=8, groups=4)
    denoiser = PlaneUNet(space.plane_shapes, config=UNetConfig(**settings), condition=8)  # type: ignore[arg-type]
    diffusion = LatentDiffusion(denoiser, NoiseConfig(prediction="v"), space.shape)
    objective = DiffusionObjective(diffusion, space, conditioner=words, dropout=0.2)
    optimizer = torch.optim.Adam(objective.parameters(), lr=3e-3)
    for step in range(250):
        batch = data.collate(list(range(16)), StepRandom(0, step, range(16)))
        loss = objective(batch, step=step, rng=StepRandom(0, step, range(16), stream=1))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert words.embedding.weight.grad is not None
    assert (words.embedding.weight.grad.abs().sum(1) > 0).all()  # the empty prompt, too, is trained
    prompts = ["low"] * 8 + ["high"] * 8
    with torch.no_grad():
        cond, null = encode_prompts(words, prompts, "cpu"), encode_prompts(words, [""], "cpu")
    for weight in (1.0, 2.0):
        made = diffusion.sample(16, num_steps=20, cond=cond, guidance=Guidance(scale=weight, null=null))
        signs = made.mean((1, 2, 3)).sign().tolist()
        assert signs == [-1.0] * 8 + [1.0] * 8
    unguided = diffusion.sample(16, num_steps=20, cond=null).mean((1, 2, 3)).sign()
    assert 0 < (unguided > 0).sum() < 16


class Letters(nn.Module):
    """A conditioner without parameters."""

    def tokenize(self, prompts: Sequence[str]) -> Tensor:
        return torch.tensor([[WORDS[prompt]] for prompt in prompts])

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        return nn.functional.one_hot(tokens, 3).float(), torch.ones_like(tokens, dtype=torch.bool)


def test_a_conditioner_without_parameters_encodes(cache: LatentCache) -> None:
    batch = PromptedLatents(cache, CAPTIONS, Letters(), frozen=True).collate([0, 1], StepRandom(0, 0, range(2)))
    assert batch.cond is not None
    assert batch.cond.tokens[:, 0].tolist() == [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]


def test_prompts_are_dropped_for_a_null_condition_only(cache: LatentCache) -> None:
    space = LatentSpace.fit(cache.moments())
    diffusion = LatentDiffusion(nn.Identity(), NoiseConfig(), space.shape)
    with pytest.raises(
        ValueError, match=r"dropout 0.1 of the prompts needs the null condition .*; pass null=encode_pro"
    ):
        DiffusionObjective(diffusion, space, dropout=0.1)
    for dropout in (-0.1, 1.5, float("nan")):
        with pytest.raises(ValueError, match="dropout is a fraction of the items, 0 to 1, got"):
            DiffusionObjective(diffusion, space, null=encode_prompts(Words(), [""], "cpu"), dropout=dropout)


@pytest.mark.parametrize("dropout", [0.0, 0.4, 1.0])
def test_a_fraction_of_the_prompts_gives_way_to_the_null_condition(cache: LatentCache, dropout: float) -> None:
    seen: list[Tensor] = []

    class Watch(nn.Module):
        def forward(self, z: Tensor, t: Tensor, cond: Conditioning) -> Tensor:
            seen.append(cond.tokens[:, 0].argmax(1))
            return z

    space = LatentSpace.fit(cache.moments())
    null = encode_prompts(Letters(), [""], "cpu")
    objective = DiffusionObjective(
        LatentDiffusion(Watch(), NoiseConfig(), space.shape), space, null=null, dropout=dropout
    )
    data = PromptedLatents(cache, CAPTIONS, Letters(), frozen=True)
    for step in range(40):
        batch = data.collate(list(range(16)), StepRandom(0, step, range(16)))
        objective(batch, step=step, rng=StepRandom(0, step, range(16), stream=1))
    words = torch.cat(seen)
    assert float((words == 0).float().mean()) == pytest.approx(dropout, abs=0.06)
    assert words[words > 0].tolist() == torch.tensor([1, 2] * 320)[words > 0].tolist()


def test_a_conditioner_must_tokenize(cache: LatentCache) -> None:
    space = LatentSpace.fit(cache.moments())
    diffusion = LatentDiffusion(nn.Identity(), NoiseConfig(), space.shape)
    with pytest.raises(ValueError, match="Linear has no tokenize"):
        DiffusionObjective(diffusion, space, conditioner=nn.Linear(1, 1))
