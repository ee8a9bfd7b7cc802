"""Spectral-norm regularisation of a module's convolutions (as in NVAE)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


def convolution_matrices(module: nn.Module) -> list[Float[Tensor, "out rest"]]:
    """All convolution kernels flattened to (out, rest), in the order of `named_modules`."""
    return [m.weight.flatten(1) for m in module.modules() if isinstance(m, nn.Conv1d | nn.Conv2d)]


class SpectralRegulariser(nn.Module):
    """Sum of the largest singular values of a module's convolution kernels, by power iteration.

    The vectors are kept between calls: a few iterations a step follow the weights (`first` iterations at the start).
    The gradient flows through `u^T W v` only (Miyato et al. 2018).
    """

    def __init__(self, module: nn.Module, *, first: int = 40, each: int = 4) -> None:
        super().__init__()
        self._module = [module]  # held in a list: its weights belong to the model, not to the regulariser
        self.each = each
        generator = torch.Generator().manual_seed(0)
        weights = convolution_matrices(module)
        if not weights:
            raise ValueError(f"SpectralRegulariser: {type(module).__name__} has no convolutions to regularise")
        for i, weight in enumerate(weights):
            left = F.normalize(torch.randn(weight.shape[0], generator=generator), dim=0)
            self.register_buffer(f"left_{i}", left.to(weight.device))
            self._iterate(i, weight, first)

    @torch.no_grad()
    def _iterate(self, i: int, weight: Tensor, count: int) -> Tensor:
        left = getattr(self, f"left_{i}")
        weight = weight.detach().float()
        for _ in range(count):
            right = F.normalize(weight.T @ left, dim=0)
            left = F.normalize(weight @ right, dim=0)
        setattr(self, f"left_{i}", left)
        return F.normalize(weight.T @ left, dim=0)

    def forward(self) -> Float[Tensor, ""]:
        weights = convolution_matrices(self._module[0])
        with torch.autocast(device_type=weights[0].device.type, enabled=False):
            norms = []
            for i, weight in enumerate(weights):
                right = self._iterate(i, weight, self.each)
                norms.append(getattr(self, f"left_{i}").clone() @ (weight.float() @ right))
            return torch.stack(norms).sum()
