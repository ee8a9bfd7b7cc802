"""Fits one image with learned planes: a coordinate network that is its own decoder."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ddmi_fields import CoarseToFineReadOut, ImplicitFunction, PlaneEmbedding, PlaneLayout, grid_coordinates
from ddmi_modalities.files.album import Album
from ddmi_modalities.files.pixels import to_bytes, to_picture
from ddmi_modalities.image import ImageModality, ImageRenderOptions
from ddmi_modalities.metrics.pairs import psnr
from ddmi_modalities.progress import progress

logger = logging.getLogger("ddmi")


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
    image: Float[Tensor, "channel rows columns"], config: FitConfig, device: torch.device | str = "cpu"
) -> FittedFunction:
    """Minimises the squared error at the image's pixel centres; values in [-1, 1]."""
    channels, rows, columns = image.shape
    model = FittedFunction(config, channels).to(device)
    coords = grid_coordinates((rows, columns))
    values = image.flatten(1).T[None]
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    generator = torch.Generator().manual_seed(config.seed)
    with progress(what="fitting", total=config.steps) as bar:
        for step in range(config.steps):
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / config.steps)))
            pick = torch.randint(coords.shape[1], (min(config.batch, coords.shape[1]),), generator=generator)
            made = model.function(coords[:, pick].to(device))
            loss = (made - values[:, pick].to(device)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            bar.update()
            if step % 100 == 0:
                bar.set_postfix_str(f"{10 * math.log10(4 / max(loss.item(), 1e-12)):.2f} dB", refresh=False)
    return model.eval().requires_grad_(False)


def fit_image_file(
    file: Path, out: Path, *, size: int, zoom: int, config: FitConfig, device: torch.device | str = "cpu"
) -> list[Path]:
    """Fits the centred square of an image; writes fit_SIZE.png and fit_{SIZE * zoom}.png."""
    if zoom < 1 or size < 1:
        raise ValueError(f"fit: --size and --zoom must be at least 1, got {size} and {zoom}")
    modality = ImageModality(size=size)
    (image,) = modality.read(file)
    model = fit_image(image[0], config, device)
    made = {
        side: modality.render(model.function, ImageRenderOptions(resolution=side)).images
        for side in (size, size * zoom)
    }
    numbers = sum(p.numel() for p in model.parameters())
    logger.info("%.2f dB with %s numbers", psnr(made[size], to_bytes(image)).item(), f"{numbers:,}")
    album = Album(out)
    for side, (picture,) in made.items():
        album.picture(f"fit_{side}.png", to_picture(picture))
    return album.paths
