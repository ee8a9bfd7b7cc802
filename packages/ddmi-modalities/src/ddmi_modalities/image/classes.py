"""Whether pictures that are generated from the name of a class are of that class, at several scales of guidance."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

import torch

from ddmi_modalities.datasets.splits import evenly_spaced
from ddmi_modalities.image.items import ImageItem
from ddmi_modalities.image.modality import ImageModality
from ddmi_modalities.image.view import ImageRenderOptions
from ddmi_modalities.metrics.picture_classifier import train_classifier
from ddmi_modalities.modality import DataSet, FunctionSource
from ddmi_modalities.progress import progress

logger = logging.getLogger("ddmi")

LABELLED, CHECKED = 5000, 1000
"""Training pictures of the classifier, and held-out ones on which it is checked itself."""
FEWEST = 5
"""Pictures of a class, on average, below which captions are sentences and no classes."""
SEEN = 64
"""Pixels a side, at most, that the classifier sees."""
CHUNK = 50


@torch.no_grad()
def class_accuracy(
    modality: ImageModality, model: FunctionSource, *, count: int, scales: Sequence[float], seed: int = 0
) -> dict[str, float]:
    """For each scale w of guidance (0: the name is ignored) `class/wW`: share of samples of the class asked for.

    A classifier that is trained here on the data set's classes judges; `class/true` is its share of held-out pictures.
    Classes are asked for in turn.  Nothing where captions are no classes: sentences, or one class only.
    """
    training, held_out = modality.dataset("train"), modality.dataset("test")
    labelled = _some(training, LABELLED)
    labels = [item.caption or "" for item in labelled]
    classes = sorted(Counter(labels))
    if len(classes) < 2 or len(labels) < FEWEST * len(classes):
        logger.info("captions are no classes: whether samples follow them is not measured")
        return {}
    size = min(modality.size, SEEN)
    classifier = train_classifier(torch.stack([item.pixels(size) for item in labelled]), labels)
    checked = _some(held_out, CHECKED)
    guessed = classifier.classify(torch.stack([item.pixels(size) for item in checked]))
    result = {"class/true": _share(guessed, [item.caption or "" for item in checked]), "count/classes": len(classes)}
    asked = [classes[number % len(classes)] for number in range(count)]
    options = ImageRenderOptions(resolution=size, tolerance=None)
    for scale in scales:
        guessed = []
        for start in progress(range(0, count, CHUNK), what=f"{count} pictures of classes, scale {scale:g}"):
            names = asked[start : start + CHUNK]
            made = model.sample(len(names), seed=seed, start=start, prompts=names, guidance_scale=scale)
            guessed += classifier.classify(modality.render(made, options).images)
        result[f"class/w{scale:g}"] = _share(guessed, asked)
    return result


def _some(data: DataSet[ImageItem], most: int) -> list[ImageItem]:
    return [data[i] for i in evenly_spaced(len(data), most)]


def _share(guessed: Sequence[str], true: Sequence[str]) -> float:
    return sum(a == b for a, b in zip(guessed, true, strict=True)) / max(1, len(true))
