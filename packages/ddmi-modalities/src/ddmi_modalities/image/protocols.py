"""Named ways of measuring images, each as somebody's published numbers were measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ddmi_modalities.image.features import FeatureNetwork, InceptionFeatures
from ddmi_modalities.image.frechet import frechet_distance
from ddmi_modalities.image.lpips import SOURCES
from ddmi_modalities.image.precision_recall import precision_recall
from ddmi_modalities.image.pretrained_features import (
    PreparedInceptionFeatures,
    VGG16Features,
    bilinear_in_torch,
    clean,
)
from ddmi_modalities.splits import Split

Features = Float[Tensor, "_ feature"]
Network = Callable[[Path, torch.device | str], FeatureNetwork]
Statistic = Callable[[Features, Features, int], dict[str, float]]
"""Of features of made images, of real ones, and a seed."""


@dataclass(frozen=True, kw_only=True)
class ImageProtocol:
    """What is compared with what, as whom: a `SetProtocol` or a `PairProtocol`."""

    weights: str
    """Where a user gets the weights of the network."""
    citation: str
    """What the numbers may be compared with, in one line."""


@dataclass(frozen=True, kw_only=True)
class SetProtocol(ImageProtocol):
    """Two sets of images, by features of a network."""

    network: Network
    """From its weights and a device; it resizes images as its protocol says."""
    statistic: Statistic
    """What of the features."""
    made: Literal["samples", "reconstructions"] = "samples"
    """Which side the model makes."""
    count: int | None = 50_000
    """Made images; None: one for each real one."""
    real: Split = "train"
    """The other side: all images of this split."""
    window: int | None = None
    """Compare one window of so many pixels a side of each made image, at a random place, with as many of real ones;
    None: whole images."""


@dataclass(frozen=True, kw_only=True)
class PairProtocol(ImageProtocol):
    """Held-out images and their reconstructions, pair by pair: PSNR, SSIM and LPIPS, the mean of each."""

    network: Literal["vgg", "alex"] = "vgg"
    """The backbone of LPIPS."""


def _frechet(made: Features, real: Features, seed: int) -> dict[str, float]:
    return {"fid": frechet_distance(made, real)}


def _kernel(made: Features, real: Features, seed: int, subsets: int = 100, size: int = 1000) -> dict[str, float]:
    """Mean and standard deviation of the unbiased squared MMD of random subsets (Binkowski et al. 2018)."""
    from torchmetrics.image.kid import poly_mmd

    rng = torch.Generator().manual_seed(seed)
    size = min(size, len(made), len(real))

    def some(features: Features) -> Features:
        return features[torch.randperm(len(features), generator=rng)[:size]].double()

    values = torch.stack([poly_mmd(some(real), some(made)) for _ in range(subsets)])
    return {"kid": values.mean().item(), "kid_std": values.std(correction=0).item()}


def _precision_recall(made: Features, real: Features, seed: int) -> dict[str, float]:
    precision, recall = precision_recall(made, real, neighbours=3)
    return {"precision": precision, "recall": recall}


def _prepared(prepare: Callable[[Tensor], Tensor], weights: Path, device: torch.device | str) -> FeatureNetwork:
    return PreparedInceptionFeatures(weights, prepare, device)


INCEPTION, VGG = InceptionFeatures.source, VGG16Features.source

PROTOCOLS: Mapping[str, ImageProtocol] = MappingProxyType(
    {
        "fid-50k": SetProtocol(
            network=InceptionFeatures,
            weights=INCEPTION,
            statistic=_frechet,
            citation="FID of 50,000 samples and all training images, TensorFlow's resize: Heusel et al. 2017 as "
            "computed by torch-fidelity, ADM and StyleGAN2-ADA (fid50k_full without mirrored images)",
        ),
        "fid-10k": SetProtocol(
            network=partial(_prepared, bilinear_in_torch),
            weights=INCEPTION,
            statistic=_frechet,
            count=10_000,
            citation="FID of 10,000 samples and all training images by pytorch-fid's resize: the evaluation that "
            "DDMI's authors released (Park et al. 2024); here the samples are rounded to bytes",
        ),
        "clean-fid": SetProtocol(
            network=partial(_prepared, clean),
            weights=INCEPTION,
            statistic=_frechet,
            citation="Clean-FID of 50,000 samples and all training images: Parmar et al. 2022, mode 'clean'",
        ),
        "kid": SetProtocol(
            network=InceptionFeatures,
            weights=INCEPTION,
            statistic=_kernel,
            citation="KID of 50,000 samples and all training images, 100 subsets of 1,000: Binkowski et al. 2018 as "
            "computed by torch-fidelity and StyleGAN2-ADA; not multiplied by 1,000",
        ),
        "precision-recall": SetProtocol(
            network=VGG16Features,
            weights=VGG,
            statistic=_precision_recall,
            citation="improved precision and recall of 50,000 samples and all training images, VGG16 fc2 after ReLU, "
            "k = 3: Kynkäänniemi et al. 2019 as computed by torch-fidelity from 0.4",
        ),
        "patch-fid": SetProtocol(
            network=InceptionFeatures,
            weights=INCEPTION,
            statistic=_frechet,
            window=299,
            citation="FID of one window of 299 pixels of each of 50,000 samples and of as many of the training images, "
            "not resized, in the manner of Chai et al. 2022: compare with this protocol at this resolution only",
        ),
        "rfid": SetProtocol(
            network=InceptionFeatures,
            weights=INCEPTION,
            statistic=_frechet,
            made="reconstructions",
            count=None,
            real="test",
            citation="reconstruction FID of all held-out images by their posterior means, as Rombach et al. 2022 "
            "report of autoencoders",
        ),
        "reconstruction": PairProtocol(
            weights=SOURCES["vgg"],
            citation="PSNR (dB, over RGB), SSIM (Gaussian window of 11 inside of the image) and LPIPS (VGG16, Zhang et "
            "al. 2018) of all held-out images' reconstructions by their posterior means: compare at one resolution",
        ),
    }
)
"""By the name that `ddmi evaluate --protocol` takes."""
