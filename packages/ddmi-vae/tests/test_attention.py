"""Attention of planes: the same values by every way of computing it, and a fused kernel."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ddmi_vae.attention import FEW_TOKENS, attend
from ddmi_vae.blocks import PlaneAttention, PlaneMixing

FLASH = torch.nn.attention.SDPBackend.FLASH_ATTENTION.value


@pytest.mark.parametrize("tokens", [5, FEW_TOKENS + 16], ids=["short", "long"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.03)])
def test_values_are_those_of_the_formula(dtype: torch.dtype, tolerance: float, tokens: int) -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 2, 8, tokens, generator=generator).to(dtype).mT.requires_grad_() for _ in range(3))
    slow = (q.double() @ k.double().mT / 8**0.5).softmax(-1) @ v.double()
    torch.testing.assert_close(attend(q, k, v).double(), slow, atol=tolerance, rtol=0)


@pytest.mark.parametrize("layer", [PlaneAttention(16, heads=2), PlaneMixing("tokens", 2, 16, heads=2)])
def test_layers_attend_by_a_fused_kernel(layer: torch.nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[int] = []

    def noted(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        chosen.append(torch._fused_sdp_choice(q, k, v))
        assert q.stride(-1) == k.stride(-1) == v.stride(-1) == 1, "kernels of GPUs want it too"
        return fused(q, k, v)

    fused = F.scaled_dot_product_attention
    monkeypatch.setattr(F, "scaled_dot_product_attention", noted)
    plane = torch.randn(2, 16, 8, 8)
    layer([plane, plane] if isinstance(layer, PlaneMixing) else plane)
    assert chosen == [FLASH]
