"""A modality of your own: sounds as functions of time, drawn on the plane (time, octave).

    python examples/custom_modality.py [--steps 200]

What the packages need of a signal is what `Chirps` has: `layout`, `dataset`, `collate`, `predict`, `nll`. It needs
ddmi-fields, ddmi-vae, ddmi-diffusion and ddmi-modalities (no extra).
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ddmi_diffusion import StepRandom, Trainer, TrainerConfig
from ddmi_fields import CoarseToFineReadOut, ImplicitFunction, PlaneLayout, grid_coordinates
from ddmi_modalities import Batch
from ddmi_vae import (
    D2CVAE,
    PlaneDecoder,
    PlaneDecoderConfig,
    PlaneEncoder,
    PlaneEncoderConfig,
    VAEObjective,
    gaussian_nll,
    reconstruct,
)


@dataclass(frozen=True)
class Chirps:
    """Energy over time and octave of tones that glide; each item is (first octave, last octave)."""

    size: int = 16
    count: int = 256

    @property
    def layout(self) -> PlaneLayout:
        return PlaneLayout("to", ("to",))

    def dataset(self, split: str) -> list[tuple[float, float]]:
        seed = 0 if split == "train" else 1
        ends = torch.rand(self.count, 2, generator=torch.Generator().manual_seed(seed)) * 1.6 - 0.8
        return [(float(a), float(b)) for a, b in ends]

    def signal(self, items: list[tuple[float, float]], coords: Tensor) -> Tensor:
        """Values at (time, octave) points in [-1, 1], (batch, query, 1)."""
        first, last = (torch.tensor(column)[:, None] for column in zip(*items, strict=True))
        octave = first + (last - first) * (coords[..., 0] + 1) / 2
        return torch.exp(-20 * (coords[..., 1] - octave).square())[..., None]

    def inputs(self, items: list[tuple[float, float]]) -> tuple[Tensor, ...]:
        grid = grid_coordinates((self.size, self.size)).expand(len(items), -1, -1)
        return (self.signal(items, grid).transpose(1, 2).unflatten(2, (self.size, self.size)),)

    def collate(self, items: list[tuple[float, float]], rng: StepRandom) -> Batch[Tensor]:
        query = 2 * rng.uniform(256, 2) - 1
        return Batch(inputs=self.inputs(items), query=query, target=self.signal(items, query))

    def predict(self, function: ImplicitFunction, query: Tensor) -> Tensor:
        return function(query)

    def nll(self, prediction: Tensor, target: Tensor) -> Tensor:
        return gaussian_nll(prediction, target)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train stage 1 on a modality of your own.")
    parser.add_argument("--steps", type=int, default=200)
    steps = parser.parse_args().steps

    modality = Chirps()
    torch.manual_seed(0)
    shared: dict[str, Any] = dict(width=16, multipliers=(1, 2), blocks=1, groups=4)
    encoder = PlaneEncoder(modality.layout, 4, PlaneEncoderConfig(in_channels=1, **shared))
    decoder = PlaneDecoder(modality.layout, 4, PlaneDecoderConfig(channels=8, scales=2, **shared))
    vae = D2CVAE(encoder, decoder, CoarseToFineReadOut([8, 8], 1, width=32))
    objective = VAEObjective(vae, predict=modality.predict, nll=modality.nll, kl_weight=lambda step: 1e-5)
    config = TrainerConfig(steps=steps, batch_size=16, learning_rate=3e-3, warmup=10, precision="fp32")
    with tempfile.TemporaryDirectory() as run:
        trainer = Trainer(objective, modality.dataset("train"), modality.collate, config, run)
        trainer.fit()
        trainer.load_average()

    held_out = modality.dataset("test")[:32]
    size = (4 * modality.size, 4 * modality.size)
    made = reconstruct(vae.eval(), modality.inputs(held_out)).grid(size)
    true = modality.signal(held_out, grid_coordinates(size).expand(32, -1, -1)).transpose(1, 2).unflatten(2, size)
    print(f"unseen chirps at four times the resolution: {-10 * (made - true).square().mean().log10():.1f} dB")


if __name__ == "__main__":
    main()
