"""How good a trained image model is: reconstruction at every size, and Frechet distances of what it generates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from jaxtyping import UInt8
from torch import Tensor

from ddmi_fields import ImplicitFunction
from ddmi_modalities.image.features import FeatureNetwork, extract
from ddmi_modalities.image.frechet import frechet_distance
from ddmi_modalities.image.items import ImageItem
from ddmi_modalities.image.metrics import SSIM_WINDOW, bicubic, psnr, ssim
from ddmi_modalities.image.modality import ImageModality
from ddmi_modalities.image.view import ImageView
from ddmi_modalities.modality import FunctionSource

RATIOS = (0.5, 1, 2, 4, 8)
"""Sizes at which reconstructions are compared, as multiples of what the encoder sees."""
CHUNK = 50


def spread(length: int, count: int) -> list[int]:
    """`count` indices spread evenly over `length` items: the same for every model."""
    count = min(count, length)
    return [i * length // count for i in range(count)]


def evaluate_images(
    modality: ImageModality,
    model: FunctionSource,
    network: FeatureNetwork,
    *,
    count: int = 500,
    pairs: int = 100,
    seed: int = 0,
    note: Callable[[str], None] = lambda _: None,
) -> dict[str, float]:
    """PSNR in dB and SSIM of `pairs` held-out images at several sizes, and Frechet distances of `count` images a side.

    `psnr_bicubic/S` enlarges the model's own reconstruction at the encoder's size; `psnr_bicubic_true/S` enlarges the
    true image.  All Frechet distances are to the same held-out images, at the encoder's size: of training images
    (`fd/real`), of the held-out images' reconstructions, of samples, and of decoded draws from the prior.
    """
    held_out, training = modality.dataset("test"), modality.dataset("train")
    result = reconstruction_quality(modality, model, [held_out[i] for i in spread(len(held_out), pairs)], note)
    count = min(count, len(held_out), len(training))
    real = [held_out[i] for i in spread(len(held_out), count)]
    view = ImageView(resolution=modality.size)
    result |= {"count/pairs": min(pairs, len(held_out)), "count/frechet": count, "size/frechet": modality.size}

    def functions(make: Callable[[int, int], ImplicitFunction]) -> Iterator[UInt8[Tensor, "_ 3 _ _"]]:
        for start in range(0, count, CHUNK):
            yield modality.render(make(start, min(CHUNK, count - start)), view).images

    def images(items: Sequence[ImageItem]) -> Iterator[UInt8[Tensor, "_ 3 _ _"]]:
        for start in range(0, len(items), CHUNK):
            yield modality.truth(items[start : start + CHUNK], view).images

    sides: dict[str, Callable[[], Iterator[Tensor]]] = {
        "real": lambda: images([training[i] for i in spread(len(training), count)]),
        "reconstructions": lambda: functions(lambda s, n: model.reconstruct(modality.inputs(real[s : s + n]))),
    }
    if model.can_sample:
        sides["samples"] = lambda: functions(lambda s, n: model.sample(n, seed=seed, start=s))
        sides["prior"] = lambda: functions(lambda s, n: model.prior(n, seed=seed, start=s))
    note(f"features of {count} held-out images ({network.name})")
    reference = extract(network, images(real))
    for name, side in sides.items():
        note(f"features of {count} images: {name}")
        result[f"fd/{name}"] = frechet_distance(extract(network, side()), reference)
    return result


@torch.no_grad()
def reconstruction_quality(
    modality: ImageModality,
    model: FunctionSource,
    items: Sequence[ImageItem],
    note: Callable[[str], None] = lambda _: None,
) -> dict[str, float]:
    """PSNR and SSIM of reconstructions at several multiples of the encoder's size, with bicubic enlargements beside."""
    native = ImageView(resolution=modality.size)
    true_native = modality.truth(items, native).images
    function = model.reconstruct(modality.inputs(items))
    made_native = modality.render(function, native).images
    result: dict[str, float] = {}
    for ratio in RATIOS:
        size = int(ratio * modality.size)
        note(f"reconstructions of {len(items)} held-out images at {size} x {size}")
        view = ImageView(resolution=size)
        ways: dict[str, list[Tensor]] = {"": []}
        for start in range(0, len(items), CHUNK):
            part = slice(start, start + CHUNK)
            true = modality.truth(items[part], view).images
            made = modality.render(function[part], view).images
            ways[""].append(_pairwise(made, true))
            if ratio > 1:
                for way, source in (("_bicubic", made_native), ("_bicubic_true", true_native)):
                    enlarged = bicubic(source[part], (size, size))
                    ways.setdefault(way, []).append(_pairwise(enlarged, true))
        for way, values in ways.items():
            for name, value in zip(("psnr", "ssim"), torch.cat(values, dim=1).mean(1).tolist(), strict=False):
                result[f"{name}{way}/{size}"] = value
    return result


def _pairwise(made: Tensor, true: Tensor) -> Tensor:
    """PSNR and, where the images hold its window, SSIM: (metric, image)."""
    large = min(true.shape[-2:]) >= SSIM_WINDOW
    return torch.stack([psnr(made, true), ssim(made, true)] if large else [psnr(made, true)])
