"""Frechet distances of what a model makes to held-out data, of any kind of signal that a network has features of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TypeVar

from torch import Tensor

from ddmi_fields import ImplicitFunction
from ddmi_modalities.image.frechet import frechet_distance
from ddmi_modalities.modality import DataSet, FunctionSource

Item = TypeVar("Item")
Distance = Callable[[Tensor, Tensor], float]
FRECHET: Mapping[str, Distance] = MappingProxyType({"fd": frechet_distance})


def spread(length: int, count: int) -> list[int]:
    """`count` indices spread evenly over `length` items: the same for every model."""
    count = min(count, length)
    return [i * length // count for i in range(count)]


def distances_to_held_out(
    model: FunctionSource,
    held_out: DataSet[Item],
    training: DataSet[Item],
    count: int,
    *,
    inputs: Callable[[Sequence[Item]], tuple[Tensor, ...]],
    truth: Callable[[Sequence[Item]], Tensor],
    render: Callable[[ImplicitFunction], Tensor],
    features: Callable[[Iterable[Tensor]], Tensor],
    chunk: int,
    seed: int,
    what: str,
    distances: Mapping[str, Distance] = FRECHET,
    note: Callable[[str], None] = lambda _: None,
) -> dict[str, float]:
    """`fd/real` of training items, `fd/reconstructions` of held-out ones, `fd/samples` and `fd/prior` of the model.

    All are to the same held-out items and of equal counts.  Without a second stage there are no samples and no prior.

    Args:
        count: items a side; at most those of the smaller split.
        inputs: what the encoder reads of some items.
        truth, render: what `features` sees of items and of functions: (batch, ...).
        features: one row for each of what a sequence of such batches holds.
        chunk: items, and functions, at once.
        seed: of samples and prior.
        what: the items in the plural, for `note`.
        distances: by the first part of their keys.
    """
    count = min(count, len(held_out), len(training))
    real = [held_out[i] for i in spread(len(held_out), count)]

    def items(chosen: Sequence[Item]) -> Iterator[Tensor]:
        for start in range(0, count, chunk):
            yield truth(chosen[start : start + chunk])

    def functions(make: Callable[[int, int], ImplicitFunction]) -> Iterator[Tensor]:
        for start in range(0, count, chunk):
            yield render(make(min(chunk, count - start), start))

    sides: dict[str, Callable[[], Iterator[Tensor]]] = {
        "real": lambda: items([training[i] for i in spread(len(training), count)]),
        "reconstructions": lambda: functions(lambda n, start: model.reconstruct(inputs(real[start : start + n]))),
    }
    if model.can_sample:
        sides["samples"] = lambda: functions(lambda n, start: model.sample(n, seed=seed, start=start))
        sides["prior"] = lambda: functions(lambda n, start: model.prior(n, seed=seed, start=start))
    note(f"features of {count} held-out {what}")
    reference = features(items(real))
    result = {"count/frechet": float(count)}
    for name, side in sides.items():
        note(f"features of {count} {what}: {name}")
        seen = features(side())
        result |= {f"{key}/{name}": distance(seen, reference) for key, distance in distances.items()}
    return result
