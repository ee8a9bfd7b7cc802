"""Layers of the read-outs: plain residual blocks, and blocks whose weights are modulated by a style."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


def sinusoidal_embedding(values: Float[Tensor, " batch"], width: int) -> Float[Tensor, "batch width"]:
    """Sines, then cosines, of `values` at width / 2 frequencies from 1 down to 1/10000; the last cosine is left out of
    an odd width."""
    half = (width + 1) // 2
    frequencies = torch.exp(-math.log(10000.0) / max(half - 1, 1) * torch.arange(half, device=values.device))
    angles = values[:, None] * frequencies
    return torch.cat((angles.sin(), angles.cos()), dim=-1)[:, :width]


class ResidualBlock(nn.Module):
    """`h + W_2 relu(W_1 relu(h))`, with a linear shortcut where the width changes (pre-activation)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.inner = nn.Linear(inputs, outputs)
        self.outer = nn.Linear(outputs, outputs)
        self.shortcut = nn.Linear(inputs, outputs, bias=False) if inputs != outputs else None
        nn.init.zeros_(self.outer.weight)

    def forward(self, h: Float[Tensor, "batch query _"], style: Tensor | None = None) -> Float[Tensor, "batch query _"]:
        skip = h if self.shortcut is None else self.shortcut(h)
        return skip + self.outer(F.relu(self.inner(F.relu(h)), inplace=True))


class ModulatedLinear(nn.Module):
    """A linear layer whose input channels are scaled by a style, and whose outputs are brought back to unit variance.

    `w'_ij = s_j w_ij`, `w''_ij = w'_ij / sqrt(sum_j w'_ij^2 + 1e-8)` (StyleGAN2, eq. 1-3).  Weights are stored
    with unit variance and scaled at run time (equalised learning rate).
    """

    def __init__(self, inputs: int, outputs: int, *, style: int, demodulate: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.modulation = nn.Parameter(torch.randn(inputs, style))
        self.modulation_bias = nn.Parameter(torch.ones(inputs))
        self.demodulate = demodulate

    def modulated_weight(self, style: Float[Tensor, "batch style"]) -> Float[Tensor, "batch outputs inputs"]:
        """w'', rounded once where weights are in half precision."""
        exact = torch.promote_types(self.weight.dtype, torch.float32)
        style, modulation, bias = (one.to(exact) for one in (style, self.modulation, self.modulation_bias))
        scale = F.linear(style * style.shape[1] ** -0.5, modulation, bias)
        weight = self.weight.to(exact) * (scale * self.weight.shape[1] ** -0.5)[:, None]
        if self.demodulate:
            weight = weight * torch.rsqrt(weight.square().sum(-1, keepdim=True) + 1e-8)
        return weight.to(self.weight.dtype)

    def forward(
        self, h: Float[Tensor, "batch query inputs"], style: Float[Tensor, "styles style"], gain: float = 1.0
    ) -> Float[Tensor, "batch query outputs"]:
        """`gain` times the layer; on the weights it costs nothing, on the outputs a pass over all queries."""
        weight, bias = self.modulated_weight(style) * gain, self.bias * gain
        if weight.shape[0] == 1:
            return F.linear(h, weight[0], bias)
        return torch.baddbmm(bias, h, weight.transpose(1, 2))

    def prepared(self, style: Float[Tensor, "styles style"], gain: float = 1.0) -> tuple[Tensor, Tensor]:
        """Weight and bias of `gain` times the layer: (outputs, inputs) of one style, of several one each."""
        weight, bias = self.modulated_weight(style) * gain, (self.bias * gain)[None]
        return (weight[0], bias) if len(weight) == 1 else (weight, bias.expand(len(weight), 1, -1))


def read_joined(parts: Sequence[Tensor], weight: Tensor, bias: Tensor) -> Tensor:
    """`weight [part_1, part_2, ..] + bias` without laying the parts side by side; no gradient is followed.

    `weight` is (outputs, inputs), or (batch, outputs, inputs) for a layer of each function, `bias` (..., 1, outputs).
    """
    widths = [part.shape[-1] for part in parts]
    (first, *others), (own, *more) = parts, weight.split(widths, dim=-1)
    out = F.linear(first, own, bias[0]) if weight.ndim == 2 else torch.baddbmm(bias, first, own.mT)
    for part, own in zip(others, more, strict=True):
        part, own = part.to(out.dtype), own.to(out.dtype)  # autocast does not see what is done in place
        if weight.ndim == 2:
            out.view(-1, out.shape[-1]).addmm_(part.flatten(0, -2), own.mT)
        else:
            out.baddbmm_(part, own.mT)
    return out


class StyledBlock(nn.Module):
    """Modulated layers with leaky ReLUs of gain sqrt(2), and a shortcut: `(layers(h) + shortcut(h)) / sqrt(2)`."""

    def __init__(self, inputs: int, outputs: int, *, style: int, layers: int = 3) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            ModulatedLinear(inputs if i == 0 else outputs, outputs, style=style) for i in range(layers)
        )
        self.shortcut = nn.Parameter(torch.randn(outputs, inputs)) if inputs != outputs else None

    def forward(self, h: Float[Tensor, "batch query _"], style: Tensor) -> Float[Tensor, "batch query _"]:
        # (sqrt(2) leaky(x) + skip) / sqrt(2) = leaky(x) + skip / sqrt(2), and sqrt(2) leaky(x) = leaky(sqrt(2) x)
        skip = h if self.shortcut is None else F.linear(h, self.shortcut * self.shortcut.shape[1] ** -0.5)
        for i, layer in enumerate(self.layers):
            gain = math.sqrt(2) if i + 1 < len(self.layers) else 1.0
            h = F.leaky_relu(layer(h, style, gain), 0.2, inplace=True)
        return torch.add(h, skip, alpha=1 / math.sqrt(2))

    def prepared(self, style: Float[Tensor, "styles style"]) -> Callable[[Sequence[Tensor]], Tensor]:
        """The block of a style, or of one for each function, for reading: from the parts of its input to its output.

        Weights are modulated once, and the shortcut, which reads what the first layer reads, is one product with it.
        """
        *inner, last = list[Any](self.layers)
        prepared = [*(layer.prepared(style, math.sqrt(2)) for layer in inner), last.prepared(style)]
        (weight, bias), *others = prepared
        width = weight.shape[-2]
        if self.shortcut is not None:
            shortcut = self.shortcut * (2 * self.shortcut.shape[1]) ** -0.5
            weight = torch.cat((weight, shortcut.expand(*weight.shape[:-2], -1, -1)), dim=-2)
            bias = torch.cat((bias, torch.zeros_like(bias)), dim=-1)

        def read(parts: Sequence[Tensor]) -> Tensor:
            h = read_joined(parts, weight, bias)
            skip, share = parts[0], 1 / math.sqrt(2)
            if self.shortcut is not None:
                h, skip, share = h[..., :width], h[..., width:], 1.0
            h = F.leaky_relu(h, 0.2, inplace=True)
            for layer in others:
                h = F.leaky_relu(read_joined([h], *layer), 0.2, inplace=True)
            return h.add_(skip, alpha=share)

        return read
