"""How good a trained image model is: reconstruction at every size, and Frechet distances of what it generates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from ddmi_modalities.image.evaluation_settings import ImageEvaluation
from ddmi_modalities.image.features import FeatureNetwork, extract
from ddmi_modalities.image.items import ImageItem
from ddmi_modalities.image.metrics import SSIM_WINDOW, bicubic, psnr, ssim
from ddmi_modalities.image.modality import ImageModality
from ddmi_modalities.image.set_distances import distances_to_held_out, spread
from ddmi_modalities.image.view import ImageView
from ddmi_modalities.modality import FunctionSource

CHUNK = 50


def evaluate_images(
    modality: ImageModality,
    model: FunctionSource,
    network: FeatureNetwork,
    settings: ImageEvaluation,
    *,
    seed: int = 0,
    note: Callable[[str], None] = lambda _: None,
) -> dict[str, float]:
    """PSNR in dB and SSIM of held-out images, and Frechet distances, at the sizes that the settings name.

    `psnr_bicubic/S` enlarges the model's own reconstruction at the encoder's size; `psnr_bicubic_true/S` enlarges the
    true image.  All Frechet distances are to the same held-out images, at the same size: of training images
    (`fd/real`), of the held-out images' reconstructions, of samples, and of decoded draws from the prior.
    """
    held_out = modality.dataset("test")
    compared = [held_out[i] for i in spread(len(held_out), settings.pairs)]
    result = reconstruction_quality(modality, model, compared, settings.ratios, note)
    result |= {"count/pairs": len(compared), "size/frechet": modality.size}
    for ratio in settings.frechet_ratios:
        view = ImageView(resolution=int(ratio * modality.size))
        distances = _distances(modality, model, network, view, settings.count, seed, note)
        suffix = "" if ratio == 1 else f"/{view.size[0]}"
        result |= {key if key.startswith("count") else key + suffix: value for key, value in distances.items()}
    return result


def _distances(
    modality: ImageModality,
    model: FunctionSource,
    network: FeatureNetwork,
    view: ImageView,
    count: int,
    seed: int,
    note: Callable[[str], None],
) -> dict[str, float]:
    """Frechet distances at one size."""
    return distances_to_held_out(
        model,
        modality.dataset("test"),
        modality.dataset("train"),
        count,
        inputs=modality.inputs,
        truth=lambda items: modality.truth(items, view).images,
        render=lambda functions: modality.render(functions, view).images,
        features=partial(extract, network),
        chunk=CHUNK,
        seed=seed,
        what=f"images of {view.size[0]} x {view.size[1]} ({network.name})",
        note=note,
    )


@torch.no_grad()
def reconstruction_quality(
    modality: ImageModality,
    model: FunctionSource,
    items: Sequence[ImageItem],
    ratios: Sequence[float],
    note: Callable[[str], None] = lambda _: None,
) -> dict[str, float]:
    """PSNR and SSIM of reconstructions at several multiples of the encoder's size, with bicubic enlargements beside."""
    native = ImageView(resolution=modality.size)
    true_native = modality.truth(items, native).images
    function = model.reconstruct(modality.inputs(items))
    made_native = modality.render(function, native).images
    result: dict[str, float] = {}
    for ratio in ratios:
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
