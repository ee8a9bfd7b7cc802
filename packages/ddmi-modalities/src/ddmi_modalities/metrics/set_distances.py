"""Distances of what a model makes to data, of any kind of signal that a network has features of."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Generic, TypeVar

from jaxtyping import Float, UInt8
from torch import Tensor

from ddmi_fields import ImplicitFunction
from ddmi_modalities.datasets.splits import evenly_spaced
from ddmi_modalities.metrics.features import FeatureNetwork, extract
from ddmi_modalities.metrics.sets import frechet_distance
from ddmi_modalities.modality import DataSet, FunctionSource
from ddmi_modalities.progress import progress

logger = logging.getLogger("ddmi")

Item = TypeVar("Item")
Features = Float[Tensor, "count feature"]
Seen = UInt8[Tensor, "batch ..."]
Distance = Callable[[Tensor, Tensor], float]

FRECHET: Mapping[str, Distance] = MappingProxyType({"fd": frechet_distance})

FEWEST = 2
"""Items a side that distances between sets need."""
MANY = 100
"""Below, they say more of the number of items than of the items."""


@dataclass(frozen=True, kw_only=True)
class FeatureSets(Generic[Item]):
    """A network's features of data, and of what a model makes."""

    model: FunctionSource
    network: FeatureNetwork
    inputs: Callable[[Sequence[Item]], tuple[Tensor, ...]]
    """What the encoder reads of some items."""
    truth: Callable[[Sequence[Item]], Seen]
    """What the network sees of some items."""
    render: Callable[[ImplicitFunction, int], Seen]
    """What it sees of functions, the first of which has this number."""
    seed: int
    """Of samples and prior."""
    chunk: int
    """Items, and functions, at once."""

    def of_items(self, items: Sequence[Item]) -> Features:
        return extract(self.network, (self.truth(items[part]) for part in self._parts(len(items))))

    def of_reconstructions(self, items: Sequence[Item]) -> Features:
        return self._of_functions(len(items), lambda part: self.model.reconstruct(self.inputs(items[part])))

    def of_samples(self, count: int) -> Features:
        return self._of_functions(
            count, lambda part: self.model.sample(part.stop - part.start, seed=self.seed, start=part.start)
        )

    def of_prior(self, count: int) -> Features:
        return self._of_functions(
            count, lambda part: self.model.prior(part.stop - part.start, seed=self.seed, start=part.start)
        )

    def _of_functions(self, count: int, make: Callable[[slice], ImplicitFunction]) -> Features:
        return extract(self.network, (self.render(make(part), part.start) for part in self._parts(count)))

    def _parts(self, count: int) -> Iterable[slice]:
        parts = [slice(start, min(start + self.chunk, count)) for start in range(0, count, self.chunk)]
        return progress(parts, what=f"features of {count}", delay=3)


def distances_to_held_out(
    sets: FeatureSets[Item],
    held_out: DataSet[Item],
    training: DataSet[Item],
    count: int,
    *,
    what: str,
    distances: Mapping[str, Distance] = FRECHET,
) -> dict[str, float]:
    """`fd/real` of training items, `fd/reconstructions` of held-out ones, `fd/samples` and `fd/prior` of the model.

    All are to the same held-out items and of equal counts.  Without a second stage there are no samples and no prior;
    where there are fewer items than a covariance needs, none of them, which is said.

    Args:
        count: items a side; at most those of the smaller split.
        what: the items in the plural, for the log.
        distances: by the first part of their keys.
    """
    count = min(count, len(held_out), len(training))
    if count < FEWEST:
        logger.warning(
            "distances between sets of %s are left out: they need %d a side, and there are %d", what, FEWEST, count
        )
        return {"count/frechet": float(count)}
    if count < MANY:
        logger.warning(
            "distances between sets of %d %s are mostly of their small number: compare them at equal numbers only",
            count,
            what,
        )
    real = [held_out[i] for i in evenly_spaced(len(held_out), count)]
    sides: dict[str, Callable[[], Features]] = {
        "real": lambda: sets.of_items([training[i] for i in evenly_spaced(len(training), count)]),
        "reconstructions": lambda: sets.of_reconstructions(real),
    }
    if sets.model.can_sample:
        sides |= {"samples": lambda: sets.of_samples(count), "prior": lambda: sets.of_prior(count)}
    logger.info("features of %d held-out %s (%s)", count, what, sets.network.name)
    reference = sets.of_items(real)
    result = {"count/frechet": float(count)}
    for name, side in sides.items():
        logger.info("features of %d %s: %s", count, what, name)
        seen = side()
        result |= {f"{key}/{name}": distance(seen, reference) for key, distance in distances.items()}
    return result
