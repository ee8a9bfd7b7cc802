"""Features of clips for distances between sets of them, offline."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from ddmi_modalities.files.pixels import to_float


class FrameAndMotionFeatures:
    """2 x 1280 pooled features of EfficientNet-Lite0: of frames, and of differences between neighbouring frames.

    The mean over frames says what is seen, and stays the same when frames change places.  A difference, on mid-grey,
    shows the edges of what moves, as wide as it moves: its features say how much and how smoothly.  Clips that jump,
    flicker or stand still have other differences with the same frames.  `looks` of each are taken of a clip, evenly
    spaced, at 112 pixels a side: 0.1 s a clip on one core, where all of 16 frames at 224 take 1.5 s.
    """

    name = "EfficientNet-Lite0 (ImageNet, pooled, 1280) of frames and of frame differences"

    def __init__(self, looks: int = 4, size: int = 112, device: torch.device | str = "cpu") -> None:
        from ddmi_modalities.metrics.efficientnet import FrozenEfficientNetLite

        self.looks, self.size, self.device = looks, size, torch.device(device)
        self.network = FrozenEfficientNetLite().to(self.device)

    @torch.no_grad()
    def __call__(self, clips: UInt8[Tensor, "batch frame 3 rows columns"]) -> Float[Tensor, "batch 2560"]:
        if clips.shape[1] < 2:
            raise ValueError(f"features of motion: a clip needs two frames at least, got {clips.shape[1]}")
        pixels = to_float(clips)
        moved = pixels.diff(dim=1) / 2
        parts = [self._mean(values[:, _middles(values.shape[1], self.looks)]) for values in (pixels, moved)]
        return torch.cat(parts, dim=1)

    def _mean(self, frames: Float[Tensor, "batch look 3 rows columns"]) -> Float[Tensor, "batch 1280"]:
        flat = frames.flatten(0, 1).to(self.device)
        resized = F.interpolate(flat, (self.size, self.size), mode="bilinear", align_corners=False, antialias=True)
        return self.network.pooled(resized).unflatten(0, frames.shape[:2]).mean(1)


def _middles(length: int, count: int) -> list[int]:
    """At most `count` indices in the middles of equal parts of `length`."""
    count = min(count, length)
    return [(2 * i + 1) * length // (2 * count) for i in range(count)]
