"""Learned planes: a positional-embedding layer for any coordinate network."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ddmi_fields.basis_field import BasisField, Reduction
from ddmi_fields.layout import PlaneLayout


class _Scale(nn.ParameterList):
    """The planes of one scale.  It is called, so that the hooks of pruning and of weight norms see each use."""

    __call__ = nn.Module.__call__  # a ParameterList's own refuses

    def forward(self) -> list[Tensor]:
        # By attribute: in replicas and under parametrisations the planes are not among `parameters()`.
        return list(self)


class PlaneEmbedding(nn.Module):
    """Basis fields as parameters: `forward(coords)` concatenates the embeddings of all scales.

    Args:
        layout: axes and planes.
        sizes: cells per side of each scale's planes, coarse to fine; a number, or one number an axis.  A number alone
            is one scale.
        channels: width of a basis vector, or one a scale.
        reduction: "sum", "concat" or "product" over planes.
        std: of the normal initial values.
        bounds: (low, high) of each axis, which `forward` maps to [-1, 1]; None: coordinates are in [-1, 1].

    Examples:
        >>> embed = PlaneEmbedding(PlaneLayout.image(), sizes=(16, 64), channels=8)
        >>> embed(torch.zeros(1, 5, 2)).shape
        torch.Size([1, 5, 16])
    """

    def __init__(
        self,
        layout: PlaneLayout,
        sizes: int | Sequence[int | Sequence[int]],
        channels: int | Sequence[int],
        *,
        reduction: Reduction = "sum",
        std: float = 0.1,
        bounds: Sequence[tuple[float, float]] | None = None,
    ) -> None:
        super().__init__()
        sizes = [sizes] if isinstance(sizes, int) else list(sizes)
        widths = [channels] * len(sizes) if isinstance(channels, int) else list(channels)
        if not sizes or len(widths) != len(sizes) or min(widths) < 1:
            raise ValueError(
                f"PlaneEmbedding: needs at least one size, and one positive number of channels or one a scale, got "
                f"sizes {sizes} and channels {channels}"
            )
        if bounds is not None and (
            len(bounds) != len(layout.axes) or not all(-math.inf < low < high < math.inf for low, high in bounds)
        ):
            raise ValueError(
                f"PlaneEmbedding: bounds must be finite (low, high), low first, for each axis of {layout.axes!r}, got "
                f"{bounds}"
            )
        self.layout = layout
        self.reduction: Reduction = reduction
        self.bounds = None if bounds is None else tuple(bounds)
        scales = []
        for size, width in zip(sizes, widths, strict=True):
            cells = [size] * len(layout.axes) if isinstance(size, int) else list(size)
            if len(cells) != len(layout.axes) or min(cells) < 1:
                raise ValueError(
                    f"PlaneEmbedding: size {size} must be a positive number, or one an axis of {layout.axes!r}"
                )
            shapes = layout.plane_sizes(dict(zip(layout.axes, cells, strict=True)))
            scales.append(_Scale(nn.Parameter(std * torch.randn(1, width, *shape)) for shape in shapes))
        self.planes = nn.ModuleList(scales)
        self.out_channels = sum(self.basis.channels)

    @property
    def basis(self) -> BasisField:
        """The planes as a basis field of batch 1 in [-1, 1], for a read-out or an `ImplicitFunction`."""
        return BasisField(self.layout, [scale() for scale in self.planes], self.reduction)

    def forward(
        self, coords: Float[Tensor, "*points axis"], *, twice_differentiable: bool = False
    ) -> Float[Tensor, "*points channel"]:
        """Embeddings at points within `bounds`, with any leading dimensions; border values outside.

        ValueError where the last dimension does not count the axes.
        """
        if coords.ndim < 1 or coords.shape[-1] != len(self.layout.axes):
            raise ValueError(
                f"PlaneEmbedding: coordinates must be (..., {len(self.layout.axes)}) in the order "
                f"{self.layout.axes!r}, got {tuple(coords.shape)}"
            )
        points = coords.reshape(1, -1, coords.shape[-1])
        if self.bounds is not None:
            sides = zip(points.unbind(-1), self.bounds, strict=True)
            points = torch.stack([2 * ((side - low) / (high - low)) - 1 for side, (low, high) in sides], dim=-1)
        embedded = torch.cat(self.basis.embed(points, twice_differentiable=twice_differentiable), dim=-1)
        return embedded.reshape(*coords.shape[:-1], self.out_channels)
