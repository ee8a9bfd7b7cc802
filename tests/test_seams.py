"""The seams: every layout and packing goes the whole way with no branch on names, and a modality is an addition."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
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
)


@dataclass(frozen=True)
class Case:
    layout: PlaneLayout
    cells: dict[str, int]
    scaled: str
    mixing: Any
    reduction: Any
    packings: tuple[Any, ...]


CASES = {
    "xy": Case(PlaneLayout.image(), {"x": 12, "y": 8}, "xy", "none", "sum", ("grid", "row")),
    "xyz": Case(PlaneLayout.triplane(), {"x": 8, "y": 8, "z": 8}, "xyz", "channels", "sum", ("grid", "row")),
    "xyt": Case(PlaneLayout.video(), {"x": 12, "y": 8, "t": 5}, "xy", "tokens", "concat", ("row",)),
}


def make_vae(case: Case, channels: int = 3) -> D2CVAE:
    shared: dict[str, Any] = dict(
        width=8, multipliers=(1, 2), blocks=1, mixing=case.mixing, scaled_axes=case.scaled, groups=4
    )
    encoder = PlaneEncoder(case.layout, 4, PlaneEncoderConfig(in_channels=channels, **shared))
    decoder = PlaneDecoder(case.layout, 4, PlaneDecoderConfig(channels=6, scales=2, reduction=case.reduction, **shared))
    width = 6 * (len(case.layout.planes) if case.reduction == "concat" else 1)
    read_out = CoarseToFineReadOut([width] * 2, 3, width=16, coordinates=len(case.layout.axes))
    return D2CVAE(encoder, decoder, read_out)


def small_unet(space: LatentSpace) -> PlaneUNet:
    config = UNetConfig(width=16, multipliers=(1, 2), blocks=1, attention_factors=(1,), head_channels=8)
    return PlaneUNet(space.plane_shapes, space.packing, config)


@pytest.mark.parametrize("name", CASES)
def test_signal_goes_all_the_way(name: str) -> None:
    case = CASES[name]
    for packing in case.packings:
        torch.manual_seed(0)
        vae = make_vae(case)
        planes = tuple(torch.randn(4, 3, *size) for size in case.layout.plane_sizes(case.cells))
        posterior = vae.encode(planes)
        space = LatentSpace.fit([(posterior.mean, posterior.std)], packing)
        packed = space.pack(posterior.mean)
        assert tuple(packed.shape[1:]) == space.shape
        for back, plane in zip(space.unpack(packed), posterior.mean, strict=True):
            torch.testing.assert_close(back, plane)

        denoiser = small_unet(space)
        diffusion = LatentDiffusion(denoiser, NoiseConfig(prediction="v"), space.shape)
        objective = DiffusionObjective(diffusion, space)
        batch = LatentBatch(posterior.mean, posterior.std)
        loss = objective(batch, step=0, rng=StepRandom(0, 0, range(4)))["loss"]
        loss.backward()
        assert torch.isfinite(loss)

        with torch.no_grad():
            function = vae.function(space.unpack(diffusion.sample(2, num_steps=3)))
            size = tuple(case.cells[axis] for axis in reversed(case.layout.axes))
            grid = function.grid(size)
            points = function(grid_coordinates(size)).transpose(1, 2).reshape(grid.shape)
        torch.testing.assert_close(grid, points, atol=1e-4, rtol=1e-4)
        assert torch.isfinite(grid).all()


@dataclass(frozen=True)
class Waves:
    """A toy fifth modality: damped travelling waves on the (x, t) plane, one value at each point."""

    layout = PlaneLayout("xt", ("xt",))

    def dataset(self, split: str) -> list[float]:
        return [0.5 + 0.1 * i for i in range(8)]

    def signal(self, speeds: Tensor, coords: Tensor) -> Tensor:
        return torch.sin(4 * (coords[..., :1] - speeds[:, None, None] * coords[..., 1:]))

    def collate(self, items: list[float], rng: StepRandom) -> Batch[Tensor]:
        speeds = torch.tensor(items)
        grid = grid_coordinates((8, 8)).expand(len(items), -1, -1)
        plane = self.signal(speeds, grid).transpose(1, 2).reshape(-1, 1, 8, 8)
        query = 2 * rng.uniform(64, 2) - 1
        return Batch(inputs=(plane,), query=query, target=self.signal(speeds, query))

    def predict(self, function: ImplicitFunction, query: Tensor) -> Tensor:
        return function(query)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_fifth_modality_trains_without_touching_a_package(tmp_path: Path) -> None:
    modality = Waves()
    torch.manual_seed(0)
    shared: dict[str, Any] = dict(width=8, multipliers=(1, 2), blocks=1, groups=4)
    encoder = PlaneEncoder(modality.layout, 2, PlaneEncoderConfig(in_channels=1, **shared))
    decoder = PlaneDecoder(modality.layout, 2, PlaneDecoderConfig(channels=6, scales=2, **shared))
    vae = D2CVAE(encoder, decoder, CoarseToFineReadOut([6, 6], 1, width=16))
    config = TrainerConfig(steps=2, batch_size=4, learning_rate=1e-3, warmup=1, precision="fp32", device="cpu")
    objective = VAEObjective(vae, predict=modality.predict, nll=gaussian_nll, kl_weight=lambda step: 1e-4)
    before = [p.clone() for p in vae.parameters()]
    metrics = Trainer(objective, modality.dataset("train"), modality.collate, config, tmp_path / "vae").fit()
    assert torch.isfinite(torch.tensor(metrics["loss"]))
    assert any(not torch.equal(a, b) for a, b in zip(before, vae.parameters(), strict=True))

    rng = StepRandom(0, 0, range(8))
    posterior = vae.encode(modality.collate(modality.dataset("train"), rng).inputs)
    means, stds = tuple(m.detach() for m in posterior.mean), tuple(s.detach() for s in posterior.std)
    space = LatentSpace.fit([(means, stds)])
    denoiser = small_unet(space)
    diffusion = LatentDiffusion(denoiser, NoiseConfig(prediction="flow"), space.shape)

    def moments(indices: list[int], rng: StepRandom) -> LatentBatch:
        return LatentBatch(tuple(m[indices] for m in means), tuple(s[indices] for s in stds))

    Trainer(DiffusionObjective(diffusion, space), list(range(8)), moments, config, tmp_path / "diffusion").fit()
    wave = vae.function(space.unpack(diffusion.sample(1, num_steps=2, sampler="euler")))
    assert wave.grid((7, 9)).shape == (1, 1, 7, 9)
