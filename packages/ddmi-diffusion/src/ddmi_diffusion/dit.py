"""`PlaneDiT`: a diffusion transformer on patches of any number and sizes of latent planes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from ddmi_diffusion.attention import attend
from ddmi_diffusion.conditioning import Conditioning
from ddmi_diffusion.denoiser import DenoiserConfig, PlaneDenoiser
from ddmi_diffusion.latent_space import Packing, PlaneShape, split_planes
from ddmi_diffusion.unet import span_network, timestep_embedding


class Attention(nn.Module):
    """Multi-head attention of tokens to themselves, or to the tokens of a condition."""

    def __init__(self, width: int, heads: int, source: int | None = None) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(source or width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, source: Tensor, mask: Tensor | None = None) -> Tensor:
        q, k, v = (
            rearrange(part, "b n (h d) -> b h n d", h=self.heads)
            for part in (self.query(x), *self.key_value(source).chunk(2, dim=-1))
        )
        return self.out(rearrange(attend(q, k, v, mask), "b h n d -> b n (h d)"))


class DiTBlock(nn.Module):
    """Attention, cross-attention where there is a condition, and MLP; the time shifts, scales and gates (adaLN-Zero).

    Peebles and Xie, Scalable Diffusion Models with Transformers, 2023.
    """

    def __init__(self, width: int, heads: int, condition: int | None) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, elementwise_affine=False)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, elementwise_affine=False)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width))
        self.modulation = nn.Linear(width, 6 * width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)
        if condition is not None:
            self.cross_norm = nn.LayerNorm(width)
            self.cross = Attention(width, heads, condition)
            nn.init.zeros_(self.cross.out.weight)
            nn.init.zeros_(self.cross.out.bias)
        self.conditional = condition is not None

    def forward(self, x: Tensor, time: Tensor, cond: Conditioning | None) -> Tensor:
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(F.silu(time))[:, None].chunk(6, dim=-1)
        h = self.norm1(x) * (1 + scale1) + shift1
        x = x + gate1 * self.attention(h, h)
        if self.conditional and cond is not None:
            x = x + self.cross(self.cross_norm(x), cond.tokens.to(x.dtype), cond.mask)
        return x + gate2 * self.mlp(self.norm2(x) * (1 + scale2) + shift2)


@dataclass(frozen=True, kw_only=True)
class DiTConfig(DenoiserConfig):
    """The transformer over patches of latent planes.

    Examples:
        >>> DiTConfig(width=64, depth=1, head_channels=32).build([(4, 8, 8)], "grid").__class__.__name__
        'PlaneDiT'
    """

    width: int = 384
    """Channels of a token."""
    depth: int = 12
    """Blocks."""
    head_channels: int = 64
    """Of an attention head; a head is never wider than the token."""
    patch: int = 1
    """Cells a side of a token."""
    mean_flow: bool = False
    """It also takes the span of time that a step goes back, and predicts the mean velocity over it, see
    `MeanFlowObjective`."""

    def build(self, plane_shapes: Sequence[PlaneShape], packing: Packing, condition: int | None = None) -> PlaneDiT:
        return PlaneDiT(plane_shapes, packing, self, condition=condition)


class PlaneDiT(PlaneDenoiser):
    """Transformer over the patches of all latent planes together, with a learned position for each.

    Args:
        plane_shapes: (channels, rows, columns) of each latent plane; sides divisible by the patch.
        packing: how the latent comes, see `LatentSpace`.
        config: its sizes.
        condition: width of the conditioning tokens for cross-attention, or None.

    Examples:
        >>> denoiser = PlaneDiT([(4, 8, 8)], config=DiTConfig(width=64, depth=1, head_channels=32, patch=2))
        >>> denoiser(torch.randn(2, 4, 8, 8), torch.tensor([10.0, 900.0])).shape
        torch.Size([2, 4, 8, 8])
    """

    def __init__(
        self,
        plane_shapes: Sequence[PlaneShape],
        packing: Packing = "grid",
        config: DiTConfig | None = None,
        *,
        condition: int | None = None,
    ) -> None:
        config = config or DiTConfig()
        super().__init__(plane_shapes, packing, config, condition)
        width, patch = config.width, config.patch
        heads = max(1, width // config.head_channels)
        if width % heads or width % 2:
            raise ValueError(
                f"PlaneDiT: width {width} must be even and divisible by its {heads} heads; choose another width, or "
                f"head_channels other than {config.head_channels}"
            )
        odd = [shape for shape in self.plane_shapes if shape[1] % patch or shape[2] % patch]
        if odd:
            raise ValueError(f"PlaneDiT: planes of {odd} cannot be cut into patches of {patch}; choose patch=1")
        self.patch = patch
        self.width = width
        values = self.plane_shapes[0][0] * patch**2
        tokens = sum(h * w for _, h, w in self.plane_shapes) // patch**2
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.span = span_network(width, width) if config.mean_flow else None
        self.stem = nn.Linear(values, width)
        self.position = nn.Parameter(0.02 * torch.randn(tokens, width))
        self.blocks = nn.ModuleList(DiTBlock(width, heads, condition) for _ in range(config.depth))
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, values)
        for layer in (self.modulation, self.out):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(
        self,
        z: Float[Tensor, "batch *packed"],
        t: Float[Tensor, " batch"],
        cond: Conditioning | None = None,
        span: Float[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, "batch *packed"]:
        """The prediction at noisy latents `z` and times `t` in [0, 1000); of a mean flow, over [t - span, t]."""
        if cond is not None and self.condition is None:
            raise ValueError("PlaneDiT: got a condition, but was built without one; pass condition=WIDTH")
        p = self.patch
        planes = split_planes(z, self.plane_shapes, self.packing)
        tokens = [rearrange(plane, "b c (h p) (w q) -> b (h w) (c p q)", p=p, q=p) for plane in planes]
        time = self.time(timestep_embedding(t, self.width).to(self.stem.weight.dtype))
        if self.span is not None:
            time = time + self.span(
                timestep_embedding(torch.zeros_like(t) if span is None else span, self.width).to(time)
            )
        x = self.stem(torch.cat(tokens, dim=1)) + self.position
        for block in self.blocks:
            x = block(x, time, cond)
        shift, scale = self.modulation(F.silu(time))[:, None].chunk(2, dim=-1)
        x = self.out(self.norm(x) * (1 + scale) + shift)
        parts = x.split([one.shape[1] for one in tokens], dim=1)
        planes = [
            rearrange(part, "b (h w) (c p q) -> b c (h p) (w q)", h=shape[1] // p, p=p, q=p)
            for part, shape in zip(parts, self.plane_shapes, strict=True)
        ]
        return torch.cat([q.flatten(2) for q in planes], dim=2) if self.packing == "row" else torch.cat(planes, dim=1)
