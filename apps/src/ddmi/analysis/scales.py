"""What each scale of the basis fields contributes: read-outs with one of them switched off."""

from __future__ import annotations

import torch

from ddmi_fields import BasisField, ImplicitFunction


def without_scale(function: ImplicitFunction, scale: int) -> ImplicitFunction:
    """The functions with the embedding of one scale set to zero.  `scale` counts from 1, the coarsest."""
    fields = function.basis.fields
    if not 1 <= scale <= len(fields):
        raise ValueError(f"without_scale: scale {scale} of {len(fields)}; they count from 1, the coarsest")
    chosen = [
        [torch.zeros_like(plane) if number == scale else plane for plane in planes]
        for number, planes in enumerate(fields, start=1)
    ]
    return function.with_basis(BasisField(function.basis.layout, chosen, function.basis.reduction))
