"""Ways from one generated function to another, along a sphere of the noise that both grow from."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ddmi.pipeline import DDMI


def slerp(start: Float[Tensor, "*packed"], end: Float[Tensor, "*packed"], parts: int) -> Float[Tensor, "part *packed"]:
    """`parts` points along the great circle, both ends among them: noise between keeps the length that noise has.

    `sin((1 - t) a) / sin(a) start + sin(t a) / sin(a) end` with a the angle between both (Shoemake 1985); a straight
    line where they point alike.  Raises ValueError for fewer than two parts.
    """
    if parts < 2:
        raise ValueError(f"slerp: a way has both of its ends, so at least 2 parts; got {parts}")
    t = torch.linspace(0, 1, parts, dtype=torch.float64).reshape(-1, *[1] * start.ndim)
    a, b = start.double(), end.double()
    angle = torch.acos((a.flatten() @ b.flatten() / (a.norm() * b.norm())).clamp(-1, 1))
    if angle.sin() < 1e-6:
        return torch.lerp(a, b, t).to(start)
    return ((torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / angle.sin()).to(start)


@torch.no_grad()
def interpolated(
    model: DDMI, ends: Float[Tensor, "2 *packed"], parts: int, **how: Any
) -> Float[Tensor, "part *packed"]:
    """Packed latents on the way from the function of one noise to that of another; both ends are those functions.

    A sampler without noise of its own is taken where the recipe's has some: otherwise neighbours would not be alike.

    Args:
        ends: `seeded_normal` of two samples.
        parts: see `slerp`.
        how: of `DDMI.sample_latents`: sampler, num_steps, prompts, guidance_scale.
    """
    sampler = how.pop("sampler", None) or model.experiment.diffusion.sampler
    sampler = "ddim" if sampler == "ddpm" else sampler
    return model.sample_latents(parts, sampler=sampler, noise=slerp(ends[0], ends[1], parts), **how)
