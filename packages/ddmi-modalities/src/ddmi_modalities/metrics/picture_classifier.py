"""A small picture classifier, trained here on a data set's own classes, to judge generated pictures."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from ddmi_modalities.files.pixels import to_float
from ddmi_modalities.metrics.classifier_training import train_classifier_on

STEPS, BATCH = 400, 64
AT_ONCE = 256


class PictureClassifier(nn.Module):
    """Three convolutions of stride 2, the mean over what is left, a linear layer."""

    def __init__(self, classes: Sequence[str], width: int = 32) -> None:
        super().__init__()
        self.classes = tuple(classes)
        widths = (3, width, 2 * width, 4 * width)
        self.convolutions = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, stride=2, padding=1), nn.GroupNorm(8, b), nn.ReLU())
            for a, b in itertools.pairwise(widths)
        )
        self.head = nn.Linear(widths[-1], len(self.classes))

    def forward(self, pictures: Tensor) -> Tensor:
        for convolution in self.convolutions:
            pictures = convolution(pictures)
        return self.head(pictures.mean((2, 3)))

    @torch.no_grad()
    def classify(self, pictures: UInt8[Tensor, "picture 3 rows columns"]) -> list[str]:
        """The most likely class of each picture, of the size that it was trained with."""
        device = self.head.weight.device
        found = [self(to_float(part).to(device)).argmax(1).tolist() for part in pictures.split(AT_ONCE)]
        return [self.classes[i] for part in found for i in part]


def train_classifier(
    pictures: UInt8[Tensor, "picture 3 rows columns"], labels: Sequence[str], *, seed: int = 0
) -> PictureClassifier:
    """A classifier of these pictures; the same for the same seed.

    Raises:
        ValueError: fewer than two classes, or not one label a picture.
    """
    if len(labels) != len(pictures):
        raise ValueError(f"train_classifier: {len(labels)} labels for {len(pictures)} pictures; it takes one a picture")
    return train_classifier_on(
        PictureClassifier, labels, lambda chosen, rng: to_float(pictures[chosen]), what="pictures",
        steps=STEPS, batch=BATCH, seed=seed,
    )  # fmt: skip
