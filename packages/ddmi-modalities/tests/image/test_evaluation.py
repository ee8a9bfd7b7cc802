"""Reconstructions of images, compared in parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ddmi_fields import BasisField, ImplicitFunction, PlaneLayout, ReadOut
from ddmi_modalities.image import ImageModality, evaluation
from ddmi_modalities.image.evaluation import reconstruction_quality
from ddmi_modalities.metrics.pairs import psnr


@dataclass(frozen=True)
class Noise:
    """An item of random pixels."""

    number: int
    caption: str | None = None

    @property
    def name(self) -> str:
        return str(self.number)

    def pixels(self, size: int) -> Tensor:
        rng = torch.Generator().manual_seed(1000 * size + self.number)
        return torch.randint(0, 256, (3, size, size), generator=rng, dtype=torch.uint8)

    def window(self, size: int, top: int, left: int, side: int) -> Tensor:
        return self.pixels(size)[:, top : top + side, left : left + side]


class Colours(ReadOut):
    def forward(self, embeddings: list[Tensor], coords: Tensor, condition: Tensor | float | None = None) -> Tensor:
        return embeddings[0]


class Shrunk:
    """Reconstructs images as their four quarters' mean colours."""

    can_sample, can_prompt = False, False

    def __init__(self) -> None:
        self.counts: list[int] = []

    def reconstruct(self, inputs: tuple[Tensor, ...]) -> ImplicitFunction:
        self.counts.append(len(inputs[0]))
        return ImplicitFunction(BasisField(PlaneLayout.image(), [[F.adaptive_avg_pool2d(inputs[0], 2)]]), Colours())

    def sample(self, count: int, **_: object) -> ImplicitFunction:
        raise NotImplementedError

    def prior(self, count: int, **_: object) -> ImplicitFunction:
        raise NotImplementedError


def test_parts_change_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    modality, items = ImageModality(size=16), [Noise(i) for i in range(5)]
    whole, model = Shrunk(), Shrunk()
    expected = reconstruction_quality(modality, whole, items, (0.5, 2.0))
    monkeypatch.setattr(evaluation, "PIXELS", 2 * 32**2)
    made: dict[str, Any] = reconstruction_quality(modality, model, items, (0.5, 2.0))
    assert whole.counts == [5]
    assert model.counts == [2, 2, 1]
    assert made == pytest.approx(expected, rel=1e-6)
    names = {"psnr/8", "psnr/32", "ssim/32", "psnr_bicubic/32", "ssim_bicubic/32", "psnr_bicubic_true/32"}
    assert made.keys() == names | {"ssim_bicubic_true/32"}
    true = torch.stack([item.pixels(32) for item in items])
    mean = torch.full_like(true, 128)
    assert made["psnr/32"] == pytest.approx(psnr(mean, true).mean().item(), abs=0.5), "noise is best met by its mean"
