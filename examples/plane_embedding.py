"""Learned planes as the positional embedding of any coordinate network, beside Fourier features and SIREN.

    python examples/plane_embedding.py [PHOTO] [--seconds 20 | --steps 300]

Three networks of about equal size learn the same picture for the same time, or the same steps. Needs ddmi-fields only
(and Pillow to read PHOTO; without one it learns a drawn picture).
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ddmi_fields import PlaneEmbedding, PlaneLayout, grid_coordinates


class FourierFeatures(nn.Module):
    """Fixed random frequencies (Tancik et al. 2020)."""

    frequencies: Tensor

    def __init__(self, count: int, scale: float) -> None:
        super().__init__()
        self.register_buffer("frequencies", scale * torch.randn(2, count))

    def forward(self, coords: Tensor) -> Tensor:
        angles = math.pi * coords @ self.frequencies
        return torch.cat((angles.sin(), angles.cos()), dim=-1)


class Sine(nn.Module):
    """A layer of SIREN (Sitzmann et al. 2020)."""

    def __init__(self, inputs: int, outputs: int, first: bool = False) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        bound = 1 / inputs if first else math.sqrt(6 / inputs) / 30
        nn.init.uniform_(self.linear.weight, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(30 * self.linear(x))


def mlp(inputs: int, width: int, layers: int) -> list[nn.Module]:
    body: list[nn.Module] = []
    for i in range(layers):
        body += [nn.Linear(inputs if i == 0 else width, width), nn.ReLU()]
    return [*body, nn.Linear(width, 3)]


def networks() -> dict[str, Callable[[], tuple[nn.Module, float]]]:
    """A network and its learning rate, each of about 190,000 numbers."""

    def planes() -> tuple[nn.Module, float]:
        embed = PlaneEmbedding(PlaneLayout.image(), sizes=(32, 64, 128), channels=8)
        return nn.Sequential(embed, *mlp(embed.out_channels, 64, 3)), 1e-2

    def fourier() -> tuple[nn.Module, float]:
        return nn.Sequential(FourierFeatures(128, 10.0), *mlp(256, 220, 3)), 1e-3

    def siren() -> tuple[nn.Module, float]:
        hidden = [Sine(250, 250) for _ in range(3)]
        return nn.Sequential(Sine(2, 250, first=True), *hidden, nn.Linear(250, 3)), 1e-4

    return {"PlaneEmbedding": planes, "Fourier features": fourier, "SIREN": siren}


def picture(path: str | None, size: int) -> Tensor:
    """(3, size, size) in [-1, 1]."""
    if path is None:
        coords = grid_coordinates((size, size))[0]
        waves = torch.stack([torch.sin((5 + 20 * k) * coords.norm(dim=-1) + k) for k in range(3)])
        return (waves + 0.3 * (coords[:, 0] > 0.2).float()).clamp(-1, 1).reshape(3, size, size)
    import numpy as np
    from PIL import Image

    image = Image.open(path).convert("RGB").resize((size, size), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1) / 127.5 - 1


def fit(network: nn.Module, rate: float, image: Tensor, seconds: float, steps: int | None) -> float:
    """PSNR in dB after training on random pixels for `seconds`, or for `steps` where given."""
    coords = grid_coordinates(image.shape[1:])
    values = image.flatten(1).T[None]
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    began, step = time.perf_counter(), 0
    while (done := (time.perf_counter() - began) / seconds if steps is None else step / steps) < 1:
        step += 1
        for group in optimizer.param_groups:
            group["lr"] = rate * (0.02 + 0.49 * (1 + math.cos(math.pi * done)))
        pick = torch.randint(coords.shape[1], (16_384,))
        loss = (network(coords[:, pick]) - values[:, pick]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        error = torch.cat([network(part) for part in coords.split(16_384, dim=1)], dim=1) - values
    return 10 * math.log10(4 / error.square().mean().item())


def main() -> None:
    parser = argparse.ArgumentParser(description="Planes, Fourier features and SIREN on one picture.")
    parser.add_argument("photo", nargs="?")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--steps", type=int, help="instead of --seconds")
    parser.add_argument("--size", type=int, default=256)
    arguments = parser.parse_args()
    image = picture(arguments.photo, arguments.size)
    for name, make in networks().items():
        torch.manual_seed(0)
        network, rate = make()
        numbers = sum(p.numel() for p in network.parameters())
        db = fit(network, rate, image, arguments.seconds, arguments.steps)
        budget = f"{arguments.seconds:g} s" if arguments.steps is None else f"{arguments.steps} steps"
        print(f"{name:18} {numbers:8,} numbers  {db:6.2f} dB in {budget}")


if __name__ == "__main__":
    main()
