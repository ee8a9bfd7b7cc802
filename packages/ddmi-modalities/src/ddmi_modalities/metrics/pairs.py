"""How close images are to the true ones, pair by pair."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

SSIM_WINDOW = 11
"""Pixels a side of SSIM's Gaussian window of standard deviation 1.5."""


def psnr(
    preds: UInt8[Tensor, "batch 3 rows columns"], target: UInt8[Tensor, "batch 3 rows columns"]
) -> Float[Tensor, " batch"]:
    """Peak signal to noise ratio of each image in dB, over RGB in [0, 1]; infinite where the images are equal.

    Take the mean over images afterwards: a PSNR of the pooled error is another, smaller number.
    """
    _check_pairs("PSNR", preds, target)
    return torch.stack(
        [
            peak_signal_noise_ratio(a, b, data_range=1.0)
            for a, b in zip(preds.double() / 255, target.double() / 255, strict=True)
        ]
    ).float()


def ssim(
    preds: UInt8[Tensor, "batch 3 rows columns"], target: UInt8[Tensor, "batch 3 rows columns"]
) -> Float[Tensor, " batch"]:
    """Structural similarity of each image over RGB in [0, 1], at most 1 (Wang et al. 2004).

    The mean over channels and over the pixels whose Gaussian window of 11 lies inside of the image, as in the paper and
    in scikit-image.  torchmetrics' own mean takes in a border of reflected pixels and differs by a few hundredths on
    small images.
    """
    _check_pairs("SSIM", preds, target)
    if min(preds.shape[-2:]) < SSIM_WINDOW:
        raise ValueError(
            f"SSIM: images of {preds.shape[-2]} x {preds.shape[-1]} pixels are smaller than its window of "
            f"{SSIM_WINDOW}; compare larger ones"
        )
    _, similarity = structural_similarity_index_measure(
        preds.float() / 255, target.float() / 255, data_range=1.0, sigma=1.5, reduction="none", return_full_image=True
    )
    border = SSIM_WINDOW // 2
    return similarity[..., border:-border, border:-border].mean((1, 2, 3))


def bicubic(
    images: UInt8[Tensor, "batch 3 rows columns"], size: tuple[int, int]
) -> UInt8[Tensor, "batch 3 newrows newcolumns"]:
    """Bicubic resizing to (rows, columns), the usual rival of a function that is read out at that size.

    `torch.nn.functional.interpolate` with antialias: enlarging it is Keys' cubic (a = -0.5) as in Pillow and MATLAB,
    which published tables use; without antialias torch takes a = -0.75 and is softer in no useful way.
    """
    resized = F.interpolate(images.float(), size, mode="bicubic", align_corners=False, antialias=True)
    return resized.round().clamp(0, 255).to(torch.uint8)


def _check_pairs(metric: str, preds: Tensor, target: Tensor) -> None:
    if preds.shape != target.shape or len(preds) == 0:
        raise ValueError(
            f"{metric}: got images of shape {tuple(preds.shape)} and true ones of {tuple(target.shape)}; "
            "wanted pairs of one size, at least one"
        )
