"""The Frechet video distance, in the two ways in which it was published."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import UInt8
from torch import Tensor

from ddmi_fields import ImplicitFunction
from ddmi_modalities.datasets.splits import evenly_spaced
from ddmi_modalities.files.checksums import sha256_file
from ddmi_modalities.metrics.i3d import FRAMES, SOURCES, I3DFeatures
from ddmi_modalities.metrics.sets import frechet_distance
from ddmi_modalities.modality import DataSet, FunctionSource
from ddmi_modalities.spec import Measured
from ddmi_modalities.video.data.stored_clips import StoredClips
from ddmi_modalities.video.evaluation import clip_sets
from ddmi_modalities.video.items import ClipItem
from ddmi_modalities.video.modality import VideoModality

logger = logging.getLogger("ddmi")


@dataclass(frozen=True, kw_only=True)
class FVDSettings:
    """What the Frechet video distance leaves to its user."""

    weights: Path | None = None
    """I3D as TorchScript; the message where it is missing says which."""
    count: int = 2048
    """Clips a side."""

    def __post_init__(self) -> None:
        if self.count < 2:
            raise ValueError(f"FVD: a covariance needs 2 clips a side, got count {self.count}")


def measure_fvd(
    modality: VideoModality,
    model: FunctionSource,
    settings: FVDSettings,
    *,
    how: Literal["stylegan-v", "logits"],
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Measured:
    """The distance of generated clips of 16 consecutive frames, as bytes, to as many real ones.

    "stylegan-v" compares with the training data, one random clip of each video; "logits" with the held-out data, and
    makes bytes of the generated values by truncation, as the evaluation of DDMI's authors does.

    Raises ValueError without weights or a second stage, and for clips of another length.
    """
    if settings.weights is None:
        raise ValueError(f"this protocol needs the weights of its network: give --weights FILE with {SOURCES[how]}")
    if modality.frames != FRAMES:
        raise ValueError(f"FVD: its clips have {FRAMES} frames, those of this run {modality.frames}")
    if not model.can_sample:
        raise ValueError("this protocol needs samples; train stage 2 with `ddmi train ... --stage diffusion --resume`")
    network = I3DFeatures(settings.weights, how, device)
    split: Literal["train", "test"] = "train" if how == "stylegan-v" else "test"
    real: DataSet[ClipItem] = modality.dataset(split)
    if isinstance(real, StoredClips) and how == "stylegan-v":
        real = real.one_a_video(seed)
    count = min(settings.count, len(real))
    if count < settings.count:
        logger.warning(
            "FVD: there are %d real clips, so both sides have %d; scores of other counts differ", count, count
        )
    sets = clip_sets(modality, model, network, seed)
    if how == "logits":
        sets = replace(sets, render=lambda functions, _: _truncated(modality, functions))
    logger.info("features of %d clips a side (%s)", count, network.name)
    reference = sets.of_items([real[i] for i in evenly_spaced(len(real), count)])
    return Measured(
        metrics={"fvd": frechet_distance(sets.of_samples(count), reference), "count/fvd": count},
        conditions={
            "made": "samples",
            "count_made": count,
            "real": f"split {split}",
            "count_real": count,
            "resolution": modality.size,
            "network": network.name,
            "weights": str(settings.weights),
            "sha256_weights": sha256_file(settings.weights),
        },
    )


@torch.no_grad()
def _truncated(modality: VideoModality, functions: ImplicitFunction) -> UInt8[Tensor, "batch frame 3 rows columns"]:
    values = functions.grid((modality.frames, modality.size, modality.size)).clamp(-1, 1)
    return ((values + 1) * 127.5).to(torch.uint8).transpose(1, 2)
