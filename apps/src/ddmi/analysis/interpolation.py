"""Ways from one generated function to another, along a sphere of the noise that both grow from."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ddmi.pipeline import DDMI
from ddmi_diffusion import encode_prompts, seeded_normal
from ddmi_fields import ImplicitFunction


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
def interpolated(model: DDMI, first: int, second: int, *, seed: int, parts: int) -> ImplicitFunction:
    """Functions on the way from sample number `first` of a seed to number `second`; both ends are those samples.

    A sampler without noise of its own is taken where the recipe's has some: otherwise neighbours would not be alike.
    """
    if model.latent_space is None or model.diffusion is None:
        raise ValueError("interpolation: this model has no second stage; train it with `--stage diffusion --resume`")
    config = model.experiment.diffusion
    ends = seeded_normal(seed, [first, second], *model.latent_space.shape)
    latents = model.diffusion.sample(
        parts,
        seed=seed,
        num_steps=config.num_steps,
        sampler="ddim" if config.sampler == "ddpm" else config.sampler,
        cond=None if model.conditioner is None else encode_prompts(model.conditioner, [""], model.device),
        noise=slerp(ends[0], ends[1], parts),
    )
    return model.decode(latents)
