"""One plane encoder and one plane decoder for every layout: the same convolutions run over each plane."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from ddmi_fields import BasisField, PlaneLayout
from ddmi_fields.basis_field import Reduction
from ddmi_vae.blocks import (
    ConvBlock,
    Downsample,
    Mixing,
    PlaneAttention,
    PlaneMixing,
    Upsample,
    check_shortcuts,
    group_norm,
    in_precision_of,
    on_each,
)
from ddmi_vae.posterior import Planes


def _scaled_sides(layout: PlaneLayout, scaled_axes: str | None) -> tuple[tuple[bool, bool], ...]:
    """For each plane, whether its (rows, columns) are halved and doubled between levels."""
    axes = layout.axes if scaled_axes is None else scaled_axes
    if not set(axes) <= set(layout.axes):
        raise ValueError(f"scaled_axes {axes!r} are not all axes of {layout.axes!r}")
    return tuple((plane[1] in axes, plane[0] in axes) for plane in layout.planes)


def _check_planes(name: str, planes: Sequence[Tensor], layout: PlaneLayout, channels: int) -> None:
    shapes = [tuple(plane.shape) for plane in planes]
    if len(planes) != len(layout.planes) or any(len(s) != 4 or s[1] != channels for s in shapes):
        raise ValueError(
            f"{name}: wanted {len(layout.planes)} planes {layout.planes} of (batch, {channels}, rows, columns), "
            f"got {shapes}"
        )


class _Middle(nn.Module):
    """The coarsest level: block, attention within each plane, block, then mixing across planes."""

    def __init__(self, planes: int, channels: int, config: PlaneEncoderConfig | PlaneDecoderConfig) -> None:
        super().__init__()
        attention = dict(heads=config.heads, groups=config.groups)
        self.block1 = ConvBlock(channels, channels, groups=config.groups)
        self.attention = PlaneAttention(channels, **attention)
        self.block2 = ConvBlock(channels, channels, groups=config.groups)
        self.mix = PlaneMixing(config.mixing, planes, channels, **attention)

    def forward(self, planes: list[Tensor]) -> list[Tensor]:
        return self.mix(on_each(lambda plane: self.block2(self.attention(self.block1(plane))), planes))


def _levels(widths: Sequence[int], config: PlaneEncoderConfig | PlaneDecoderConfig) -> nn.ModuleList:
    """Residual blocks of every level, in the order in which features go through them."""
    return nn.ModuleList(
        nn.Sequential(
            *(ConvBlock(current if i else previous, current, groups=config.groups) for i in range(config.blocks))
        )
        for previous, current in zip([widths[0], *widths], widths, strict=False)
    )


def _mixes(
    widths: Sequence[int], config: PlaneEncoderConfig | PlaneDecoderConfig, layout: PlaneLayout
) -> nn.ModuleDict:
    planes, attention = len(layout.planes), dict(groups=config.groups, heads=config.heads)
    return nn.ModuleDict(
        {str(i): PlaneMixing(config.mixing, planes, widths[i], **attention) for i in config.mixed_levels}
    )


class EncoderConfig(ABC):
    """An encoder of any kind: data to planes of moments."""

    @abstractmethod
    def build(self, layout: PlaneLayout, latent_channels: int) -> nn.Module:
        """`encoder(inputs) -> Planes` of 2 C channels for each plane of the layout, C = `latent_channels`."""


@dataclass(frozen=True, kw_only=True)
class PlaneEncoderConfig(EncoderConfig):
    """Convolutional encoder of planes."""

    in_channels: int = 3
    """Channels of the data."""
    patch: int = 1
    """Cells a side that the first convolution turns into one; 1 is a 3x3 convolution of stride 1."""
    width: int = 128
    """Channels of the finest level."""
    multipliers: tuple[int, ...] = (1, 2, 4)
    """Channels of each level as multiples of the width, fine to coarse; sides halve between levels."""
    blocks: int = 2
    """Residual blocks a level."""
    shortcuts: bool = False
    """Parameter-free shortcuts around sampling (residual autoencoding): narrow networks learn much faster."""
    mixing: Mixing = "none"
    """How planes see each other at the coarsest level and at `mixed_levels`, see `PlaneMixing`."""
    mixed_levels: tuple[int, ...] = ()
    """Further levels at which they do; 0 is the finest."""
    scaled_axes: str | None = None
    """Axes that are halved between levels; the others, such as time, keep their size; None: all."""
    groups: int = 32
    """Of GroupNorm."""
    heads: int = 1
    """Of attention."""

    def build(self, layout: PlaneLayout, latent_channels: int) -> PlaneEncoder:
        return PlaneEncoder(layout, latent_channels, self)


@dataclass(frozen=True, kw_only=True)
class PlaneDecoderConfig:
    """Convolutional decoder from latent planes to basis fields."""

    channels: int = 64
    """Of a basis vector."""
    scales: int = 3
    """Scales of basis fields: the finest levels of the decoder."""
    width: int = 128
    """Channels of the finest level."""
    multipliers: tuple[int, ...] = (1, 2, 4)
    """Channels of each level as multiples of the width, fine to coarse; sides double between levels."""
    blocks: int = 3
    """Residual blocks a level."""
    shortcuts: bool = False
    """Parameter-free shortcuts around sampling (residual autoencoding)."""
    mixing: Mixing = "none"
    """How planes see each other at the coarsest level and at `mixed_levels`, see `PlaneMixing`."""
    mixed_levels: tuple[int, ...] = ()
    """Further levels at which they do; 0 is the coarsest."""
    scaled_axes: str | None = None
    """Axes that are doubled between levels, such as 'xy' where time is not; None: all."""
    reduction: Reduction = "sum"
    """How the embeddings of several planes become one."""
    groups: int = 32
    """Of GroupNorm."""
    heads: int = 1
    """Of attention."""

    def build(self, layout: PlaneLayout, latent_channels: int) -> PlaneDecoder:
        return PlaneDecoder(layout, latent_channels, self)

    def embedding_channels(self, layout: PlaneLayout) -> list[int]:
        """Width of each scale's embedding."""
        planes = 1 if self.reduction == "sum" else len(layout.planes)
        return [self.channels * planes] * self.scales


class PlaneEncoder(nn.Module):
    """Planes of features to planes of moments (2C channels): the encoder of a convolutional VAE, level by level.

    Args:
        layout: the planes; each goes through the same weights.
        latent_channels: C; the output has 2C channels, mean and log-variance.
        config: its sizes.
    """

    def __init__(self, layout: PlaneLayout, latent_channels: int, config: PlaneEncoderConfig | None = None) -> None:
        super().__init__()
        config = config or PlaneEncoderConfig()
        self.layout = layout
        self.in_channels, self.patch = config.in_channels, config.patch
        self.scaled = _scaled_sides(layout, config.scaled_axes)
        widths = [config.width * m for m in config.multipliers]
        if config.shortcuts:
            check_shortcuts(widths)
        kernel, padding = (3, 1) if self.patch == 1 else (self.patch, 0)
        self.stem = nn.Conv2d(self.in_channels, widths[0], kernel, stride=self.patch, padding=padding)
        self.levels, self.mixes = _levels(widths, config), _mixes(widths, config, layout)
        self.downsamples = nn.ModuleList(Downsample(w, shortcut=config.shortcuts) for w in widths[:-1])
        self.middle = _Middle(len(layout.planes), widths[-1], config)
        self.norm = group_norm(widths[-1], config.groups)
        self.out = nn.Conv2d(widths[-1], 2 * latent_channels, 3, padding=1)

    def forward(self, planes: Planes | Tensor) -> Planes:
        """Planes (batch, in_channels, rows, columns) to (batch, 2 C, rows / f, columns / f).

        f is `patch`, times 2 for every level but the first along the scaled axes.  ValueError for sides that f does not
        divide: cells at the right and bottom would be lost, and what is left would be shifted.
        """
        features = [in_precision_of(self, plane) for plane in ([planes] if isinstance(planes, Tensor) else planes)]
        _check_planes("PlaneEncoder", features, self.layout, self.in_channels)
        for name, plane, scaled in zip(self.layout.planes, features, self.scaled, strict=True):
            sides = tuple(plane.shape[-2:])
            factors = tuple(self.patch * (2 ** len(self.downsamples) if one else 1) for one in scaled)
            if any(side % factor or not side for side, factor in zip(sides, factors, strict=True)):
                raise ValueError(
                    f"PlaneEncoder: plane {name!r} of {sides} cells (rows, columns) is reduced by {factors}, which "
                    f"must divide it; resize, crop or pad it to multiples, such as "
                    f"{tuple(-(-max(side, 1) // factor) * factor for side, factor in zip(sides, factors, strict=True))}"
                )
        features = on_each(self.stem, features)
        for i, level in enumerate(self.levels):
            features = on_each(level, features)
            if str(i) in self.mixes:
                features = self.mixes[str(i)](features)
            if i < len(self.downsamples):
                features = on_each(self.downsamples[i], features, self.scaled)
        features = self.middle(features)
        return tuple(on_each(lambda plane: self.out(F.silu(self.norm(plane))), features))


class PlaneDecoder(nn.Module):
    """Latent planes to basis fields `Xi = D(z)`: feature maps of the finest `scales` levels of one decoder (HDBF).

    Coarser levels are brought to `channels` by a 1x1 convolution, the finest by GroupNorm, SiLU and a 3x3 convolution.

    Args:
        layout: the planes; each goes through the same weights.
        latent_channels: C of a latent plane.
        config: its sizes.
    """

    def __init__(self, layout: PlaneLayout, latent_channels: int, config: PlaneDecoderConfig | None = None) -> None:
        super().__init__()
        config = config or PlaneDecoderConfig()
        if not 1 <= config.scales <= len(config.multipliers):
            raise ValueError(
                f"PlaneDecoder: scales must be 1 to {len(config.multipliers)} (its levels), got {config.scales}"
            )
        self.layout = layout
        self.latent_channels = latent_channels
        self.reduction: Reduction = config.reduction
        self.scaled = _scaled_sides(layout, config.scaled_axes)
        widths = [config.width * m for m in reversed(config.multipliers)]
        if config.shortcuts:
            check_shortcuts(widths)
        self.stem = nn.Conv2d(latent_channels, widths[0], 3, padding=1)
        self.middle = _Middle(len(layout.planes), widths[0], config)
        self.levels, self.mixes = _levels(widths, config), _mixes(widths, config, layout)
        self.upsamples = nn.ModuleList(Upsample(w, shortcut=config.shortcuts) for w in widths[:-1])
        tapped = range(len(widths) - config.scales, len(widths) - 1)
        self.taps = nn.ModuleDict({str(i): nn.Conv2d(widths[i], config.channels, 1) for i in tapped})
        self.norm = group_norm(widths[-1], config.groups)
        self.out = nn.Conv2d(widths[-1], config.channels, 3, padding=1)

    def forward(self, latent: Planes) -> BasisField:
        """(batch, C, rows, columns) planes to basis fields, coarse to fine."""
        features = [in_precision_of(self, plane) for plane in latent]
        _check_planes("PlaneDecoder", features, self.layout, self.latent_channels)
        features = self.middle(on_each(self.stem, features))
        fields: list[list[Tensor]] = []
        for i, level in enumerate(self.levels):
            features = on_each(level, features)
            if str(i) in self.mixes:
                features = self.mixes[str(i)](features)
            if str(i) in self.taps:
                fields.append([plane.float() for plane in on_each(self.taps[str(i)], features)])
            if i < len(self.upsamples):
                features = on_each(self.upsamples[i], features, self.scaled)
        fields.append([plane.float() for plane in on_each(self._finest, features)])
        return BasisField(self.layout, fields, self.reduction)

    def _finest(self, plane: Tensor) -> Tensor:
        return self.out(F.silu(self.norm(plane)))
