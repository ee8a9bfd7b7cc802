"""What is compared with the held-out items, in which order, and by what."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ddmi_fields import BasisField, ImplicitFunction, PlaneLayout
from ddmi_modalities.metrics.set_distances import FeatureSets, distances_to_held_out

from ..nerf.render.test_volume import Ball


class Numbered:
    """Functions that carry a number: twice what is reconstructed; a hundred, or two, plus the sample's."""

    can_prompt = False

    def __init__(self, can_sample: bool) -> None:
        self.can_sample = can_sample

    def _functions(self, numbers: Tensor) -> ImplicitFunction:
        planes = [numbers[:, None, None, None].expand(-1, 1, 2, 2)] * 3
        return ImplicitFunction(BasisField(PlaneLayout.triplane(), [planes]), Ball(1.0))

    def reconstruct(self, inputs: tuple[Tensor, ...]) -> ImplicitFunction:
        return self._functions(2 * inputs[0])

    def sample(self, count: int, *, seed: int, start: int = 0, **_: object) -> ImplicitFunction:
        return self._functions(torch.arange(start, start + count) + 100.0 * seed)

    def prior(self, count: int, *, seed: int, start: int = 0) -> ImplicitFunction:
        return self._functions(torch.arange(start, start + count) + 200.0 * seed)


class Means:
    """The numbers themselves as features, remembered batch by batch."""

    name = "numbers"

    def __init__(self) -> None:
        self.seen: list[list[float]] = []

    def __call__(self, items: Tensor) -> Tensor:
        self.seen.append(items.tolist())
        return items[:, None].float()


def mean_gap(one: Tensor, other: Tensor) -> float:
    return (one.mean() - other.mean()).item()


@pytest.mark.parametrize("can_sample", [True, False])
def test_all_sides_are_of_equal_count_and_in_order(can_sample: bool, said: list[str]) -> None:
    network, starts = Means(), list[int]()

    def render(functions: ImplicitFunction, start: int) -> Tensor:
        starts.append(start)
        return functions.basis.fields[0][0][:, 0, 0, 0].to(torch.uint8)

    sets = FeatureSets(
        model=Numbered(can_sample),
        network=network,
        inputs=lambda items: (torch.tensor(items),),
        truth=lambda items: torch.tensor(items).to(torch.uint8),
        render=render,
        seed=1,
        chunk=2,
    )
    held_out, training = [float(i) for i in range(10)], [10.0 * i for i in range(5)]
    result = distances_to_held_out(sets, held_out, training, 7, what="numbers", distances={"gap": mean_gap})
    sides = {
        "real": ([[0, 10], [20, 30], [40]], 15.6),
        "reconstructions": ([[0, 6], [8, 14], [16]], 4.4),
        "samples": ([[100, 101], [102, 103], [104]], 97.6),
        "prior": ([[200, 201], [202, 203], [204]], 197.6),
    }
    wanted = {name: side for name, side in sides.items() if can_sample or name in ("real", "reconstructions")}
    assert network.seen == [[0, 3], [4, 7], [8]] + [batch for batches, _ in wanted.values() for batch in batches]
    assert starts == [0, 2, 4] * (len(wanted) - 1)
    gaps = {f"gap/{name}": pytest.approx(gap, rel=1e-6) for name, (_, gap) in wanted.items()}
    assert result == {"count/frechet": 5} | gaps
    few, *rest = said
    assert (
        few
        == "distances between sets of 5 numbers are mostly of their small number: compare them at equal numbers only"
    )
    assert rest == ["features of 5 held-out numbers (numbers)", *(f"features of 5 numbers: {name}" for name in wanted)]
