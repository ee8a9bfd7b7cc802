"""The evaluations of images: our own, and named ways of measuring, each as somebody's published numbers were."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor

from ddmi_modalities.image.evaluation import ImageEvaluation, evaluate_images
from ddmi_modalities.image.protocol_evaluation import (
    Features,
    ImageProtocol,
    ImageProtocolSettings,
    PairProtocol,
    SetProtocol,
    measure,
)
from ddmi_modalities.metrics.features import FeatureNetwork, InceptionFeatures
from ddmi_modalities.metrics.lpips import SOURCES
from ddmi_modalities.metrics.pretrained_features import (
    PreparedInceptionFeatures,
    VGG16Features,
    bilinear_in_torch,
    clean,
)
from ddmi_modalities.metrics.sets import frechet_distance, kernel_distance_of_subsets, precision_recall
from ddmi_modalities.spec import OFFLINE, OFFLINE_CITATION, EvaluationProtocol


def _frechet(made: Features, real: Features, seed: int) -> dict[str, float]:
    return {"fid": frechet_distance(made, real)}


def _kernel(made: Features, real: Features, seed: int) -> dict[str, float]:
    mean, deviation = kernel_distance_of_subsets(real, made, seed=seed, subsets=100, size=1000)
    return {"kid": mean, "kid_std": deviation}


def _precision_recall(made: Features, real: Features, seed: int) -> dict[str, float]:
    precision, recall = precision_recall(made, real, neighbours=3)
    return {"precision": precision, "recall": recall}


def _prepared(prepare: Callable[[Tensor], Tensor], weights: Path, device: torch.device | str) -> FeatureNetwork:
    return PreparedInceptionFeatures(weights, prepare, device)


INCEPTION, VGG = InceptionFeatures.source, VGG16Features.source

NAMED: Mapping[str, ImageProtocol] = MappingProxyType(
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

EVALUATIONS: Mapping[str, EvaluationProtocol] = MappingProxyType(
    {OFFLINE: EvaluationProtocol(settings=ImageEvaluation(), measure=evaluate_images, citation=OFFLINE_CITATION)}
    | {
        name: EvaluationProtocol(
            settings=ImageProtocolSettings(), measure=partial(measure, protocol=protocol), citation=protocol.citation
        )
        for name, protocol in NAMED.items()
    }
)
"""By the name that `ddmi evaluate --protocol` takes."""
