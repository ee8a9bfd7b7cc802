"""Point clouds to planes of features: the local-pool PointNet of convolutional occupancy networks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from ddmi_fields import PlaneLayout
from ddmi_fields.blocks import ResidualBlock
from ddmi_vae import EncoderConfig, PlaneEncoder, PlaneEncoderConfig, Planes
from ddmi_vae.blocks import in_precision_of


class CellPooling:
    """Which cell of a plane each point of a batch falls into; pools features over the points of a cell.

    Points are sorted by cell once, and every reduction is one over segments: the same in every run, without a compiled
    scatter.

    Args:
        cells: for each point, row * columns + column.
        count: cells of the plane.
    """

    def __init__(self, cells: Int64[Tensor, "batch point"], count: int) -> None:
        self.batch, self.points = cells.shape
        self.count = count
        flat = (cells + count * torch.arange(self.batch, device=cells.device)[:, None]).flatten()
        ordered, self.order = torch.sort(flat, stable=True)
        self.occupied, self.lengths = torch.unique_consecutive(ordered, return_counts=True)
        segment = torch.arange(len(self.occupied), device=cells.device).repeat_interleave(self.lengths)
        self.segment_of = torch.empty_like(self.order)
        self.segment_of[self.order] = segment

    def _reduce(self, features: Tensor, reduction: Literal["max", "mean"]) -> Float[Tensor, "occupied channel"]:
        exact = torch.promote_types(features.dtype, torch.float32)
        ordered = features.to(exact).flatten(0, 1).index_select(0, self.order)
        return torch.segment_reduce(ordered, reduction, lengths=self.lengths).to(features.dtype)

    def maximum(self, features: Float[Tensor, "batch point channel"]) -> Float[Tensor, "batch point channel"]:
        """For each point, the largest value of each channel in its cell."""
        maxima = self._reduce(features, "max").index_select(0, self.segment_of)
        return maxima.unflatten(0, (self.batch, self.points))

    def plane_means(self, features: Float[Tensor, "batch point channel"]) -> Float[Tensor, "batch cell channel"]:
        """The mean of each cell, 0 where there is no point."""
        means = self._reduce(features, "mean")
        plane = means.new_zeros(self.batch * self.count, features.shape[-1])
        return plane.index_copy(0, self.occupied, means).unflatten(0, (self.batch, self.count))


def plane_pools(coords: Float[Tensor, "batch point axis"], layout: PlaneLayout, size: int) -> list[CellPooling]:
    """For each plane, of size x size cells, the points of a batch; those outside [-1, 1] are in cells at the border."""
    cell = ((coords + 1) / 2 * size).long().clamp(0, size - 1)
    return [CellPooling(cell[..., row] * size + cell[..., column], size**2) for column, row in layout.plane_axes]


def cell_offsets(coords: Float[Tensor, "batch point axis"], size: int) -> Float[Tensor, "batch point axis"]:
    """Where in its cell, of `size` along each axis, a point is: -1 at its lower side, 1 at its upper one."""
    place = (coords + 1) / 2 * size
    return (2 * (place - place.floor().clamp(0, size - 1)) - 1).clamp(-1, 1)


class LocalPoolPointNet(nn.Module):
    """Points to a plane of features for each plane of the layout, of any number of points.

    Residual blocks on each point; before every block but the first, the points of a cell (of each plane, summed) tell
    each other their maxima; at last the features are averaged over the cells.  Convolutional Occupancy Networks,
    Peng et al. 2020, `LocalPoolPointnet`.

    Args:
        layout: the planes to project to.
        in_channels: of a point: its field coordinates, then extra features such as colour.
        channels: of the planes.
        hidden: width of the blocks.
        blocks: how many.
        size: cells a side of every plane.
        offsets: a point also carries its place inside its cell, from -1 to 1 along each axis.  With it small networks
            learn surfaces finer than a cell, which coordinates alone say in their last digits only.
    """

    def __init__(
        self,
        layout: PlaneLayout,
        in_channels: int = 3,
        channels: int = 32,
        *,
        hidden: int = 256,
        blocks: int = 7,
        size: int = 64,
        offsets: bool = False,
    ) -> None:
        super().__init__()
        if in_channels < len(layout.axes) or blocks < 1 or size < 1:
            raise ValueError(
                f"LocalPoolPointNet: a point has at least its {len(layout.axes)} coordinates, and blocks and size are "
                f"positive; got in_channels {in_channels}, blocks {blocks}, size {size}"
            )
        self.layout = layout
        self.in_channels, self.channels, self.size = in_channels, channels, size
        self.offsets = offsets
        self.lift = nn.Linear(in_channels + (len(layout.axes) if offsets else 0), 2 * hidden)
        self.blocks = nn.ModuleList(ResidualBlock(2 * hidden, hidden) for _ in range(blocks))
        self.out = nn.Linear(hidden, channels)

    def forward(self, points: Float[Tensor, "batch point _"]) -> Planes:
        """(batch, point, in_channels), the first ones in field coordinates, to (batch, channels, size, size) a plane.

        Points outside [-1, 1] go to the cells at the border.
        """
        if points.ndim != 3 or points.shape[-1] != self.in_channels or points.shape[1] < 1:
            raise ValueError(
                f"LocalPoolPointNet: wanted points (batch, point, {self.in_channels}) with at least one point, "
                f"got {tuple(points.shape)}"
            )
        # Under bfloat16 autocast it learns several times slower, colours hardly at all: places and features of points
        # differ by less than the rounding, and the largest of a cell are tied.
        with torch.autocast(points.device.type, enabled=False):
            return self._planes(points.to(torch.promote_types(points.dtype, torch.float32)))

    def _planes(self, points: Float[Tensor, "batch point _"]) -> Planes:
        coords = points[..., : len(self.layout.axes)]
        pools = plane_pools(coords, self.layout, self.size)
        carried = torch.cat((points, cell_offsets(coords, self.size)), dim=-1) if self.offsets else points
        h = self.lift(in_precision_of(self, carried))
        for i, block in enumerate(self.blocks):
            if i:
                pooled = sum((pool.maximum(h) for pool in pools), start=h.new_zeros(()))
                h = torch.cat((h, pooled), dim=-1)
            h = block(h)
        features = self.out(h)
        return tuple(pool.plane_means(features).transpose(1, 2).unflatten(2, (self.size, -1)) for pool in pools)


@dataclass(frozen=True, kw_only=True)
class PointEncoderConfig(EncoderConfig):
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
    planes: PlaneEncoderConfig = field(
        default_factory=lambda: PlaneEncoderConfig(in_channels=32, width=64, blocks=2, mixing="channels")
    )
    """From its features, `in_channels` wide, to moments."""

    def build(self, layout: PlaneLayout, latent_channels: int) -> PointPlaneEncoder:
        network = LocalPoolPointNet(
            layout, self.in_channels, self.planes.in_channels, hidden=self.hidden, blocks=self.blocks, size=self.size,
            offsets=self.offsets,
        )  # fmt: skip
        return PointPlaneEncoder(network, self.planes.build(layout, latent_channels), direct=self.direct)


class PointPlaneEncoder(nn.Module):
    """Encoder of a D2C-VAE for point clouds: point network, then the general plane encoder.

    Args:
        points: the point network.
        planes: from its features to moments.
        direct: a linear path beside them: the mean of the points of each cell of the latent, coordinates and features
            as they are, through a 1x1 convolution.  Colours are learned ten times sooner with it: the norms of a deep
            encoder hide what varies little within a scene.
    """

    is_chain = True
    """See `D2CVAE.is_chain`."""

    def __init__(self, points: LocalPoolPointNet, planes: PlaneEncoder, *, direct: bool = False) -> None:
        super().__init__()
        if points.channels != planes.in_channels:
            raise ValueError(
                f"PointPlaneEncoder: the point network makes {points.channels} channels, the plane encoder wants "
                f"{planes.in_channels}"
            )
        factor = planes.patch * 2 ** len(planes.downsamples)
        if points.size % factor:
            raise ValueError(
                f"PointPlaneEncoder: planes of {points.size} cells a side cannot be reduced by {factor}; give a size "
                f"that {factor} divides, such as {-(-points.size // factor) * factor}"
            )
        self.points = points
        self.planes = planes
        self.direct = nn.Conv2d(points.in_channels, planes.out.out_channels // 2, 1) if direct else None
        if self.direct is not None:
            nn.init.normal_(self.direct.weight)

    def forward(self, inputs: tuple[Tensor, ...]) -> Planes:
        """A 1-tuple of (batch, point, channel) to planes of moments."""
        (points,) = inputs
        moments = self.planes(self.points(points))
        if self.direct is None:
            return moments
        with torch.autocast(points.device.type, enabled=False):
            means = [
                self.direct(in_precision_of(self, plane)).float()
                for plane in self._cell_means(points, moments[0].shape[-1])
            ]
            paired = [(mean, *plane.float().chunk(2, dim=1)) for mean, plane in zip(means, moments, strict=True)]
            return tuple(torch.cat((direct + mean, log), dim=1) for direct, mean, log in paired)

    def _cell_means(self, points: Float[Tensor, "batch point channel"], size: int) -> Planes:
        layout = self.points.layout
        pools = plane_pools(points[..., : len(layout.axes)], layout, size)
        return tuple(pool.plane_means(points).transpose(1, 2).unflatten(2, (size, -1)) for pool in pools)
