"""Attention: the same values by every way of computing it, and a fused kernel wherever many tokens meet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ddmi_diffusion import Conditioning, DiTConfig, LatentSpace, UNetConfig
from ddmi_diffusion.attention import FEW_TOKENS, attend
from ddmi_diffusion.denoiser import DenoiserConfig

FLASH = torch.nn.attention.SDPBackend.FLASH_ATTENTION.value
U_NET = UNetConfig(width=32, multipliers=(1, 2), blocks=1, attention_factors=(1, 2), head_channels=16, groups=8)
DIT = DiTConfig(width=32, depth=1, head_channels=16)


def _slow(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    scores = torch.einsum("bhqd,bhkd->bhqk", q.double(), k.double()) / q.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.where(mask[:, None, None], -torch.inf)
    return torch.einsum("bhqk,bhkd->bhqd", scores.softmax(-1), v.double())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("tokens", [5, FEW_TOKENS + 16], ids=["short", "long"])
@pytest.mark.parametrize("masked", [False, True])
def test_values_and_gradients_are_those_of_the_formula(dtype: torch.dtype, tokens: int, masked: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    # laid out as convolutions leave them: the channels of a token far apart
    q, k, v = (torch.randn(2, 2, 8, tokens, generator=generator).to(dtype).mT.requires_grad_() for _ in range(3))
    mask = torch.arange(tokens) < torch.tensor([[3], [tokens]]) if masked else None
    made, wanted = attend(q, k, v, mask), _slow(q, k, v, mask)
    tolerance: dict[str, Any] = dict(atol=0.03 if dtype == torch.bfloat16 else 1e-5, rtol=0)
    torch.testing.assert_close(made.double(), wanted, **tolerance)
    got = torch.autograd.grad(made.square().sum(), (q, k, v))
    right = torch.autograd.grad(wanted.square().sum(), (q, k, v))
    for one, other in zip(got, right, strict=True):
        size = other.abs().max()
        torch.testing.assert_close(one / size, other / size, **tolerance)


@pytest.mark.parametrize(("config", "packing"), [(U_NET, "grid"), (U_NET, "row"), (DIT, "grid")])
@pytest.mark.parametrize("condition", [None, 6])
def test_denoisers_attend_by_a_fused_kernel(
    config: DenoiserConfig, packing: Any, condition: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen: list[int] = []

    def noted(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None) -> Tensor:
        chosen.append(torch._fused_sdp_choice(q, k, v, attn_mask=attn_mask))
        assert q.stride(-1) == k.stride(-1) == v.stride(-1) == 1, "kernels of GPUs want it too"
        return fused(q, k, v, attn_mask=attn_mask)

    fused = F.scaled_dot_product_attention
    monkeypatch.setattr(F, "scaled_dot_product_attention", noted)
    shapes: Sequence[tuple[int, int, int]] = [(4, 8, 8)] * 3
    denoiser = config.build(shapes, packing, condition)
    cond = None
    if condition is not None:
        cond = Conditioning(torch.randn(2, 5, condition), torch.ones(2, 5, dtype=torch.bool))
    z = torch.randn(2, *LatentSpace.identity(shapes, packing).shape)
    denoiser(z, torch.tensor([0.2, 0.7]), cond)
    assert chosen
    assert set(chosen) == {FLASH}
