"""Learned planes: a positional-embedding layer for any coordinate network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ddmi_fields.basis_field import BasisField, Reduction
from ddmi_fields.layout import PlaneLayout


class PlaneEmbedding(nn.Module):
    """Basis fields as parameters: `forward(coords)` concatenates the embeddings of all scales.

    Args:
        layout: axes and planes.
        sizes: cells per side of each scale's planes, coarse to fine; a number, or one number an axis.
        channels: width of a basis vector.
        reduction: "sum", "concat" or "product" over planes.
        std: of the normal initial values.

    >>> embed = PlaneEmbedding(PlaneLayout.image(), sizes=(16, 64), channels=8)
    >>> embed(torch.zeros(1, 5, 2)).shape
    torch.Size([1, 5, 16])
    """

    def __init__(
        self,
        layout: PlaneLayout,
        sizes: Sequence[int | Sequence[int]],
        channels: int,
        *,
        reduction: Reduction = "sum",
        std: float = 0.1,
    ) -> None:
        super().__init__()
        if not sizes or channels < 1:
            raise ValueError(f"PlaneEmbedding: needs at least one size and one channel, got {sizes}, {channels}")
        self.layout = layout
        self.reduction: Reduction = reduction
        scales = []
        for size in sizes:
            cells = [size] * len(layout.axes) if isinstance(size, int) else list(size)
            if len(cells) != len(layout.axes) or min(cells) < 1:
                raise ValueError(
                    f"PlaneEmbedding: size {size} must be a positive number, or one an axis of {layout.axes!r}"
                )
            shapes = layout.plane_sizes(dict(zip(layout.axes, cells, strict=True)))
            scales.append(nn.ParameterList(nn.Parameter(std * torch.randn(1, channels, *shape)) for shape in shapes))
        self.planes = nn.ModuleList(scales)

    @property
    def basis(self) -> BasisField:
        """The planes as a basis field of batch 1, for a read-out or an `ImplicitFunction`."""
        fields = [list(scale.parameters()) for scale in self.planes]
        return BasisField(self.layout, fields, self.reduction)

    @property
    def out_channels(self) -> int:
        return sum(self.basis.channels)

    def forward(
        self, coords: Float[Tensor, "batch query axis"], *, twice_differentiable: bool = False
    ) -> Float[Tensor, "batch query channel"]:
        """Embeddings at points in [-1, 1] (border values outside); every batch element reads the same planes."""
        if coords.ndim != 3:
            raise ValueError(f"PlaneEmbedding: coordinates must be (batch, query, axis), got {tuple(coords.shape)}")
        points = coords.reshape(1, -1, coords.shape[-1])
        embedded = torch.cat(self.basis.embed(points, twice_differentiable=twice_differentiable), dim=-1)
        return embedded.reshape(*coords.shape[:2], -1)
