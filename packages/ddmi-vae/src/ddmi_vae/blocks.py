"""Convolutional blocks on planes, and attention that mixes planes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from einops import rearrange, reduce, repeat
from jaxtyping import Float
from torch import Tensor, nn

from ddmi_vae.attention import attend

Plane = Float[Tensor, "batch _ _ _"]
Mixing = Literal["none", "channels", "tokens"]


def in_precision_of(module: nn.Module, x: Tensor) -> Tensor:
    """A tensor as the weights of the module are that reads it; as it is where there are none."""
    return x.to(next((weight.dtype for weight in module.parameters()), x.dtype))


def on_each(layer: Callable[..., Tensor], planes: Sequence[Plane], *given: Sequence[Any]) -> list[Plane]:
    """`layer(plane, ...)` of every plane, and what is `given` for it.

    Planes of one size with equal others go through it as one batch: small planes cost a call more than their sums.
    """
    alike: dict[Any, list[int]] = {}
    for i, plane in enumerate(planes):
        alike.setdefault((plane.shape, *(one[i] for one in given)), []).append(i)
    made: dict[int, Plane] = {}
    for (_, *others), places in alike.items():
        batch = planes[places[0]] if len(places) == 1 else torch.cat([planes[i] for i in places])
        made.update(zip(places, layer(batch, *others).chunk(len(places)), strict=True))
    return [made[i] for i in range(len(planes))]


def group_norm(channels: int, groups: int) -> nn.GroupNorm:
    """GroupNorm with eps 1e-6 and at most `groups` groups, of equal size.  ValueError for less than one."""
    if groups < 1:
        raise ValueError(f"group_norm: wanted at least 1 group, got {groups}; give more")
    while channels % groups:
        groups -= 1
    return nn.GroupNorm(groups, channels, eps=1e-6)


class ConvBlock(nn.Module):
    """Residual block: (GroupNorm, SiLU, 3x3) twice, 1x1 shortcut where the width changes."""

    def __init__(self, inputs: int, outputs: int, *, groups: int = 32) -> None:
        super().__init__()
        self.norm1 = group_norm(inputs, groups)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2 = group_norm(outputs, groups)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else None

    def forward(self, x: Plane) -> Plane:
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        return h + (x if self.shortcut is None else self.shortcut(x))


class TokenAttention(nn.Module):
    """Residual self-attention over tokens (batch, channel, token), scale 1 / sqrt(channels per head)."""

    def __init__(self, channels: int, *, heads: int = 1, groups: int = 32) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"TokenAttention: {channels} channels cannot be split into {heads} heads")
        self.heads = heads
        self.norm = group_norm(channels, groups)
        self.query, self.key, self.value, self.out = (nn.Conv1d(channels, channels, 1) for _ in range(4))

    def forward(self, x: Float[Tensor, "batch channel token"]) -> Float[Tensor, "batch channel token"]:
        h = self.norm(x)
        query, key, value = (
            map_(h).unflatten(1, (self.heads, -1)).transpose(2, 3) for map_ in (self.query, self.key, self.value)
        )
        return x + self.out(attend(query, key, value).transpose(2, 3).flatten(1, 2))


class PlaneAttention(TokenAttention):
    """Self-attention over the cells of one plane."""

    def forward(self, x: Plane) -> Plane:
        return super().forward(x.flatten(2)).unflatten(2, x.shape[2:])


class PlaneMixing(nn.Module):
    """Lets planes see each other.

    "none": they do not.  "channels": equal planes are stacked on channels and go through block, attention, block.
    "tokens": attention over the tokens of all planes, of any sizes.
    """

    def __init__(self, mixing: Mixing, planes: int, channels: int, *, groups: int = 32, heads: int = 1) -> None:
        super().__init__()
        if mixing not in ("none", "channels", "tokens"):
            raise ValueError(f"PlaneMixing: mixing must be 'none', 'channels' or 'tokens', got {mixing!r}")
        self.mixing: Mixing = mixing
        stacked = planes * channels
        self.layers: nn.Module = nn.Identity()
        if mixing == "channels":
            self.layers = nn.Sequential(
                ConvBlock(stacked, stacked, groups=groups),
                PlaneAttention(stacked, heads=heads, groups=groups),
                ConvBlock(stacked, stacked, groups=groups),
            )
        elif mixing == "tokens":
            self.layers = TokenAttention(channels, heads=heads, groups=groups)

    def forward(self, planes: list[Tensor]) -> list[Tensor]:
        if self.mixing == "channels":
            shapes = {tuple(plane.shape) for plane in planes}
            if len(shapes) > 1:
                raise ValueError(f"mixing='channels' needs planes of one size, got {sorted(shapes)}; use 'tokens'")
            return list(self.layers(torch.cat(planes, dim=1)).chunk(len(planes), dim=1))
        if self.mixing == "tokens":
            counts = [plane.shape[-2] * plane.shape[-1] for plane in planes]
            mixed = self.layers(torch.cat([plane.flatten(2) for plane in planes], dim=2)).split(counts, dim=2)
            return [one.unflatten(2, plane.shape[2:]) for one, plane in zip(mixed, planes, strict=True)]
        return planes


class _StridedConv(nn.Conv2d):
    """A convolution whose stride comes with the call, so that hooks see it as they see any other."""

    def forward(self, input: Plane, stride: tuple[int, int] = (1, 1)) -> Plane:
        return F.conv2d(input, self.weight, self.bias, stride=stride)


class Downsample(nn.Module):
    """3x3 convolution of stride 2 along the scaled axes, padded by one cell at the right and bottom only there.

    Sides are even where they are scaled.  `shortcut` adds the cells themselves: those that become one go to different
    channels, each the mean of as many input channels (residual autoencoding: Chen et al., Deep Compression Autoencoder,
    2025).
    """

    def __init__(self, channels: int, *, shortcut: bool = False) -> None:
        super().__init__()
        self.conv = _StridedConv(channels, channels, 3)
        self.shortcut = shortcut

    def forward(self, x: Plane, scaled: tuple[bool, bool]) -> Plane:
        r, c = (1 + one for one in scaled)
        if x.shape[2] % r or x.shape[3] % c:
            raise ValueError(f"Downsample: sides {tuple(x.shape[2:])} cannot be divided by {(r, c)}; pad or resize")
        h = self.conv(F.pad(x, (0 if c == 2 else 1, 1, 0 if r == 2 else 1, 1)), (r, c))
        if not self.shortcut:
            return h
        return h + reduce(x, "b (g k) (h r) (w c) -> b (g r c) h w", "mean", r=r, c=c, k=r * c)


class Upsample(nn.Module):
    """Nearest doubling along the scaled axes, then a 3x3 convolution.

    `shortcut` adds the inverse of that of `Downsample`: channels become cells, each repeated.
    """

    def __init__(self, channels: int, *, shortcut: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.shortcut = shortcut

    def forward(self, x: Plane, scaled: tuple[bool, bool]) -> Plane:
        r, c = (1 + one for one in scaled)
        h = self.conv(repeat(x, "b d h w -> b d (h r) (w c)", r=r, c=c))
        if not self.shortcut:
            return h
        cells = rearrange(x, "b (g r c) h w -> b g (h r) (w c)", r=r, c=c)
        return h + repeat(cells, "b g h w -> b (g k) h w", k=r * c)


def check_shortcuts(widths: list[int]) -> None:
    """Raises ValueError where shortcuts around sampling could not share out the channels."""
    if any(width % 4 for width in widths):
        raise ValueError(f"shortcuts: levels of {widths} channels; four cells become one, so use multiples of 4")
