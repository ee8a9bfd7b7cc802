"""Fits one image with learned planes: a coordinate network that is its own decoder."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ddmi_fields import CoarseToFineReadOut, ImplicitFunction, PlaneEmbedding, PlaneLayout, grid_coordinates


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """A small function: with the defaults, at most 196,608 numbers (a 256 x 256 RGB image has as many)."""

    sizes: tuple[int, ...] = (32, 64, 128)
    """Cells a side of each scale's plane, coarse to fine."""
    channels: int = 8
    """Of a basis vector."""
    width: int = 48
    """Of the read-out."""
    steps: int = 1100
    """Optimiser steps."""
    batch: int = 16_384
    """Pixels a step."""
    learning_rate: float = 1e-2
    """The largest; a cosine follows."""
    seed: int = 0
    """Of the weights and of the pixels drawn."""


class FittedFunction(nn.Module):
    """Learned planes and a read-out."""

    def __init__(self, config: FitConfig, out_channels: int) -> None:
        super().__init__()
        torch.manual_seed(config.seed)
        self.planes = PlaneEmbedding(PlaneLayout.image(), config.sizes, config.channels)
        self.read_out = CoarseToFineReadOut(self.planes.basis.channels, out_channels, width=config.width)

    @property
    def function(self) -> ImplicitFunction:
        return ImplicitFunction(self.planes.basis, self.read_out)


def fit_image(
    image: Float[Tensor, "channel rows columns"],
    config: FitConfig,
    report: Callable[[int, float, float], None] = lambda step, loss, seconds: None,
) -> FittedFunction:
    """Minimises the squared error at the image's pixel centres; values in [-1, 1].

    `report(step, mean squared error, seconds)` is called every 100 steps and after the last.
    """
    channels, rows, columns = image.shape
    model = FittedFunction(config, channels)
    coords = grid_coordinates((rows, columns))
    values = image.flatten(1).T[None]
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    generator = torch.Generator().manual_seed(config.seed)
    began = time.perf_counter()
    for step in range(config.steps):
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / config.steps)))
        pick = torch.randint(coords.shape[1], (min(config.batch, coords.shape[1]),), generator=generator)
        loss = (model.function(coords[:, pick]) - values[:, pick]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 100 == 0 or step + 1 == config.steps:
            report(step + 1, loss.item(), time.perf_counter() - began)
    return model.eval().requires_grad_(False)
