"""Random points that cover a cube evenly: sums over them vary less than over independent ones."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def even_points(shifts: Float[Tensor, "batch axis"], count: int) -> Float[Tensor, "batch count axis"]:
    """`(shift + i a) mod 1` for i < `count`, in float64, with `a_k = phi^-k` and `phi^(axes + 1) = phi + 1`.

    The additive recurrence R_d (Roberts 2018, "The unreasonable effectiveness of quasirandom sequences").  With uniform
    shifts every point is uniform in [0, 1)^axes (Cranley and Patterson 1976), so that means over points are unbiased.
    """
    axes, phi = shifts.shape[1], 2.0
    for _ in range(64):
        phi = (1 + phi) ** (1 / (axes + 1))
    steps = phi ** -torch.arange(1, axes + 1, dtype=torch.float64)
    return (shifts[:, None].double() + torch.arange(count)[:, None] * steps) % 1
