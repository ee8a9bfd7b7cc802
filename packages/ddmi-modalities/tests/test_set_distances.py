"""What is compared with the held-out items, in which order, and by what."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import torch
from torch import Tensor

from ddmi_fields import BasisField, ImplicitFunction, PlaneLayout
from ddmi_modalities.image.set_distances import distances_to_held_out, spread

from .test_radiance_rendering import Ball


class Numbered:
    """Functions that carry a number: twice what is reconstructed; a hundred, or a thousand, plus the sample's."""

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
        return self._functions(torch.arange(start, start + count) + 1000.0 * seed)


@pytest.mark.parametrize("can_sample", [True, False])
def test_all_sides_are_of_equal_count_and_in_order(can_sample: bool) -> None:
    seen: list[list[list[float]]] = []

    def features(batches: Iterable[Tensor]) -> Tensor:
        kept = list(batches)
        seen.append([batch.tolist() for batch in kept])
        return torch.cat(kept)[:, None]

    def mean_gap(one: Tensor, other: Tensor) -> float:
        return (one.mean() - other.mean()).item()

    notes: list[str] = []
    result = distances_to_held_out(
        Numbered(can_sample),
        [float(i) for i in range(10)],
        [10.0 * i for i in range(5)],
        7,
        inputs=lambda items: (torch.tensor(items),),
        truth=lambda items: torch.tensor(items),
        render=lambda functions: functions.basis.fields[0][0][:, 0, 0, 0],
        features=features,
        chunk=2,
        seed=1,
        what="numbers",
        distances={"gap": mean_gap},
        note=notes.append,
    )
    sides = {
        "real": ([[0.0, 10.0], [20.0, 30.0], [40.0]], 16.0),
        "reconstructions": ([[0.0, 4.0], [8.0, 12.0], [16.0]], 4.0),
        "samples": ([[100.0, 101.0], [102.0, 103.0], [104.0]], 98.0),
        "prior": ([[1000.0, 1001.0], [1002.0, 1003.0], [1004.0]], 998.0),
    }
    wanted = {name: side for name, side in sides.items() if can_sample or name in ("real", "reconstructions")}
    assert seen == [[[0.0, 2.0], [4.0, 6.0], [8.0]], *(batches for batches, _ in wanted.values())]
    assert result == {"count/frechet": 5} | {f"gap/{name}": gap for name, (_, gap) in wanted.items()}
    assert notes == ["features of 5 held-out numbers", *(f"features of 5 numbers: {name}" for name in wanted)]


def test_indices_are_spread_evenly() -> None:
    assert spread(10, 4) == [0, 2, 5, 7]
    assert spread(3, 9) == [0, 1, 2]
