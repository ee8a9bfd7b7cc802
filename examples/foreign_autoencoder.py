"""Latent diffusion over the latents of an autoencoder that is not ours. Needs ddmi-diffusion only.

    python examples/foreign_autoencoder.py [--steps 300]

The "autoencoder" is a fixed orthogonal transform of 16 x 16 pictures of bars to a latent of 4 x 4 x 4; with your own,
keep `latents` and `decode`, and change nothing else.
"""

from __future__ import annotations

import argparse
import tempfile

import torch
from torch import Tensor

from ddmi_diffusion import (
    DiffusionObjective,
    LatentBatch,
    LatentDiffusion,
    LatentSpace,
    NoiseConfig,
    PlaneUNet,
    StepRandom,
    Trainer,
    TrainerConfig,
    UNetConfig,
)

BASIS = torch.linalg.qr(torch.randn(16, 16, generator=torch.Generator().manual_seed(0)))[0][:, :4]


def bars(count: int) -> Tensor:
    """Bright vertical bars at random places, (count, 1, 16, 16)."""
    centres = torch.rand(count, 1, generator=torch.Generator().manual_seed(1)) * 16
    columns = torch.exp(-((torch.arange(16) + 0.5 - centres) ** 2) / 4)
    return columns[:, None, None].expand(-1, 1, 16, -1)


def encode(pictures: Tensor) -> Tensor:
    """Blocks of 4 x 4 pixels to 4 numbers each."""
    blocks = torch.nn.functional.pixel_unshuffle(pictures, 4)
    return torch.einsum("bkhw,kc->bchw", blocks, BASIS)


def decode(latents: Tensor) -> Tensor:
    return torch.nn.functional.pixel_shuffle(torch.einsum("bchw,kc->bkhw", latents, BASIS), 4)


def main() -> None:
    parser = argparse.ArgumentParser(description="Diffusion over foreign latents.")
    parser.add_argument("--steps", type=int, default=300)
    steps = parser.parse_args().steps

    latents = encode(bars(512))
    no_spread = torch.zeros_like(latents)
    space = LatentSpace.fit([((latents,), (no_spread,))])
    sizes = UNetConfig(width=32, multipliers=(1, 2), blocks=1, attention_factors=(1, 2), groups=8)
    denoiser = PlaneUNet(space.plane_shapes, config=sizes)
    diffusion = LatentDiffusion(denoiser, NoiseConfig(prediction="v"), space.shape)

    def collate(rows: list[Tensor], rng: StepRandom) -> LatentBatch:
        mean = torch.stack(rows)
        return LatentBatch((mean,), (torch.zeros_like(mean),))

    config = TrainerConfig(steps=steps, batch_size=64, learning_rate=2e-3, warmup=10, precision="fp32")
    with tempfile.TemporaryDirectory() as run:
        trainer = Trainer(DiffusionObjective(diffusion, space), latents, collate, config, run)
        metrics = trainer.fit()
        trainer.load_average()
    (samples,) = space.unpack(diffusion.sample(64, seed=0, num_steps=20))
    true, made = decode(latents).std(0).mean(), decode(samples).std(0).mean()
    print(f"loss {metrics['loss']:.3f}; spread of decoded samples {made:.3f}, of the data {true:.3f}")


if __name__ == "__main__":
    main()
