"""The networks as typed values, each of which builds its module."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from ddmi_diffusion import PlaneDiT, PlaneUNet
from ddmi_diffusion.latent_space import Packing, PlaneShape
from ddmi_fields import CoarseToFineReadOut, ConcatReadOut, PlaneLayout, ReadOut
from ddmi_fields.basis_field import Reduction
from ddmi_modalities.nerf.read_out import RadianceReadOut
from ddmi_modalities.shape.point_encoder import LocalPoolPointNet, PointPlaneEncoder
from ddmi_modalities.video.space_time_encoder import SpaceTimeEncoder
from ddmi_vae import PlaneDecoder, PlaneEncoder
from ddmi_vae.blocks import Mixing


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """Convolutional encoder of planes."""

    in_channels: int = 3
    """Channels of the data."""
    patch: int = 1
    """Cells a side that the first convolution turns into one."""
    width: int = 128
    """Channels of the finest level."""
    multipliers: tuple[int, ...] = (1, 2, 4)
    """Channels of each level as multiples of the width, fine to coarse."""
    blocks: int = 2
    """Residual blocks a level."""
    shortcuts: bool = False
    """Parameter-free shortcuts around down- and up-sampling (residual autoencoding)."""
    mixing: Mixing = "none"
    """How planes see each other at the coarsest level and at `mixed_levels`."""
    mixed_levels: tuple[int, ...] = ()
    """Further levels at which they do; 0 is the finest."""
    scaled_axes: str | None = None
    """Axes that are halved between levels; None: all."""
    groups: int = 32
    """Of GroupNorm."""

    def build(self, layout: PlaneLayout, latent_channels: int) -> PlaneEncoder:
        return PlaneEncoder(
            layout, self.in_channels, latent_channels, patch=self.patch, width=self.width,
            multipliers=self.multipliers, blocks=self.blocks, mixing=self.mixing, mixed_levels=self.mixed_levels,
            scaled_axes=self.scaled_axes, shortcuts=self.shortcuts, groups=self.groups,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class PointEncoderConfig:
    """Local-pool point network, then a convolutional encoder of the planes of its features."""

    in_channels: int = 3
    """Of a point: its coordinates and further features, such as colour."""
    hidden: int = 256
    """Width of the point network."""
    blocks: int = 7
    """Its residual blocks."""
    size: int = 64
    """Cells a side of its planes."""
    offsets: bool = False
    """Points also carry their place inside their cell."""
    direct: bool = False
    """A linear path from the means of the points of each cell to the latent."""
    planes: EncoderConfig = field(
        default_factory=lambda: EncoderConfig(in_channels=32, width=64, blocks=2, mixing="channels")
    )
    """From its features, `in_channels` wide, to moments."""

    def build(self, layout: PlaneLayout, latent_channels: int) -> PointPlaneEncoder:
        network = LocalPoolPointNet(
            layout,
            self.in_channels,
            self.planes.in_channels,
            hidden=self.hidden,
            blocks=self.blocks,
            size=self.size,
            offsets=self.offsets,
        )
        return PointPlaneEncoder(network, self.planes.build(layout, latent_channels), direct=self.direct)


@dataclass(frozen=True, kw_only=True)
class SpaceTimeEncoderConfig:
    """Factorised space-time transformer of clips, pooled to three planes."""

    in_channels: int = 3
    """Channels of the clips."""
    width: int = 384
    """Channels of a token."""
    depth: int = 8
    """Layers, each of attention over time, attention over space and a feed-forward layer."""
    heads: int = 6
    """Of attention."""
    patch: int = 8
    """Pixels a side of a token."""
    expansion: int = 4
    """Hidden channels of a feed-forward layer as a multiple of the width."""
    pooling_depth: int = 4
    """Layers of the transformers that pool the tokens along each axis."""
    pooling_heads: int = 4
    """Of their attention."""
    direct: int = 0
    """Cosine modes of the patches along each axis, of a linear path to the latent; 0: none."""

    def build(self, layout: PlaneLayout, latent_channels: int) -> SpaceTimeEncoder:
        """ValueError for another layout than video's."""
        if layout.planes != PlaneLayout.video().planes:
            raise ValueError(f"SpaceTimeEncoder: makes planes {PlaneLayout.video().planes}, not {layout.planes}")
        return SpaceTimeEncoder(
            self.in_channels, latent_channels, width=self.width, depth=self.depth, heads=self.heads, patch=self.patch,
            expansion=self.expansion, pooling_depth=self.pooling_depth, pooling_heads=self.pooling_heads,
            direct=self.direct,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """Convolutional decoder from latent planes to basis fields."""

    channels: int = 64
    """Of a basis vector."""
    scales: int = 3
    """Scales of basis fields: the finest levels of the decoder."""
    width: int = 128
    """Channels of the finest level."""
    multipliers: tuple[int, ...] = (1, 2, 4)
    """As in the encoder, fine to coarse."""
    blocks: int = 3
    """Residual blocks a level."""
    shortcuts: bool = False
    """Parameter-free shortcuts around down- and up-sampling (residual autoencoding)."""
    mixing: Mixing = "none"
    """How planes see each other at the coarsest level and at `mixed_levels`."""
    mixed_levels: tuple[int, ...] = ()
    """Further levels at which they do; 0 is the coarsest."""
    scaled_axes: str | None = None
    """Axes that are doubled between levels, such as 'xy' where time is not; None: all."""
    reduction: Reduction = "sum"
    """How the embeddings of several planes become one."""
    groups: int = 32
    """Of GroupNorm."""

    def build(self, layout: PlaneLayout, latent_channels: int) -> PlaneDecoder:
        return PlaneDecoder(
            layout, latent_channels, self.channels, scales=self.scales, width=self.width,
            multipliers=self.multipliers, blocks=self.blocks, mixing=self.mixing, mixed_levels=self.mixed_levels,
            scaled_axes=self.scaled_axes, reduction=self.reduction, shortcuts=self.shortcuts, groups=self.groups,
        )  # fmt: skip

    def embedding_channels(self, layout: PlaneLayout) -> list[int]:
        """Width of each scale's embedding."""
        planes = 1 if self.reduction == "sum" else len(layout.planes)
        return [self.channels * planes] * self.scales


@dataclass(frozen=True, kw_only=True)
class ReadOutConfig:
    """The MLP that reads values out of basis fields."""

    kind: Literal["coarse-to-fine", "concat"] = "coarse-to-fine"
    """CFC, or all scales at the input (the ablation)."""
    out_channels: int = 3
    """Channels of a value."""
    width: int = 256
    """Of the hidden layers."""
    fusion: Literal["concat", "sum"] = "concat"
    """How a scale joins the hidden state."""
    coordinates: bool = False
    """The coordinate itself is an input."""
    native: int | None = None
    """Rows of the grid at which the scale condition is 1; None: no condition."""
    layers: int = 3
    """Modulated layers a block (scale-conditioned read-outs)."""

    def build(self, layout: PlaneLayout, channels: Sequence[int]) -> ReadOut:
        coordinates = len(layout.axes) if self.coordinates else 0
        if self.kind == "concat":
            return ConcatReadOut(
                channels, self.out_channels, width=self.width, coordinates=coordinates, native=self.native,
                layers=self.layers,
            )  # fmt: skip
        return CoarseToFineReadOut(
            channels, self.out_channels, width=self.width, fusion=self.fusion, coordinates=coordinates,
            native=self.native, layers=self.layers,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class RadianceReadOutConfig:
    """The MLP that reads density and colour out of basis fields."""

    width: int = 256
    """Of the hidden layers."""
    fusion: Literal["concat", "sum"] = "concat"
    """How a scale joins the hidden state."""
    coordinates: bool = True
    """The coordinate itself is an input."""
    octaves: int = 4
    """Of the encoding of a ray's direction."""

    def build(self, layout: PlaneLayout, channels: Sequence[int]) -> RadianceReadOut:
        coordinates = len(layout.axes) if self.coordinates else 0
        return RadianceReadOut(
            channels, width=self.width, fusion=self.fusion, coordinates=coordinates, octaves=self.octaves
        )


@dataclass(frozen=True, kw_only=True)
class UNetConfig:
    """The U-Net over latent planes."""

    width: int = 224
    """Channels of the finest level."""
    multipliers: tuple[int, ...] = (1, 2, 4, 6)
    """Channels of each level as multiples of the width."""
    blocks: int = 2
    """Residual blocks a level."""
    attention_factors: tuple[int, ...] = (2, 4, 8)
    """Attention at the levels that are down-sampled by these factors."""
    head_channels: int = 32
    """Of an attention head."""
    groups: int = 32
    """Of GroupNorm."""
    dropout: float = 0.0
    """In the residual blocks."""
    scale_shift: bool = False
    """The time scales and shifts the second norm of a block."""
    positions: bool = False
    """A learned vector for each cell of each plane: planes side by side cannot be told apart without."""

    def build(self, plane_shapes: Sequence[PlaneShape], packing: Packing, condition: int | None) -> PlaneUNet:
        return PlaneUNet(
            plane_shapes, packing, width=self.width, multipliers=self.multipliers, blocks=self.blocks,
            attention_factors=self.attention_factors, head_channels=self.head_channels, groups=self.groups,
            dropout=self.dropout, scale_shift=self.scale_shift, positions=self.positions, condition=condition,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class DiTConfig:
    """The transformer over patches of latent planes."""

    width: int = 384
    """Channels of a token."""
    depth: int = 12
    """Blocks."""
    heads: int = 6
    """Of attention."""
    patch: int = 1
    """Cells a side of a token."""

    def build(self, plane_shapes: Sequence[PlaneShape], packing: Packing, condition: int | None) -> PlaneDiT:
        return PlaneDiT(
            plane_shapes, packing, width=self.width, depth=self.depth, heads=self.heads, patch=self.patch,
            condition=condition,
        )  # fmt: skip
