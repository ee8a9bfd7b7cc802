"""Whether generated pictures are of the classes asked for, by a model that knows what it draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from ddmi_fields import BasisField, ImplicitFunction, PlaneLayout, ReadOut
from ddmi_modalities.image import ImageModality
from ddmi_modalities.image.classes import class_accuracy
from ddmi_modalities.metrics import picture_classifier
from ddmi_modalities.metrics.picture_classifier import train_classifier

SIDE = 16
NAMES = ("across", "down", "plain")


def striped(name: str, number: int) -> Tensor:
    """Noisy stripes of one direction, or none."""
    rng = torch.Generator().manual_seed(number)
    line = torch.arange(SIDE).div(2, rounding_mode="floor") % 2 * 200.0
    across = line[None].expand(SIDE, SIDE)
    picture = {"across": across, "down": across.T, "plain": torch.full((SIDE, SIDE), 100.0)}[name]
    return (picture + 30 * torch.randn(3, SIDE, SIDE, generator=rng)).clamp(0, 255).to(torch.uint8)


@dataclass(frozen=True)
class Striped:
    number: int
    caption: str | None

    @property
    def name(self) -> str:
        return str(self.number)

    def pixels(self, size: int) -> Tensor:
        return striped(self.caption or "plain", self.number)

    def window(self, size: int, top: int, left: int, side: int) -> Tensor:
        return self.pixels(size)[:, top : top + side, left : left + side]


class Pixels(ReadOut):
    def forward(self, embeddings: list[Tensor], coords: Tensor, condition: Tensor | float | None = None) -> Tensor:
        return embeddings[0]


class Obedient:
    """Draws what it is asked for, or always the first class where the scale is 0."""

    can_sample, can_prompt = True, True

    def sample(
        self, count: int, *, seed: int = 0, start: int = 0, prompts: Sequence[str] = (), guidance_scale: float = 1.0
    ) -> ImplicitFunction:
        names = prompts if guidance_scale else [NAMES[0]] * count
        planes = torch.stack([striped(name, 1000 + start + i) for i, name in enumerate(names)]) / 127.5 - 1
        return ImplicitFunction(BasisField(PlaneLayout.image(), [[planes]]), Pixels())

    def prior(self, count: int, **_: object) -> ImplicitFunction:
        raise NotImplementedError

    def reconstruct(self, inputs: tuple[Tensor, ...]) -> ImplicitFunction:
        raise NotImplementedError


@pytest.fixture
def modality(monkeypatch: pytest.MonkeyPatch) -> ImageModality:
    monkeypatch.setattr(picture_classifier, "STEPS", 60)
    monkeypatch.setattr(ImageModality, "dataset", lambda self, split: [Striped(i, NAMES[i % 3]) for i in range(90)])
    return ImageModality(size=SIDE, target_sizes=(SIDE,))


def test_accuracy_is_that_of_the_model(modality: ImageModality) -> None:
    result = class_accuracy(modality, Obedient(), count=30, scales=(0.0, 2.0))
    assert result["class/true"] > 0.95
    assert result["class/w2"] > 0.95
    assert result["class/w0"] == pytest.approx(1 / 3, abs=0.05), "one class of three"
    assert result["count/classes"] == 3


def test_sentences_are_no_classes(modality: ImageModality, monkeypatch: pytest.MonkeyPatch) -> None:
    every: list[Any] = [Striped(i, f"a picture of {i}") for i in range(90)]
    monkeypatch.setattr(ImageModality, "dataset", lambda self, split: every)
    assert class_accuracy(modality, Obedient(), count=3, scales=(1.0,)) == {}


def test_a_classifier_needs_classes() -> None:
    with pytest.raises(ValueError, match="3 pictures of 1 class.es.; it takes at least two"):
        train_classifier(torch.zeros(3, 3, 8, 8, dtype=torch.uint8), ["a", "a", "a"])
