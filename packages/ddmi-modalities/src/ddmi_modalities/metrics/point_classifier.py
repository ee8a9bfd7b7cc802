"""A small point-cloud classifier, trained here on a data set's own labels, to judge the class of generated shapes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from ddmi_modalities.metrics.classifier_training import train_classifier_on

POINTS = 512
STEPS, BATCH = 400, 32


class PointClassifier(nn.Module):
    """PointNet without transforms (Qi et al. 2017): an MLP on each point, the maximum over points, an MLP."""

    def __init__(self, classes: Sequence[str], width: int = 128) -> None:
        super().__init__()
        self.classes = tuple(classes)
        self.points = nn.Sequential(
            nn.Linear(3, width // 2), nn.ReLU(), nn.Linear(width // 2, width), nn.ReLU(), nn.Linear(width, 2 * width)
        )
        self.head = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, len(self.classes)))

    def forward(self, clouds: Float[Tensor, "batch point 3"]) -> Float[Tensor, "batch class"]:
        return self.head(self.points(clouds).amax(1))

    @torch.no_grad()
    def classify(self, clouds: Float32[np.ndarray, "cloud point 3"]) -> list[str]:
        """The most likely class of each cloud, of which the first points are used."""
        device = next(self.parameters()).device
        logits = self(torch.from_numpy(clouds[:, :POINTS]).to(device))
        return [self.classes[i] for i in logits.argmax(1).tolist()]


def train_classifier(
    clouds: Float32[np.ndarray, "cloud point 3"],
    labels: Sequence[str],
    *,
    seed: int = 0,
) -> PointClassifier:
    """A classifier of clouds of at least 512 points, of which each step draws some; the same for the same seed.

    Raises:
        ValueError: fewer than two classes, or not one label a cloud.
    """
    if len(labels) != len(clouds):
        raise ValueError(f"train_classifier: {len(labels)} labels for {len(clouds)} clouds; it takes one a cloud")

    def seen(chosen: np.ndarray, rng: np.random.Generator) -> Tensor:
        some = rng.permutation(clouds.shape[1])[:POINTS]
        noise = rng.normal(0, 0.005, (len(chosen), len(some), 3)).astype(np.float32)
        return torch.from_numpy(clouds[chosen][:, some] + noise)

    return train_classifier_on(PointClassifier, labels, seen, what="clouds", steps=STEPS, batch=BATCH, seed=seed)
