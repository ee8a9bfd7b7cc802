"""`PlaneUNet`: the ADM U-Net on any number and sizes of latent planes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ddmi_diffusion.attention import attend
from ddmi_diffusion.conditioning import Conditioning
from ddmi_diffusion.denoiser import DenoiserConfig, PlaneDenoiser
from ddmi_diffusion.latent_space import Packing, PlaneShape, split_planes

Planes = list[Tensor]
Part = Literal["down", "middle", "up"]


def timestep_embedding(t: Float[Tensor, " batch"], width: int) -> Float[Tensor, "batch width"]:
    """Cosines, then sines, of t at width / 2 frequencies `exp(-ln(10000) k / (width / 2))`."""
    half = width // 2
    frequencies = torch.exp(-math.log(10000.0) / half * torch.arange(half, dtype=torch.float32, device=t.device))
    angles = t.float()[:, None] * frequencies
    return torch.cat((angles.cos(), angles.sin()), dim=-1)


def span_network(width: int, outputs: int) -> nn.Sequential:
    """What a span of time adds to the embedding of the time: nothing before it is trained."""
    return nn.Sequential(nn.Linear(width, outputs), nn.SiLU(), _zero(nn.Linear(outputs, outputs)))


def _norm(channels: int, groups: int) -> nn.GroupNorm:
    if groups < 1:
        raise ValueError(f"group_norm: wanted at least 1 group, got {groups}; give more")
    while channels % groups:
        groups -= 1
    return nn.GroupNorm(groups, channels)


def _on_each(layer: Callable[..., Tensor], planes: Planes, *of_items: Float[Tensor, "batch _"]) -> Planes:
    """`layer` on every plane; those of one size go through it as one batch, as small ones cost a call most."""
    alike: dict[tuple[int, ...], list[int]] = {}
    for i, plane in enumerate(planes):
        alike.setdefault(tuple(plane.shape), []).append(i)
    made = list(planes)
    for places in alike.values():
        count = len(places)
        batch = torch.cat([planes[i] for i in places]) if count > 1 else planes[places[0]]
        done = layer(batch, *(one.repeat(count, 1) for one in of_items))
        for i, part in zip(places, done.chunk(count), strict=True):
            made[i] = part
    return made


def _zero(module: nn.Conv1d | nn.Conv2d | nn.Linear) -> nn.Module:
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


class TimedBlock(nn.Module):
    """Residual block whose second half sees the time: added to the features, or scaling and shifting its norm."""

    def __init__(self, inputs: int, outputs: int, time: int, *, groups: int, dropout: float, scale_shift: bool) -> None:
        super().__init__()
        self.scale_shift = scale_shift
        self.norm1 = _norm(inputs, groups)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.time = nn.Linear(time, 2 * outputs if scale_shift else outputs)
        self.norm2 = _norm(outputs, groups)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = _zero(nn.Conv2d(outputs, outputs, 3, padding=1))
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else None

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        shift = self.time(F.silu(time))[:, :, None, None]
        if self.scale_shift:
            scale, shift = shift.chunk(2, dim=1)
            h = self.norm2(h) * (1 + scale) + shift
        else:
            h = self.norm2(h + shift)
        h = self.conv2(self.dropout(F.silu(h)))
        return h + (x if self.shortcut is None else self.shortcut(x))


class PlanesAttention(nn.Module):
    """Self-attention over the tokens of all planes, then cross-attention to a condition; both residual."""

    def __init__(self, channels: int, *, head_channels: int, groups: int, condition: int | None) -> None:
        super().__init__()
        if channels % head_channels:
            raise ValueError(f"PlaneUNet: head_channels {head_channels} does not divide {channels} channels")
        self.heads = channels // head_channels
        self.norm = _norm(channels, groups)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.out = _zero(nn.Conv1d(channels, channels, 1))
        if condition is not None:
            self.cross_norm = _norm(channels, groups)
            self.cross_query = nn.Conv1d(channels, channels, 1)
            self.cross_key_value = nn.Linear(condition, 2 * channels)
            self.cross_out = _zero(nn.Conv1d(channels, channels, 1))
        self.conditional = condition is not None

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(1, (self.heads, -1)).transpose(2, 3)

    def forward(self, planes: Planes, cond: Conditioning | None) -> Planes:
        x = torch.cat([plane.flatten(2) for plane in planes], dim=2)
        q, k, v = (self._heads(part) for part in self.qkv(self.norm(x)).chunk(3, dim=1))
        x = x + self.out(attend(q, k, v).transpose(2, 3).flatten(1, 2))
        if self.conditional and cond is not None:
            q = self._heads(self.cross_query(self.cross_norm(x)))
            k, v = (self._heads(part) for part in self.cross_key_value(cond.tokens).transpose(1, 2).chunk(2, dim=1))
            x = x + self.cross_out(attend(q, k, v, cond.mask).transpose(2, 3).flatten(1, 2))
        counts = [plane.shape[2] * plane.shape[3] for plane in planes]
        return [part.unflatten(2, plane.shape[2:]) for part, plane in zip(x.split(counts, dim=2), planes, strict=True)]


class Stage(nn.Module):
    """A residual block over every plane, attention over all of them where asked."""

    def __init__(self, block: TimedBlock, attention: PlanesAttention | None) -> None:
        super().__init__()
        self.block = block
        self.attention = attention

    def forward(self, planes: Planes, time: Tensor, cond: Conditioning | None) -> Planes:
        planes = _on_each(self.block, planes, time)
        return planes if self.attention is None else self.attention(planes, cond)


@dataclass(frozen=True, kw_only=True)
class UNetConfig(DenoiserConfig):
    """The U-Net over latent planes.

    Examples:
        >>> UNetConfig(width=32, multipliers=(1,), blocks=1).build([(4, 8, 8)], "grid").__class__.__name__
        'PlaneUNet'
    """

    width: int = 224
    """Channels of the finest level."""
    multipliers: tuple[int, ...] = (1, 2, 4, 6)
    """Channels of each level as multiples of the width; sides halve (rounded up) between levels."""
    blocks: int = 2
    """Residual blocks a level."""
    attention_factors: tuple[int, ...] = (2, 4, 8)
    """Attention at the levels that are down-sampled by these factors; 1 is the finest."""
    head_channels: int = 32
    """Of an attention head."""
    groups: int = 32
    """Of GroupNorm."""
    dropout: float = 0.0
    """In the residual blocks."""
    scale_shift: bool = False
    """The time scales and shifts the second norm of a block instead of being added."""
    positions: bool = False
    """A learned vector for each cell of each plane, added after the first convolution.  Without it, planes side by side
    are told apart by their content only, which is nearly all noise while they are laid out."""
    mean_flow: bool = False
    """It also takes the span of time that a step goes back, and predicts the mean velocity over it, see
    `MeanFlowObjective`."""

    def build(self, plane_shapes: Sequence[PlaneShape], packing: Packing, condition: int | None = None) -> PlaneUNet:
        return PlaneUNet(plane_shapes, packing, self, condition=condition)


class PlaneUNet(PlaneDenoiser):
    """U-Net over latent planes: the same convolutions on each plane, attention over the tokens of all.

    Args:
        plane_shapes: (channels, rows, columns) of each latent plane; sides of any size, also odd.
        packing: how the latent comes, see `LatentSpace`.
        config: its sizes.
        condition: width of the conditioning tokens for cross-attention, or None.

    Examples:
        >>> denoiser = PlaneUNet([(4, 8, 8)], config=UNetConfig(width=32, multipliers=(1, 2), blocks=1))
        >>> denoiser(torch.randn(2, 4, 8, 8), torch.tensor([10.0, 900.0])).shape
        torch.Size([2, 4, 8, 8])
    """

    def __init__(
        self,
        plane_shapes: Sequence[PlaneShape],
        packing: Packing = "grid",
        config: UNetConfig | None = None,
        *,
        condition: int | None = None,
    ) -> None:
        config = config or UNetConfig()
        super().__init__(plane_shapes, packing, config, condition)
        width, multipliers, blocks = config.width, config.multipliers, config.blocks
        self.width = width
        channels = self.plane_shapes[0][0] * (len(self.plane_shapes) if packing == "grid" else 1)
        time = 4 * width
        self.time = nn.Sequential(nn.Linear(width, time), nn.SiLU(), nn.Linear(time, time))
        self.span = span_network(width, time) if config.mean_flow else None
        self.stem = nn.Conv2d(channels, width, 3, padding=1)
        places = self.plane_shapes[: 1 if packing == "grid" else None] if config.positions else ()
        self.positions = nn.ParameterList(0.1 * torch.randn(width, *sides) for _, *sides in places)

        def stage(inputs: int, outputs: int, factor: int) -> Stage:
            block = TimedBlock(
                inputs, outputs, time, groups=config.groups, dropout=config.dropout, scale_shift=config.scale_shift
            )
            if factor and factor not in config.attention_factors:
                return Stage(block, None)
            attention = PlanesAttention(
                outputs, head_channels=config.head_channels, groups=config.groups, condition=condition
            )
            return Stage(block, attention)

        skips, current = [width], width
        self.down = nn.ModuleList()
        self.downsamples = nn.ModuleList()
        for level, multiplier in enumerate(multipliers):
            stages = nn.ModuleList()
            for _ in range(blocks):
                stages.append(stage(current, width * multiplier, 2**level))
                current = width * multiplier
                skips.append(current)
            self.down.append(stages)
            if level + 1 < len(multipliers):
                self.downsamples.append(nn.Conv2d(current, current, 3, stride=2, padding=1))
                skips.append(current)
        self.middle1 = stage(current, current, 0)
        self.middle2 = stage(current, current, -1)
        self.up = nn.ModuleList()
        self.upsamples = nn.ModuleList()
        for level, multiplier in reversed(list(enumerate(multipliers))):
            stages = nn.ModuleList()
            for _ in range(blocks + 1):
                stages.append(stage(current + skips.pop(), width * multiplier, 2**level))
                current = width * multiplier
            self.up.append(stages)
            if level:
                self.upsamples.append(nn.Conv2d(current, current, 3, padding=1))
        self.norm = _norm(current, config.groups)
        self.out = _zero(nn.Conv2d(current, channels, 3, padding=1))

    def forward(
        self,
        z: Float[Tensor, "batch *packed"],
        t: Float[Tensor, " batch"],
        cond: Conditioning | None = None,
        span: Float[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, "batch *packed"]:
        """The prediction at noisy latents `z` and times `t` in [0, 1000); of a mean flow, over [t - span, t]."""
        if cond is not None and self.condition is None:
            raise ValueError("PlaneUNet: got a condition, but was built without one; pass condition=WIDTH")
        time = self.time(timestep_embedding(t, self.width).to(self.stem.weight.dtype))
        if self.span is not None:
            time = time + self.span(
                timestep_embedding(torch.zeros_like(t) if span is None else span, self.width).to(time)
            )
        # On the grid, equal planes are one plane of stacked channels.
        planes = [z] if self.packing == "grid" else split_planes(z, self.plane_shapes, self.packing)
        planes = _on_each(self.stem, planes)
        if self.positions:
            planes = [plane + place.to(plane) for plane, place in zip(planes, self.positions, strict=True)]
        skips = [planes]
        for level, stages in enumerate(self.down):
            assert isinstance(stages, nn.ModuleList)
            for stage in stages:
                planes = self.join(self.apply_stage(stage, planes, time, cond), "down", len(skips))
                skips.append(planes)
            if level < len(self.downsamples):
                planes = self.join(_on_each(self.downsamples[level], planes), "down", len(skips))
                skips.append(planes)
        for stage in (self.middle1, self.middle2):
            planes = self.apply_stage(stage, planes, time, cond)
        planes = self.join(planes, "middle", len(skips))
        for level, stages in enumerate(self.up):
            assert isinstance(stages, nn.ModuleList)
            for stage in stages:
                skip = skips.pop()
                both = [torch.cat(pair, dim=1) for pair in zip(planes, skip, strict=True)]
                planes = self.apply_stage(stage, both, time, cond)
                if stage is stages[-1] and level < len(self.upsamples):
                    # To the sides of the skip, so that odd sides come back as they were.
                    wider = [
                        F.interpolate(plane, size=to.shape[2:], mode="nearest")
                        for plane, to in zip(planes, skips[-1], strict=True)
                    ]
                    planes = _on_each(self.upsamples[level], wider)
                planes = self.join(planes, "up", len(skips))
        planes = _on_each(lambda plane: self.out(F.silu(self.norm(plane))), planes)
        return planes[0] if self.packing == "grid" else torch.cat([plane.flatten(2) for plane in planes], dim=2)

    def apply_stage(self, stage: nn.Module, planes: Planes, time: Tensor, cond: Conditioning | None) -> Planes:
        """One stage on all planes; a subclass may let it see less of them at once."""
        return stage(planes, time, cond)

    def join(self, planes: Planes, part: Part, skips: int) -> Planes:
        """After every block: a stage, with the up-sampling that follows it, a down-sampling, or the whole middle.

        Nothing here; for subclasses.  `skips` are kept: 1 at the first block down, 0 at the last one up.
        """
        return planes
