"""What torch users bring: tensors, TensorDataset, an ordinary collate function, class labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from ddmi_diffusion import (
    Conditioning,
    DiffusionObjective,
    Guidance,
    LatentBatch,
    LatentDiffusion,
    LatentSpace,
    NoiseConfig,
    ParameterSettings,
    StepRandom,
    Trainer,
    TrainerConfig,
    UNetConfig,
)
from ddmi_diffusion.data_order import with_random
from ddmi_diffusion.trained_objective import SettingsOf

CONFIG = TrainerConfig(
    steps=3, batch_size=4, learning_rate=1e-3, warmup=1, precision="fp32", device="cpu", tracker="none"
)
UNET = UNetConfig(width=8, multipliers=(1, 2), blocks=1, groups=4, head_channels=8)


def latents(count: int = 10) -> Tensor:
    return 3 + 2 * torch.randn(count, 4, 8, 8, generator=torch.Generator().manual_seed(0))


def first(batch: list[Tensor]) -> LatentBatch:
    return LatentBatch((batch[0],))


def labelled(batch: list[Tensor]) -> LatentBatch:
    return LatentBatch((batch[0],), cond=Conditioning.from_labels(batch[1], 3))


def test_latents_of_a_foreign_autoencoder_in_ten_lines(tmp_path: Path) -> None:
    z = latents()
    space = LatentSpace.fit(z)
    torch.testing.assert_close(space.mean[0], z.mean((0, 2, 3)))
    torch.testing.assert_close(space.std[0], z.std((0, 2, 3), correction=0))
    diffusion = LatentDiffusion(UNET.build(space.plane_shapes, "grid"), NoiseConfig(prediction="flow"), space.shape)
    objective = DiffusionObjective(diffusion, space, moments=first)
    Trainer(objective, TensorDataset(z), None, CONFIG, tmp_path).fit()
    (made,) = space.unpack(diffusion.sample(2, num_steps=2, sampler="euler"))
    assert made.shape == (2, 4, 8, 8)


def test_statistics_of_several_planes() -> None:
    planes = (latents(), 2 * latents())
    pairs = [(planes, tuple(torch.zeros_like(plane) for plane in planes))]
    one, other = LatentSpace.fit(planes, "row"), LatentSpace.fit(pairs, "row")
    assert all(torch.equal(value, other.tensors()[name]) for name, value in one.tensors().items())


def test_without_a_spread_the_means_are_the_latents() -> None:
    z = latents(4)
    objective = DiffusionObjective(
        LatentDiffusion(nn.Identity(), NoiseConfig(), (4, 8, 8)), LatentSpace.identity([(4, 8, 8)])
    )
    rng = StepRandom(0, 0, range(4))
    assert torch.equal(objective.drawn(LatentBatch((z,)), rng), z)
    assert not torch.equal(objective.drawn(LatentBatch((z,), (torch.ones_like(z),)), rng), z)


def test_class_labels(tmp_path: Path) -> None:
    z, labels = latents(12), torch.arange(12) % 3
    space = LatentSpace.fit(z)
    denoiser = UNET.build(space.plane_shapes, "grid", condition=3)
    diffusion = LatentDiffusion(denoiser, NoiseConfig(prediction="flow"), space.shape)
    null = Conditioning.from_labels(torch.tensor([-1]), 3)
    objective = DiffusionObjective(diffusion, space, moments=labelled, null=null, dropout=0.2)
    Trainer(objective, TensorDataset(z, labels), None, CONFIG, tmp_path).fit()
    cond = Conditioning.from_labels(torch.tensor([2]), 3)
    how = {"num_steps": 2, "sampler": "euler"}
    one, two = (
        diffusion.sample(2, cond=cond, guidance=Guidance(scale=w, null=null), **how)  # type: ignore[arg-type]
        for w in (1.0, 4.0)
    )
    assert not torch.equal(one, two)


def test_labels_that_are_none() -> None:
    assert Conditioning.from_labels(torch.tensor([0, 2, -1]), 3).tokens.tolist() == [
        [[1.0, 0.0, 0.0]], [[0.0, 0.0, 1.0]], [[0.0, 0.0, 0.0]],
    ]  # fmt: skip
    for wrong in (3, -2):
        with pytest.raises(ValueError, match=r"labels are 0 to 2, and -1 for none; got"):
            Conditioning.from_labels(torch.tensor([wrong]), 3)


def test_any_collate_function() -> None:
    rng = StepRandom(0, 0, range(2))
    assert with_random(len)([1, 2], rng) == 2
    assert with_random(lambda items, rng: (items, len(rng)))([1, 2], rng) == ([1, 2], 2)
    assert torch.equal(with_random(None)([torch.zeros(3), torch.ones(3)], rng), torch.tensor([[0.0] * 3, [1.0] * 3]))


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_parameters_learn_as_a_function_says(optimizer: str, tmp_path: Path) -> None:
    z = latents()
    space = LatentSpace.fit(z)
    weights: dict[str, dict[str, Tensor]] = {}

    def settings(name: str, _: nn.Parameter) -> ParameterSettings:
        return ParameterSettings(rate=0.0 if ".middle" in name else 1.0, weight_decay=0.5 if ".up." in name else None)

    def trainer(run: str, settings_of: SettingsOf | None, steps: int) -> Trainer:
        torch.manual_seed(0)
        denoiser = UNET.build(space.plane_shapes, "grid")
        diffusion = LatentDiffusion(denoiser, NoiseConfig(prediction="flow"), space.shape)
        weights.setdefault("before", {name: value.clone() for name, value in diffusion.state_dict().items()})
        objective = DiffusionObjective(diffusion, space, moments=first)
        config = replace(CONFIG, optimizer=optimizer, steps=steps, schedule="constant")  # type: ignore[arg-type]
        return Trainer(objective, TensorDataset(z), None, config, tmp_path / run, settings_of=settings_of)

    for run, of in (("plain", None), ("set", settings)):
        one = trainer(run, of, 3)
        one.fit()
        weights[run] = {
            name.removeprefix("diffusion."): value.clone() for name, value in one.objective.state_dict().items()
        }
    moved = {name for name, value in weights["set"].items() if not torch.equal(value, weights["before"][name])}
    assert moved
    assert not any(".middle" in name for name in moved)
    assert not torch.equal(weights["set"]["denoiser.up.0.0.block.conv1.weight"],
                           weights["plain"]["denoiser.up.0.0.block.conv1.weight"])  # fmt: skip
    # resumed, every parameter finds its own state again
    trainer("half", settings, 2).fit()
    again = trainer("half", settings, 3)
    again.fit(resume=True)
    assert all(
        torch.equal(value, weights["set"][name.removeprefix("diffusion.")])
        for name, value in again.objective.state_dict().items()
    )
