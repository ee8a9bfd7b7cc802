"""Layers of the space-time transformer: attention along one set of tokens, turned by their positions."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from ddmi_fields import cell_centres
from ddmi_vae.attention import attend

Turn = tuple[Float[Tensor, "_ channel"], Float[Tensor, "_ channel"]]
"""Cosines and sines by which the queries and keys of each token are turned, channel by channel in pairs."""

FINEST = 8
"""Half turns from the middle of a clip or frame to its border, of the channels that turn fastest."""


class Attention(nn.Module):
    """Multi-head self-attention of sequences of tokens."""

    def __init__(self, width: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * heads * head_width, bias=False)
        self.out = nn.Linear(heads * head_width, width)

    def forward(self, x: Float[Tensor, "batch token width"], turn: Turn | None = None) -> Tensor:
        q, k, v = rearrange(self.qkv(x), "b n (s h d) -> s b h n d", s=3, h=self.heads)
        if turn is not None:
            q, k = _turned(q, turn), _turned(k, turn)
        return self.out(rearrange(attend(q, k, v), "b h n d -> b n (h d)"))


def _turned(x: Float[Tensor, "batch head token channel"], turn: Turn) -> Tensor:
    cosine, sine = (part.to(x.dtype) for part in turn)
    first, second = x[..., ::2], x[..., 1::2]
    return x * cosine + torch.stack((-second, first), dim=-1).flatten(-2) * sine


class GatedFeedForward(nn.Module):
    """`W_2 (a * gelu(b))` with `a, b = W_1 x` (Shazeer 2020)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.inner = nn.Linear(width, 2 * hidden)
        self.outer = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        values, gates = self.inner(x).chunk(2, dim=-1)
        return self.outer(values * F.gelu(gates))


class SpaceTimeLayer(nn.Module):
    """Attention over time at each place, then over space in each frame, then a feed-forward layer; all residual.

    Divided attention: Bertasius et al., Is Space-Time Attention All You Need for Video Understanding?, 2021.
    """

    def __init__(self, width: int, heads: int, head_width: int, hidden: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.time = Attention(width, heads, head_width)
        self.space = Attention(width, heads, head_width)
        self.feed_forward = GatedFeedForward(width, hidden)

    def forward(
        self, x: Float[Tensor, "batch frame place width"], in_time: Turn, in_space: Turn
    ) -> Float[Tensor, "batch frame place width"]:
        batch, frames, places, _ = x.shape
        seen = self.time(rearrange(self.norms[0](x), "b t n d -> (b n) t d"), in_time)
        x = x + rearrange(seen, "(b n) t d -> b t n d", n=places)
        seen = self.space(rearrange(self.norms[1](x), "b t n d -> (b t) n d"), in_space)
        x = x + seen.reshape(batch, frames, places, -1)
        return x + self.feed_forward(self.norms[2](x))


class Positions(nn.Module):
    """The turns of tokens by their place in the clip: rotary embeddings of cell centres in [-1, 1], along each axis.

    Half of a head's channels turn with the row, half with the column; in attention over time all turn with the frame.
    No number of frames or patches is built in.
    """

    def __init__(self, head_width: int) -> None:
        super().__init__()
        if head_width % 4:
            raise ValueError(f"SpaceTimeEncoder: the channels of a head are turned in fours, got {head_width}")
        self.head_width = head_width

    def time(self, frames: int, device: torch.device) -> Turn:
        """Of the frames of a clip."""
        return _turn(self._angles(frames, self.head_width // 2, device))

    def space(self, rows: int, columns: int, device: torch.device) -> Turn:
        """Of the patches of a frame, row by row."""
        down, right = (self._angles(count, self.head_width // 4, device) for count in (rows, columns))
        return _turn(torch.cat((down.repeat_interleave(columns, 0), right.repeat(rows, 1)), dim=-1))

    def _angles(self, count: int, frequencies: int, device: torch.device) -> Float[Tensor, "token frequency"]:
        scales = torch.logspace(0, math.log2(FINEST), frequencies, base=2.0, device=device)
        return math.pi * cell_centres(count, device=device)[:, None] * scales


def _turn(angles: Float[Tensor, "token frequency"]) -> Turn:
    channels = angles.repeat_interleave(2, dim=-1)
    return channels.cos(), channels.sin()


class AxisPooling(nn.Module):
    """A sequence of tokens to one vector: a small transformer's output at a learned token.

    Positions are sines and cosines of the cell centres, so that a sequence has any length.
    """

    def __init__(self, width: int, *, depth: int, heads: int, head_width: int, hidden: int) -> None:
        super().__init__()
        self.token = nn.Parameter(0.02 * torch.randn(width))
        self.attentions = nn.ModuleList(Attention(width, heads, head_width) for _ in range(depth))
        self.feed_forwards = nn.ModuleList(
            nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width)) for _ in range(depth)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * depth))

    def sequence(self, x: Float[Tensor, "batch token width"]) -> Float[Tensor, "batch _ width"]:
        """The tokens with their positions, after the learned one."""
        scales = torch.logspace(0, math.log2(FINEST), x.shape[2] // 2, base=2.0, device=x.device)
        angles = math.pi * cell_centres(x.shape[1], device=x.device)[:, None] * scales
        placed = x + torch.cat((angles.sin(), angles.cos()), dim=-1).to(self.token.dtype)
        return torch.cat((self.token.expand(len(x), 1, -1), placed), dim=1)

    def forward(self, x: Float[Tensor, "batch token width"]) -> Float[Tensor, "batch width"]:
        h = self.sequence(x)
        for i, (attention, feed_forward) in enumerate(zip(self.attentions, self.feed_forwards, strict=True)):
            h = h + attention(self.norms[2 * i](h))
            h = h + feed_forward(self.norms[2 * i + 1](h))
        return h[:, 0]
