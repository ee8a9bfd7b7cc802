"""Clips to moments of three planes: a factorised space-time transformer, pooled along each axis in turn."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from ddmi_fields import PlaneLayout
from ddmi_modalities.video.networks.transformer import AxisPooling, Positions, SpaceTimeLayer
from ddmi_vae import EncoderConfig, Planes
from ddmi_vae.blocks import in_precision_of

POOLED = {"xy": "(b y x) t d", "yt": "(b t y) x d", "xt": "(b t x) y d"}
"""For each plane of `PlaneLayout.video()` its sequences, along the axis that it does not have."""


def cosine_modes(length: int, modes: int) -> Float[Tensor, "modes length"]:
    """The first modes of the orthonormal cosine transform (DCT-II) of a line; those that it is too short for are 0."""
    k, n = torch.arange(modes)[:, None], torch.arange(length)
    waves = torch.cos(math.pi * k * (n + 0.5) / length) * (2 / length) ** 0.5
    waves[0] /= 2**0.5
    return waves * (k < length)


@dataclass(frozen=True, kw_only=True)
class SpaceTimeEncoderConfig(EncoderConfig):
    """Factorised space-time transformer of clips, pooled to three planes."""

    in_channels: int = 3
    """Channels of the clips."""
    width: int = 384
    """Channels of a token."""
    depth: int = 8
    """Layers, each of attention over time, attention over space and a feed-forward layer."""
    heads: int = 6
    """Of attention."""
    head_width: int | None = None
    """Channels of a head; None: width / heads."""
    patch: int = 8
    """Pixels a side of a token."""
    expansion: int = 4
    """Hidden channels of a feed-forward layer as a multiple of the width."""
    pooling_depth: int = 4
    """Layers of the transformers that pool the tokens along each axis."""
    pooling_heads: int = 4
    """Of their attention."""
    direct: int = 0
    """A linear path beside them: this many cosine modes of the patches along the axis that a plane does not have,
    through a linear map; 0: none."""

    def build(self, layout: PlaneLayout, latent_channels: int) -> SpaceTimeEncoder:
        """ValueError for another layout than video's."""
        if layout.planes != PlaneLayout.video().planes:
            raise ValueError(f"SpaceTimeEncoder: makes planes {PlaneLayout.video().planes}, not {layout.planes}")
        return SpaceTimeEncoder(latent_channels, self)


class SpaceTimeEncoder(nn.Module):
    """Patches of all frames see each other along time and space (TimeSformer); one vector a line makes each plane.

    Takes clips of any number of frames and any size that the patches tile.

    Args:
        latent_channels: C; the planes have 2C channels, mean and log-variance.
        config: its sizes.
    """

    def __init__(self, latent_channels: int, config: SpaceTimeEncoderConfig | None = None) -> None:
        super().__init__()
        config = config or SpaceTimeEncoderConfig()
        width, heads, pooling_heads = config.width, config.heads, config.pooling_heads
        if (config.head_width is None and width % heads) or width % pooling_heads:
            raise ValueError(
                f"SpaceTimeEncoder: width {width} cannot be split into {heads} heads, or {pooling_heads} of pooling; "
                "give a width that both divide"
            )
        each = config.head_width or width // heads
        self.in_channels, self.patch = config.in_channels, config.patch
        values = config.in_channels * config.patch**2
        self.embed = nn.Linear(values, width)
        self.positions = Positions(each)
        self.layers = nn.ModuleList(
            SpaceTimeLayer(width, heads, each, config.expansion * width) for _ in range(config.depth)
        )
        pooling = dict(heads=pooling_heads, head_width=width // pooling_heads, hidden=2 * width)
        self.pools = nn.ModuleList(AxisPooling(width, depth=config.pooling_depth, **pooling) for _ in POOLED)
        self.out = nn.ModuleList(nn.Linear(width, 2 * latent_channels) for _ in POOLED)
        self.modes, values = config.direct, config.direct * values
        self.direct = nn.ModuleList(nn.Linear(values, latent_channels) for _ in POOLED) if config.direct else None
        for path in self.direct or ():
            assert isinstance(path, nn.Linear)
            nn.init.normal_(path.weight, std=values**-0.5)

    def forward(self, inputs: tuple[Float[Tensor, "batch channel frame rows columns"], ...]) -> Planes:
        """Moments (batch, 2 C, rows / p, columns / p), (batch, 2 C, frame, rows / p), (batch, 2 C, frame, columns / p).

        p is the patch.  `inputs` is a 1-tuple, as `Modality.inputs` gives it.
        """
        (clips,) = inputs
        if clips.ndim != 5 or clips.shape[1] != self.in_channels or any(n % self.patch for n in clips.shape[-2:]):
            raise ValueError(
                f"SpaceTimeEncoder: wanted clips (batch, {self.in_channels}, frame, rows, columns) whose sides are "
                f"multiples of the patch of {self.patch}, got {tuple(clips.shape)}"
            )
        patches = rearrange(
            in_precision_of(self, clips), "b c t (y p) (x q) -> b t y x (p q c)", p=self.patch, q=self.patch
        )
        x = self.embed(patches)
        batch, frames, rows, columns, _ = x.shape
        in_time, in_space = self.positions.time(frames, x.device), self.positions.space(rows, columns, x.device)
        x = x.flatten(2, 3)
        for layer in self.layers:
            x = layer(x, in_time, in_space)
        x = x.unflatten(2, (rows, columns))
        planes = []
        for i, (name, lines) in enumerate(POOLED.items()):
            pooled = self.out[i](self.pools[i](rearrange(x, f"b t y x d -> {lines}")))
            if self.direct is not None:
                mean, log = pooled.float().chunk(2, dim=-1)
                line = rearrange(patches, f"b t y x d -> {lines}")
                modes = cosine_modes(line.shape[1], self.modes).to(line) @ line
                pooled = torch.cat((mean + self.direct[i](modes.flatten(1)).float(), log), dim=-1)
            sides = dict(t=frames, y=rows, x=columns)
            kept = f"({lines.split(')')[0][1:]}) d -> b d {name[1]} {name[0]}"
            planes.append(rearrange(pooled, kept, b=batch, **{axis: sides[axis] for axis in name}))
        return tuple(planes)
