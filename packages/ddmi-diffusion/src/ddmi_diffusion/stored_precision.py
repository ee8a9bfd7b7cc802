"""Weights in fewer bits on disk.  What computes is single precision as ever, of the numbers that the bits stand for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

Precision = Literal["full", "half", "int8"]
"""Bits a number: 32, 16, or 8 with a scale for each row (output channel) of a matrix."""

SCALE = ".scale"
"""What the name of a tensor of scales ends with."""
HALF = torch.finfo(torch.half).max
SMALL = 4096
"""Numbers of a tensor from which bits count; smaller ones, norms and biases among them, stay in half precision."""


def stored(weights: Mapping[str, Tensor], precision: Precision) -> dict[str, Tensor]:
    """As they are written: in half precision, or rows of matrices as `scale * n` with whole n from -127 to 127."""
    if precision == "full":
        return dict(weights)
    found: dict[str, Tensor] = {}
    for name, value in weights.items():
        if precision == "half" or value.ndim < 2 or value.numel() < SMALL or not value.is_floating_point():
            found[name] = value.half() if value.is_floating_point() else value
            if value.isfinite().all() and not found[name].isfinite().all():
                raise ValueError(f"{name!r} has numbers beyond half precision ({HALF:g}); keep it in full precision")
            continue
        rows = value.float().flatten(1)
        scale = rows.abs().amax(dim=1).clamp(min=1e-30) / 127
        found[name] = (rows / scale[:, None]).round().to(torch.int8).view(value.shape)
        found[name + SCALE] = scale
    return found


def restored(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What was written, as numbers."""
    eight_bits = {name: value.dtype == torch.int8 for name, value in tensors.items()}
    found: dict[str, Tensor] = {}
    for name, value in tensors.items():
        if is_scale(name, eight_bits):
            continue
        if eight_bits[name]:
            if name + SCALE not in tensors:
                raise ValueError(f"{name!r} has eight bits, and there is no {name + SCALE!r}; restore the file")
            scale = tensors[name + SCALE].float()
            if scale.shape != value.shape[:1]:
                raise ValueError(
                    f"{name + SCALE!r} is {tuple(scale.shape)}, and {name!r} has {len(value)} rows; restore the file"
                )
            value = value.float() * scale.view(-1, *[1] * (value.ndim - 1))
        found[name] = value
    return found


def is_scale(name: str, eight_bits: Mapping[str, bool]) -> bool:
    """Whether a tensor holds the scales of another, which has eight bits."""
    return name.endswith(SCALE) and eight_bits.get(name.removesuffix(SCALE), False)
