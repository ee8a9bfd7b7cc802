"""One plane encoder and one plane decoder for every layout: the same convolutions run over each plane."""

from __future__ import annotations

from collections.abc import Sequence

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

    def __init__(self, planes: int, channels: int, mixing: Mixing, groups: int, heads: int) -> None:
        super().__init__()
        self.block1 = ConvBlock(channels, channels, groups=groups)
        self.attention = PlaneAttention(channels, heads=heads, groups=groups)
        self.block2 = ConvBlock(channels, channels, groups=groups)
        self.mix = PlaneMixing(mixing, planes, channels, groups=groups, heads=heads)

    def forward(self, planes: list[Tensor]) -> list[Tensor]:
        return self.mix(on_each(lambda plane: self.block2(self.attention(self.block1(plane))), planes))


class PlaneEncoder(nn.Module):
    """Planes of features to planes of moments (2C channels): the encoder of a convolutional VAE, level by level.

    Args:
        layout: the planes; each goes through the same weights.
        in_channels: channels of the input planes.
        latent_channels: C; the output has 2C channels, mean and log-variance.
        patch: cells a side that the first convolution turns into one (1: a 3x3 convolution of stride 1).
        width: channels of the finest level.
        multipliers: channels of each level as multiples of `width`, fine to coarse; sides halve between levels.
        blocks: residual blocks a level.
        mixing: how planes see each other at the coarsest level, see `PlaneMixing`.
        mixed_levels: further levels at which they do, 0 is the finest.
        scaled_axes: axes that are halved (all by default); the others keep their size, such as time.
        shortcuts: around down-sampling, see `Downsample`; with it a narrow encoder learns much faster.
        groups, heads: of GroupNorm and attention.
    """

    def __init__(
        self,
        layout: PlaneLayout,
        in_channels: int,
        latent_channels: int,
        *,
        patch: int = 1,
        width: int = 128,
        multipliers: Sequence[int] = (1, 2, 4),
        blocks: int = 2,
        mixing: Mixing = "none",
        mixed_levels: Sequence[int] = (),
        scaled_axes: str | None = None,
        shortcuts: bool = False,
        groups: int = 32,
        heads: int = 1,
    ) -> None:
        super().__init__()
        self.layout = layout
        self.in_channels = in_channels
        self.scaled = _scaled_sides(layout, scaled_axes)
        widths = [width * m for m in multipliers]
        if shortcuts:
            check_shortcuts(widths)
        self.patch = patch
        self.stem = (
            nn.Conv2d(in_channels, widths[0], 3, padding=1)
            if patch == 1
            else nn.Conv2d(in_channels, widths[0], patch, stride=patch)
        )
        self.levels = nn.ModuleList(
            nn.Sequential(*(ConvBlock(previous if i == 0 else current, current, groups=groups) for i in range(blocks)))
            for previous, current in zip([widths[0], *widths], widths, strict=False)
        )
        count = len(layout.planes)
        self.mixes = nn.ModuleDict(
            {str(i): PlaneMixing(mixing, count, widths[i], groups=groups, heads=heads) for i in mixed_levels}
        )
        self.downsamples = nn.ModuleList(Downsample(w, shortcut=shortcuts) for w in widths[:-1])
        self.middle = _Middle(count, widths[-1], mixing, groups, heads)
        self.norm = group_norm(widths[-1], groups)
        self.out = nn.Conv2d(widths[-1], 2 * latent_channels, 3, padding=1)

    def forward(self, planes: Planes | Tensor) -> Planes:
        """Planes (batch, in_channels, rows, columns) to (batch, 2 C, rows / f, columns / f), rounded down.

        f is `patch`, times 2 for every level but the first along the scaled axes.
        """
        features = [planes] if isinstance(planes, Tensor) else list(planes)
        _check_planes("PlaneEncoder", features, self.layout, self.in_channels)
        factor = 2 ** len(self.downsamples) * self.patch
        for name, plane, scaled in zip(self.layout.planes, features, self.scaled, strict=True):
            if any(n < (factor if s else self.patch) for n, s in zip(plane.shape[-2:], scaled, strict=True)):
                raise ValueError(
                    f"PlaneEncoder: plane {name!r} is {tuple(plane.shape[-2:])} cells, too small for "
                    f"a reduction by {factor} (at least {factor} cells a scaled side)"
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
    `multipliers` run fine to coarse, as in `PlaneEncoder`; sides double between levels.
    """

    def __init__(
        self,
        layout: PlaneLayout,
        latent_channels: int,
        channels: int,
        *,
        scales: int = 3,
        width: int = 128,
        multipliers: Sequence[int] = (1, 2, 4),
        blocks: int = 3,
        mixing: Mixing = "none",
        mixed_levels: Sequence[int] = (),
        scaled_axes: str | None = None,
        shortcuts: bool = False,
        reduction: Reduction = "sum",
        groups: int = 32,
        heads: int = 1,
    ) -> None:
        super().__init__()
        if not 1 <= scales <= len(multipliers):
            raise ValueError(f"PlaneDecoder: scales must be 1 to {len(multipliers)} (its levels), got {scales}")
        self.layout = layout
        self.latent_channels = latent_channels
        self.reduction: Reduction = reduction
        self.scaled = _scaled_sides(layout, scaled_axes)
        widths = [width * m for m in reversed(multipliers)]
        if shortcuts:
            check_shortcuts(widths)
        count = len(layout.planes)
        self.stem = nn.Conv2d(latent_channels, widths[0], 3, padding=1)
        self.middle = _Middle(count, widths[0], mixing, groups, heads)
        self.levels = nn.ModuleList(
            nn.Sequential(*(ConvBlock(previous if i == 0 else current, current, groups=groups) for i in range(blocks)))
            for previous, current in zip([widths[0], *widths], widths, strict=False)
        )
        self.mixes = nn.ModuleDict(
            {str(i): PlaneMixing(mixing, count, widths[i], groups=groups, heads=heads) for i in mixed_levels}
        )
        self.upsamples = nn.ModuleList(Upsample(w, shortcut=shortcuts) for w in widths[:-1])
        first = len(widths) - scales
        self.taps = nn.ModuleDict({str(i): nn.Conv2d(widths[i], channels, 1) for i in range(first, len(widths) - 1)})
        self.norm = group_norm(widths[-1], groups)
        self.out = nn.Conv2d(widths[-1], channels, 3, padding=1)

    def forward(self, latent: Planes) -> BasisField:
        """(batch, C, rows, columns) planes to basis fields, coarse to fine."""
        features = list(latent)
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
