"""Classifiers that are trained here, on a data set's own classes, to judge what is generated."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

logger = logging.getLogger("ddmi")

Classifier = TypeVar("Classifier", bound=nn.Module)

RATE = 2e-3
"""Adam's first learning rate; it falls linearly to nothing."""


def train_classifier_on(
    make: Callable[[Sequence[str]], Classifier],
    labels: Sequence[str],
    inputs: Callable[[np.ndarray, np.random.Generator], Tensor],
    *,
    what: str,
    steps: int,
    batch: int,
    seed: int,
) -> Classifier:
    """A classifier in evaluation mode; the same for the same seed.

    Args:
        make: From the names of the classes, sorted, to an untrained network of as many logits.
        labels: Of each item its class.
        inputs: From the numbers of some items to what the network sees of them; may draw.
        what: Items in the plural, for messages.
        steps, batch, seed: Of its training.

    Raises:
        ValueError: Fewer than two classes.
    """
    classes = sorted(set(labels))
    if len(classes) < 2:
        raise ValueError(f"train_classifier: {len(labels)} {what} of {len(classes)} class(es); it takes at least two")
    logger.info("training a classifier of %s on %d %s", ", ".join(classes), len(labels), what)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = make(classes)
    numbers = torch.tensor([classes.index(label) for label in labels])
    rng = np.random.default_rng(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    with torch.enable_grad():
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = RATE * (1 - step / steps)
            chosen = rng.integers(len(labels), size=batch)
            loss = F.cross_entropy(model(inputs(chosen, rng)), numbers[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval()
