"""U-Nets of diffusers learn and sample in the place of ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from ddmi_diffusion import (
    Conditioning,
    Denoiser,
    DiffusersDenoiser,
    DiffusionObjective,
    Guidance,
    LatentBatch,
    LatentDiffusion,
    LatentSpace,
    NoiseConfig,
    Trainer,
    TrainerConfig,
)

SIZES: dict[str, Any] = dict(
    sample_size=8, in_channels=4, out_channels=4, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4
)
CONFIG = TrainerConfig(
    steps=40, batch_size=8, learning_rate=3e-3, warmup=1, precision="fp32", device="cpu", tracker="none",
    log_every=1, ema_decay=0.0,
)  # fmt: skip


def plain() -> DiffusersDenoiser:
    return DiffusersDenoiser(
        diffusers.UNet2DModel(
            down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
            attention_head_dim=8, **SIZES,
        )
    )  # fmt: skip


def attending() -> DiffusersDenoiser:
    return DiffusersDenoiser(
        diffusers.UNet2DConditionModel(
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=3, attention_head_dim=8, **SIZES,
        )
    )  # fmt: skip


def losses(run: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(("prediction", "sampler"), [("v", "ddim"), ("flow", "euler")])
def test_it_learns_and_samples(prediction: Any, sampler: str, tmp_path: Path) -> None:
    z = torch.randn(1, 4, 8, 8).expand(16, -1, -1, -1) + 0.1 * torch.randn(16, 4, 8, 8)
    space = LatentSpace.identity([(4, 8, 8)])
    diffusion = LatentDiffusion(plain(), NoiseConfig(prediction=prediction), space.shape)
    assert isinstance(diffusion.denoiser, Denoiser)
    objective = DiffusionObjective(diffusion, space, moments=lambda batch: LatentBatch((batch[0],)))
    Trainer(objective, TensorDataset(z), None, CONFIG, tmp_path / "run").fit()
    seen = losses(tmp_path / "run")
    assert sum(seen[-10:]) < 0.8 * sum(seen[:10])
    made = diffusion.eval().sample(2, num_steps=4, sampler=sampler)
    assert made.shape == (2, 4, 8, 8)
    torch.testing.assert_close(made[:1], diffusion.sample(1, num_steps=4, sampler=sampler), rtol=1e-4, atol=1e-4)
    diffusion.save_pretrained(tmp_path / "model")
    again = LatentDiffusion.from_pretrained(tmp_path / "model", denoiser=plain())
    assert torch.equal(again.sample(2, num_steps=4, sampler=sampler), made)


def test_it_attends_to_what_is_not_masked() -> None:
    denoiser = attending().eval()
    z, t = torch.randn(2, 4, 8, 8), torch.tensor([10.0, 500.0])
    cond = Conditioning(torch.randn(2, 3, 3), torch.tensor([[True, True, False], [True, True, False]]))
    with torch.no_grad():
        made = denoiser(z, t, cond)
        other, hidden = cond.tokens.clone(), cond.tokens.clone()
        hidden[:, 2] += 5
        other[:, 1] += 5
        torch.testing.assert_close(denoiser(z, t, Conditioning(hidden, cond.mask)), made, rtol=1e-4, atol=1e-4)
        assert not torch.allclose(denoiser(z, t, Conditioning(other, cond.mask)), made, rtol=1e-3, atol=1e-3)


def test_guidance_and_half_precision() -> None:
    diffusion = LatentDiffusion(attending(), NoiseConfig(prediction="v"), (4, 8, 8)).eval()
    cond, null = (Conditioning.from_labels(torch.tensor([label]), 3) for label in (1, -1))

    def sample(scale: float) -> Tensor:
        return diffusion.sample(1, num_steps=2, cond=cond, guidance=Guidance(scale=scale, null=null))

    assert not torch.allclose(sample(1.0), sample(4.0), atol=1e-4)
    diffusion.bfloat16()
    assert sample(1.0).dtype == torch.float32


def test_conditions_that_do_not_fit_are_refused() -> None:
    z, t, cond = torch.randn(1, 4, 8, 8), torch.zeros(1), Conditioning.from_labels(torch.tensor([1]), 3)
    with pytest.raises(ValueError, match="got a condition, and UNet2DModel attends to none; take a UNet2DCondition"):
        plain()(z, t, cond)
    with pytest.raises(ValueError, match="UNet2DConditionModel attends to a condition, and got none; pass cond"):
        attending()(z, t)
