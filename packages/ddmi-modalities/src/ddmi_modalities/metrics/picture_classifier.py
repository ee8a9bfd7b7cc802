"""A small picture classifier, trained here on a data set's own classes, to judge generated pictures."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import UInt8
from torch import Tensor, nn

from ddmi_modalities.files.pixels import to_float

logger = logging.getLogger("ddmi")

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
    classes = sorted(set(labels))
    if len(classes) < 2 or len(labels) != len(pictures):
        raise ValueError(
            f"train_classifier: {len(labels)} labels of {len(classes)} class(es) for {len(pictures)} pictures; it "
            "takes at least two classes and one label a picture"
        )
    logger.info("training a classifier of %d classes on %d pictures", len(classes), len(pictures))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = PictureClassifier(classes)
    numbers = torch.tensor([classes.index(label) for label in labels])
    rng = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    with torch.enable_grad():
        for step in range(STEPS):
            for group in optimizer.param_groups:
                group["lr"] = 2e-3 * (1 - step / STEPS)
            chosen = torch.randint(len(pictures), (BATCH,), generator=rng)
            loss = F.cross_entropy(model(to_float(pictures[chosen])), numbers[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval()
