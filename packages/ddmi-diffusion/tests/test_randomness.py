from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ddmi_diffusion.randomness import StepRandom, seeded_normal


def test_a_split_batch_draws_what_the_whole_batch_draws() -> None:
    whole = StepRandom(7, 3, range(6))
    parts = [StepRandom(7, 3, range(2)), StepRandom(7, 3, range(2, 6))]
    draws: list[Callable[[StepRandom], Tensor]] = [
        lambda r: r.normal(2, 3),
        lambda r: r.uniform(5),
        lambda r: r.integers(9, 4),
        lambda r: r.normal(),
        lambda r: r.spread(),
    ]
    for draw in draws:
        assert torch.equal(draw(whole), torch.cat([draw(part) for part in parts]))


def test_dtypes_ranges_and_shapes() -> None:
    rng = StepRandom(0, 0, range(50))
    normal, uniform, whole = rng.normal(40), rng.uniform(40), rng.integers(3, 40)
    assert normal.shape == uniform.shape == whole.shape == (50, 40)
    assert (normal.dtype, uniform.dtype, whole.dtype) == (torch.float32, torch.float32, torch.int64)
    assert abs(normal.mean()) < 0.08
    assert abs(normal.std() - 1) < 0.06
    assert 0 <= uniform.min() < uniform.max() < 1
    assert set(whole.flatten().tolist()) == {0, 1, 2}
    assert StepRandom(0, 0, []).normal(2).shape == (0, 2)


@pytest.mark.parametrize("count", [1, 2, 5, 32, 127])
def test_spread_values_are_even_and_not_always_the_same(count: int) -> None:
    rng = StepRandom(0, 3, range(count))
    first, second = rng.spread(), rng.spread()
    assert first.dtype == torch.float32
    assert not torch.equal(first, second)
    values = torch.cat([first.sort().values, first.min()[None] + 1])
    assert 0 <= first.min() < first.max() + 1e-9
    assert first.max() < 1
    assert values.diff().max() < 2 / count + 1e-6  # chance alone: about log(count) / count
    starts = torch.stack([StepRandom(0, step, [0]).spread() for step in range(400)])
    assert torch.histc(starts, 4, 0, 1).min() > 70


def test_streams_continue_and_differ() -> None:
    rng = StepRandom(1, 1, [0, 1])
    first = rng.normal(8)
    others = [rng.normal(8), *(StepRandom(*k, [0, 1]).normal(8) for k in ((2, 1), (1, 2)))]
    others.append(StepRandom(1, 1, [0, 1], stream=1).normal(8))
    rows = torch.cat([first, *others])
    assert len({tuple(row.tolist()) for row in rows}) == 10
    again = StepRandom(1, 1, [0, 1])
    assert torch.equal(torch.randn(8, generator=again.item(1)), first[1])


def test_shared_choices_agree_over_positions_and_follow_the_weights() -> None:
    choices = []
    for step in range(400):
        pair = [StepRandom(0, step, positions).shared_choice([1.0, 0.0, 3.0]) for positions in ([0, 1], [5])]
        assert pair[0] == pair[1]
        choices.append(pair[0])
    assert set(choices) == {0, 2}
    assert 0.68 < choices.count(2) / 400 < 0.82


@pytest.mark.parametrize("weights", [[], [0.0, 0.0], [1.0, -1.0], [float("nan")], [float("inf")]])
def test_bad_weights_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="not all 0"):
        StepRandom(0, 0, [0]).shared_choice(weights)


def test_sampling_noise_is_a_function_of_the_index() -> None:
    whole = seeded_normal(5, range(6), 3, 2)
    assert torch.equal(seeded_normal(5, [4, 1], 3, 2), whole[[4, 1]])
    assert not torch.equal(seeded_normal(6, range(6), 3, 2), whole)


def test_no_two_of_many_samples_share_their_noise() -> None:
    assert len(set(map(tuple, seeded_normal(0, range(20_000), 2).tolist()))) == 20_000


@pytest.mark.parametrize(("seed", "step", "position"), [(-1, 0, 0), (0, -1, 0), (0, 0, -1)])
def test_negative_numbers_are_refused(seed: int, step: int, position: int) -> None:
    with pytest.raises(ValueError, match="must be >= 0"):
        StepRandom(seed, step, [position])
    with pytest.raises(ValueError, match="must be >= 0"):
        seeded_normal(0, [-1], 2)
    with pytest.raises(ValueError, match="at least 1"):
        StepRandom(0, 0, [0]).integers(0)
