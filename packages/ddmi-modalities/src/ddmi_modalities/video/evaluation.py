"""How good a trained video model is: its frames, those between them, and Frechet distances of what it generates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ddmi_modalities.datasets.splits import evenly_spaced
from ddmi_modalities.metrics.clip_features import FrameAndMotionFeatures
from ddmi_modalities.metrics.features import FeatureNetwork
from ddmi_modalities.metrics.i3d import I3DFeatures
from ddmi_modalities.metrics.pairs import SSIM_WINDOW, psnr, ssim
from ddmi_modalities.metrics.set_distances import FeatureSets, distances_to_held_out
from ddmi_modalities.modality import FunctionSource
from ddmi_modalities.progress import progress
from ddmi_modalities.spec import Measured
from ddmi_modalities.video.items import ClipItem
from ddmi_modalities.video.modality import VideoModality
from ddmi_modalities.video.view import VideoRenderOptions

CHUNK = 16


@dataclass(frozen=True, kw_only=True)
class VideoEvaluation:
    """How much of a model is measured, and with what."""

    count: int = 200
    """Clips a side of Frechet distances."""
    pairs: int = 50
    """Held-out clips of PSNR and SSIM."""
    rates: tuple[int, ...] = (2, 4, 8)
    """Multiples of the frame rate at which in-between frames are compared with the truth, where it is known."""
    weights: Path | None = None
    """I3D as TorchScript, whose features Frechet distances compare; without it, features of EfficientNet-Lite0."""

    def __post_init__(self) -> None:
        if self.count < 2 or self.pairs < 1:
            raise ValueError(
                f"VideoEvaluation: a covariance needs 2 clips a side and a mean 1, got count {self.count} and pairs "
                f"{self.pairs}"
            )
        if any(rate < 2 for rate in self.rates):
            raise ValueError(f"VideoEvaluation: rates are multiples of the frame rate from 2, got {self.rates}")


def evaluate_videos(
    modality: VideoModality,
    model: FunctionSource,
    settings: VideoEvaluation,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Measured:
    """PSNR in dB and SSIM of held-out clips' frames, and of frames between them; Frechet distances between sets.

    All Frechet distances are to the same held-out clips, at the encoder's size: of training clips (`fd/real`), of the
    held-out clips' reconstructions, of samples, and of decoded draws from the prior.  See `reconstruction_quality` and
    `between_frames`.
    """
    held_out, training = modality.dataset("test"), modality.dataset("train")
    items = [held_out[i] for i in evenly_spaced(len(held_out), settings.pairs)]
    result = reconstruction_quality(modality, model, items)
    if all(item.continuous for item in items):
        for rate in settings.rates:
            result |= between_frames(modality, model, items, rate)
    result |= {"count/pairs": len(items), "size/frechet": modality.size}
    network: FeatureNetwork = (
        FrameAndMotionFeatures(device=device)
        if settings.weights is None
        else I3DFeatures(settings.weights, device=device)
    )
    sets = clip_sets(modality, model, network, seed)
    return Measured(metrics=result | distances_to_held_out(sets, held_out, training, settings.count, what="clips"))


def clip_sets(
    modality: VideoModality, model: FunctionSource, network: FeatureNetwork, seed: int
) -> FeatureSets[ClipItem]:
    """What a network sees of clips at the encoder's size."""
    options = VideoRenderOptions(resolution=modality.size, tolerance=None)
    return FeatureSets(
        model=model,
        network=network,
        inputs=modality.inputs,
        truth=lambda items: modality.truth(items, options).clips,
        render=lambda functions, _: modality.render(functions, options).clips,
        seed=seed,
        chunk=CHUNK,
    )


def reconstruction_quality(
    modality: VideoModality, model: FunctionSource, items: Sequence[ClipItem]
) -> dict[str, float]:
    """PSNR and SSIM of reconstructed frames; `psnr/mean_frame` repeats the true clip's mean frame instead."""
    options = VideoRenderOptions(resolution=modality.size, tolerance=None)
    rows = []
    for group in progress(_groups(items), what=f"reconstructions of {len(items)} held-out clips"):
        true = modality.truth(group, options).clips
        made = modality.render(model.reconstruct(modality.inputs(group)), options).clips
        still = true.float().mean(1, keepdim=True).round().to(torch.uint8).expand_as(true)
        values = [_psnr(made, true), _psnr(still, true)]
        if modality.size >= SSIM_WINDOW:
            values.append(ssim(made.flatten(0, 1), true.flatten(0, 1)))
        rows.append(torch.stack(values))
    means = torch.cat(rows, dim=1).mean(1).tolist()
    return dict(zip(("psnr", "psnr/mean_frame", "ssim"), means, strict=False))


def between_frames(
    modality: VideoModality, model: FunctionSource, items: Sequence[ClipItem], rate: int
) -> dict[str, float]:
    """`psnr/4x`: the frames between the model's native ones at 4 times the rate, against the true ones.

    `psnr_blend/4x` blends the model's own two neighbouring native frames linearly instead.
    """
    native = torch.arange(modality.frames, dtype=torch.float32)
    parts = torch.arange(1, rate) / rate
    times = (native[:-1, None] + parts).flatten()
    rows = []
    for group in progress(_groups(items), what=f"in-between frames at {rate} times the frame rate"):
        function = model.reconstruct(modality.inputs(group))
        true = torch.stack([item.frames(times, modality.size) for item in group])
        made = modality.frames_at(function, times, modality.size)
        own = modality.frames_at(function, native, modality.size).float()
        weights = parts[:, None, None, None]
        blend = torch.lerp(own[:, :-1, None], own[:, 1:, None], weights).flatten(1, 2).round().to(torch.uint8)
        rows.append(torch.stack((_psnr(made, true), _psnr(blend, true))))
    made_psnr, blend_psnr = torch.cat(rows, dim=1).mean(1).tolist()
    return {f"psnr/{rate}x": made_psnr, f"psnr_blend/{rate}x": blend_psnr}


def _groups(items: Sequence[ClipItem]) -> list[Sequence[ClipItem]]:
    return [items[start : start + CHUNK] for start in range(0, len(items), CHUNK)]


def _psnr(
    made: UInt8[Tensor, "batch frame 3 rows columns"], true: UInt8[Tensor, "batch frame 3 rows columns"]
) -> Float[Tensor, " frames"]:
    """Of each frame."""
    return psnr(made.flatten(0, 1), true.flatten(0, 1))
