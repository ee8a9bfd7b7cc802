"""The losses of stage 2 never wait for a GPU: checked without one, by fake tensors."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from device_work import DeviceWork, put_on_a_gpu
from torch._subclasses.fake_tensor import FakeTensorMode

from ddmi_diffusion import (
    Conditioning,
    DiffusionObjective,
    Guidance,
    LatentBatch,
    LatentDiffusion,
    LatentSpace,
    MeanFlowObjective,
    NoiseConfig,
    StepRandom,
    UNetConfig,
)
from ddmi_diffusion.device_transfer import to_device

SHAPES = [(4, 8, 8)] * 3
U_NET = UNetConfig(width=32, multipliers=(1, 2), blocks=1, attention_factors=(1, 2), head_channels=16, groups=8)


def _batch() -> LatentBatch:
    planes = tuple(torch.randn(2, 4, 8, 8) for _ in SHAPES)
    cond = Conditioning(torch.randn(2, 5, 6), torch.ones(2, 5, dtype=torch.bool))
    return LatentBatch(planes, tuple(plane.abs() for plane in planes), cond)


def _objective(noise: NoiseConfig, **options: Any) -> DiffusionObjective:
    space = LatentSpace.identity(SHAPES)
    diffusion = LatentDiffusion(U_NET.build(SHAPES, "grid", 6), noise, space.shape, **options)
    null = Conditioning(torch.zeros(1, 5, 6), torch.ones(1, 5, dtype=torch.bool))
    return DiffusionObjective(diffusion, space, null=null, dropout=0.5)


def _mean_flow() -> MeanFlowObjective:
    trained = _objective(NoiseConfig(prediction="flow"))
    student = U_NET.of_mean_flow().build(SHAPES, "grid", 6)
    flow = LatentDiffusion(student, NoiseConfig(prediction="flow"), trained.latent_space.shape)
    return MeanFlowObjective(flow, trained, Guidance(scale=2.0, null=trained.null))


@pytest.mark.parametrize(
    "make",
    [
        lambda: _objective(NoiseConfig(), mixed=-6.0),
        lambda: _objective(NoiseConfig(prediction="v"), min_snr_gamma=5.0),
        lambda: _objective(NoiseConfig(prediction="flow", times="logit-normal", shift=None)),
        _mean_flow,
    ],
    ids=["mixed", "min-snr", "flow", "mean flow"],
)
def test_a_loss_waits_for_nothing(make: Any) -> None:
    objective, batch = make(), _batch()
    rngs = [StepRandom(seed=0, step=step, positions=range(2)) for step in range(2)]
    with FakeTensorMode(allow_non_fake_inputs=True):
        for module in (objective, *getattr(objective, "_trained", ())):
            put_on_a_gpu(module)
            for name in {"null", "guidance"} & vars(module).keys():
                setattr(module, name, to_device(getattr(module, name), "cuda"))
        batch = to_device(batch, "cuda")
        for rng in rngs:  # what is sent to a device once is sent in the first
            with DeviceWork() as work:
                objective(batch, step=0, rng=rng)
    assert not work.waits, work.waits
