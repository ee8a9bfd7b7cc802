"""How good a trained image model is: reconstruction at every size, and Frechet distances of what it generates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ddmi_fields import ImplicitFunction
from ddmi_modalities.datasets.splits import evenly_spaced
from ddmi_modalities.image.classes import class_accuracy
from ddmi_modalities.image.items import ImageItem
from ddmi_modalities.image.modality import ImageModality
from ddmi_modalities.image.view import ImageRenderOptions
from ddmi_modalities.metrics.features import EfficientNetLiteFeatures, FeatureNetwork, feature_network
from ddmi_modalities.metrics.pairs import SSIM_WINDOW, bicubic, psnr, ssim
from ddmi_modalities.metrics.set_distances import FeatureSets, distances_to_held_out
from ddmi_modalities.metrics.sets import frechet_distance
from ddmi_modalities.modality import FunctionSource
from ddmi_modalities.progress import progress
from ddmi_modalities.spec import Measured

CHUNK = 50
"""Images at once."""
PIXELS = 2**21
"""Of images that are compared at once: SSIM takes about 450 bytes for each."""


@dataclass(frozen=True, kw_only=True)
class ImageEvaluation:
    """How much of a model is measured, and with what."""

    count: int = 500
    """Images a side of Frechet distances."""
    pairs: int = 100
    """Held-out images of PSNR and SSIM."""
    ratios: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0, 8.0)
    """Sizes at which reconstructions are compared, as multiples of what the encoder sees."""
    frechet_ratios: tuple[float, ...] = (1.0,)
    """Sizes at which Frechet distances are measured; `fd/samples` at 1, `fd/samples/SIZE` at others."""
    weights: Path | None = None
    """Weights of Inception, for the usual FID; without them, features of EfficientNet-Lite0, which a package ships."""
    second_judge: bool = False
    """Also by EfficientNet-Lite2, `fd2/samples`: what is tuned to one network's eyes need not please another's."""

    guidance_scales: tuple[float, ...] = (0.0, 1.0, 2.0, 4.0)
    """Scales of classifier-free guidance to compare, of a model that generates from the names of classes."""

    def __post_init__(self) -> None:
        if min(self.ratios + self.frechet_ratios, default=1.0) <= 0:
            raise ValueError(
                f"ImageEvaluation: sizes are positive multiples, got ratios {self.ratios} and frechet_ratios "
                f"{self.frechet_ratios}"
            )


def evaluate_images(
    modality: ImageModality,
    model: FunctionSource,
    settings: ImageEvaluation,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Measured:
    """PSNR in dB and SSIM of held-out images, and Frechet distances, at the sizes that the settings name.

    `psnr_bicubic/S` enlarges the model's own reconstruction at the encoder's size; `psnr_bicubic_true/S` enlarges the
    true image.  All Frechet distances are to the same held-out images, at the same size: of training images
    (`fd/real`), of the held-out images' reconstructions, of samples, and of decoded draws from the prior.  See
    `class_accuracy` for models that take prompts.
    """
    judges = {"fd": feature_network(settings.weights, device)}
    if settings.second_judge:
        judges["fd2"] = EfficientNetLiteFeatures(device, 2)
    held_out = modality.dataset("test")
    compared = [held_out[i] for i in evenly_spaced(len(held_out), settings.pairs)]
    result = reconstruction_quality(modality, model, compared, settings.ratios)
    result |= {"count/pairs": len(compared), "size/frechet": modality.size}
    for ratio in settings.frechet_ratios:
        options = ImageRenderOptions(resolution=int(ratio * modality.size), tolerance=None)
        what = f"images of {options.size[0]} x {options.size[1]}"
        suffix = "" if ratio == 1 else f"/{options.size[0]}"
        for key, network in judges.items():
            sets = feature_sets(modality, model, network, options, seed)
            distances = distances_to_held_out(
                sets, held_out, modality.dataset("train"), settings.count, what=what, distances={key: frechet_distance}
            )
            result |= {name if name.startswith("count") else name + suffix: one for name, one in distances.items()}
    if model.can_prompt:
        result |= class_accuracy(modality, model, count=settings.count, scales=settings.guidance_scales, seed=seed)
    return Measured(metrics=result)


def feature_sets(
    modality: ImageModality, model: FunctionSource, network: FeatureNetwork, options: ImageRenderOptions, seed: int
) -> FeatureSets[ImageItem]:
    """What a network sees of images at one size."""
    return FeatureSets(
        model=model,
        network=network,
        inputs=modality.inputs,
        truth=lambda items: modality.truth(items, options).images,
        render=lambda functions, _: modality.render(functions, options).images,
        seed=seed,
        chunk=CHUNK,
    )


@torch.no_grad()
def reconstruction_quality(
    modality: ImageModality, model: FunctionSource, items: Sequence[ImageItem], ratios: Sequence[float]
) -> dict[str, float]:
    """PSNR and SSIM of reconstructions at several multiples of the encoder's size, with bicubic enlargements beside."""
    sizes = [int(ratio * modality.size) for ratio in ratios]
    at_once = max(1, min(CHUNK, PIXELS // max([modality.size, *sizes]) ** 2))
    parts = [items[start : start + at_once] for start in range(0, len(items), at_once)]
    rows: dict[str, list[Tensor]] = {}
    for part in progress(parts, what=f"reconstructions of {len(items)} held-out images"):
        function = model.reconstruct(modality.inputs(part))
        true_native, made_native = _true_and_made(modality, part, function, modality.size)
        for ratio, size in zip(ratios, sizes, strict=True):
            true, made = _true_and_made(modality, part, function, size)
            ways = {"": made}
            if ratio > 1:
                ways |= {"_bicubic": bicubic(made_native, (size, size))}
                ways |= {"_bicubic_true": bicubic(true_native, (size, size))}
            for way, images in ways.items():
                for name, values in zip(("psnr", "ssim"), _pairwise(images, true), strict=False):
                    rows.setdefault(f"{name}{way}/{size}", []).append(values)
    return {name: torch.cat(values).mean().item() for name, values in rows.items()}


def _true_and_made(
    modality: ImageModality, items: Sequence[ImageItem], functions: ImplicitFunction, size: int
) -> tuple[Tensor, Tensor]:
    options = ImageRenderOptions(resolution=size, tolerance=None)
    return modality.truth(items, options).images, modality.render(functions, options).images


def _pairwise(made: Tensor, true: Tensor) -> Tensor:
    """PSNR and, where the images hold its window, SSIM: (metric, image)."""
    large = min(true.shape[-2:]) >= SSIM_WINDOW
    return torch.stack([psnr(made, true), ssim(made, true)] if large else [psnr(made, true)])
