"""Features of real images, computed once for each data set, network and way of drawing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor

from ddmi_modalities.datasets.array_cache import cached_array
from ddmi_modalities.metrics.features import FeatureNetwork, extract

Batches = Callable[[], Iterator[UInt8[Tensor, "_ 3 _ _"]]]


def digest(batches: Batches, protocol: str) -> str:
    """A hash of every pixel that a network sees, and of what the network is.

    Reading all images twice costs little beside their features, and no list of names and dates could notice all that
    changes pixels: another file, another filter, another version of the rasteriser.
    """
    key = hashlib.sha256(protocol.encode())
    for batch in batches():
        key.update(repr(tuple(batch.shape)).encode())
        key.update(batch.contiguous().numpy().data)
    return key.hexdigest()


def cached_features(
    batches: Batches, count: int, network: FeatureNetwork, protocol: str, folder: Path
) -> tuple[Float[Tensor, "count feature"], str]:
    """The features of `count` images, and the digest under which they lie in `folder` as an array.

    Args:
        batches: starts over at each call, and gives the same images.
        protocol: what else the features depend on: the network's name and the hash of its weights.
    """
    key = digest(batches, protocol)
    width = network(next(batches())[:1]).shape[1]

    def fill(target: NDArray[np.float32], report: Callable[[int], object]) -> None:
        done = 0
        for batch in batches():
            target[done : done + len(batch)] = extract(network, [batch]).numpy()
            done += len(batch)
            report(len(batch))

    array = cached_array(
        folder / f"{key[:32]}.npy", (count, width), np.float32, fill, f"features of {count} real images"
    )
    return torch.from_numpy(np.array(array)), key
