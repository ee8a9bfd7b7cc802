"""Generated functions beside the training items that look most like them: a guard against copies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int64
from PIL import Image
from torch import Tensor

from ddmi.analysis.tiles import captioned, picture_of, pictures_of
from ddmi_modalities.image.features import FeatureNetwork, extract
from ddmi_modalities.image.set_distances import spread
from ddmi_modalities.pixels import to_tensor


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


def neighbour_rows(
    modality: Any,
    functions: Any,
    view: Any,
    network: FeatureNetwork,
    *,
    training: int,
    count: int = 4,
    note: Callable[[str], None] = lambda _: None,
) -> list[tuple[str, list[Image.Image]]]:
    """A row a function: its picture, then the nearest of `training` training items with their cosine distances.

    What is compared are features of the pictures that the modality draws of functions and of data, so shapes and scenes
    are compared by their looks from the view's cameras.
    """
    data = modality.dataset("train")
    chosen = spread(len(data), training)
    note(f"features of {len(chosen)} of {len(data)} training items ({network.name})")

    def truth(indices: Sequence[int]) -> Iterator[Image.Image]:
        return (picture_of(modality.truth([data[index]], view)) for index in indices)

    known = features_of(truth(chosen), network)
    pictures = pictures_of(modality, functions, view)
    seen = features_of(pictures, network)
    distances, positions = nearest(seen, known, min(count, len(chosen)))
    return [
        (f"sample {number}", [captioned(picture, ""), *map(captioned, truth([chosen[at] for at in found]), captions)])
        for number, (picture, row, found) in enumerate(
            zip(pictures, distances.tolist(), positions.tolist(), strict=True)
        )
        for captions in [[f"{distance:.3f}" for distance in row]]
    ]
