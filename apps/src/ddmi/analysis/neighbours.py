"""Generated functions beside the training items that look most like them: a guard against copies."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int64
from PIL import Image
from torch import Tensor

from ddmi.analysis.pictures import pictures_of
from ddmi_fields import ImplicitFunction
from ddmi_modalities.datasets.splits import evenly_spaced
from ddmi_modalities.files.pixels import to_tensor
from ddmi_modalities.metrics.features import FeatureNetwork, extract
from ddmi_modalities.modality import Modality
from ddmi_modalities.plain_exploration import picture_of
from ddmi_modalities.progress import progress

logger = logging.getLogger("ddmi")


def nearest(
    made: Float[Tensor, "n feature"], true: Float[Tensor, "m feature"], count: int
) -> tuple[Float[Tensor, "n count"], Int64[Tensor, "n count"]]:
    """Cosine distances (0: the same direction, 2: opposite) and positions of the nearest `true` of every `made`."""
    if not 1 <= count <= len(true):
        raise ValueError(f"nearest: asked for {count} of {len(true)} items; give 1 to {len(true)}")
    a, b = (torch.nn.functional.normalize(features.double(), dim=1) for features in (made, true))
    distances, positions = (1 - a @ b.T).topk(count, largest=False)
    return distances.float(), positions


def features_of(pictures: Iterable[Image.Image], network: FeatureNetwork) -> Float[Tensor, "picture feature"]:
    """Of each picture; of a strip (views of a scene, frames of a clip) the mean over its squares."""

    def squares(picture: Image.Image) -> tuple[Tensor, ...]:
        return to_tensor(picture)[None].chunk(max(1, round(picture.width / picture.height)), dim=-1)

    return torch.stack([extract(network, squares(picture)).mean(0) for picture in pictures])


@dataclass(frozen=True)
class Neighbours:
    """A function's picture, and the nearest training items' with their cosine distances."""

    picture: Image.Image
    nearest: list[Image.Image]
    distances: list[float]


class KnownItems:
    """Training items by features of the pictures that the modality draws of them: shapes and scenes are compared by
    their looks from the cameras of the options."""

    def __init__(self, modality: Modality, options: Any, network: FeatureNetwork, *, training: int) -> None:
        """`training` items of the training data, spread evenly; none of them is looked at yet."""
        self.modality, self.options, self.network = modality, options, network
        self.data = modality.dataset("train")
        self.chosen = evenly_spaced(len(self.data), training)
        self.features: list[Float[Tensor, " feature"]] = []

    @property
    def complete(self) -> bool:
        """Whether all have been looked at."""
        return len(self.features) == len(self.chosen)

    def look(self, count: int) -> None:
        """At so many more."""
        start = len(self.features)
        self.features += features_of(map(self._picture, self.chosen[start : start + count]), self.network)

    def look_at_all(self) -> KnownItems:
        logger.info("features of %d of %d training items (%s)", len(self.chosen), len(self.data), self.network.name)
        for _ in progress(range(len(self.features), len(self.chosen)), what="features of training items", delay=3):
            self.look(1)
        return self

    def nearest(self, functions: ImplicitFunction, count: int = 4) -> list[Neighbours]:
        """Of every function the nearest items."""
        pictures = pictures_of(self.modality, functions, self.options)
        seen, known = features_of(pictures, self.network), torch.stack(self.features)
        distances, positions = nearest(seen, known, min(count, len(known)))
        return [
            Neighbours(picture, [self._picture(self.chosen[at]) for at in found], row)
            for picture, row, found in zip(pictures, distances.tolist(), positions.tolist(), strict=True)
        ]

    def _picture(self, index: int) -> Image.Image:
        return picture_of(self.modality.truth([self.data[index]], self.options))
