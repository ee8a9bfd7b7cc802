"""Generated basis fields: dense planes of basis vectors at several scales, and their look-up (HDBF)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ddmi_fields.interpolation import axis_weights, resample, sample_plane, sample_plane_twice_differentiable
from ddmi_fields.layout import PlaneLayout

Reduction = Literal["sum", "concat", "product"]


class BasisField:
    """`Xi = {Xi^1 .. Xi^n}`: `fields[scale][plane]`, coarse to fine, each (batch, channel, rows, columns).

    A positional embedding is `p^i = phi(c; Xi^i)`; with several planes the point is projected onto each, and the
    results p_1 .. p_m are summed or concatenated over planes (`reduction`).  "product" concatenates
    `p_k * (1 + p_(k+1))`, the next of the last being the first (a single plane: `p_1`): the terms `p_k * p_(k+1)` say
    where two projections agree, and the ones keep each plane heard by itself.  It is a variant of the single product
    over all planes `p_1 * .. * p_m` of K-Planes (Fridovich-Keil et al. 2023), of as many channels as "concat".

    Examples:
        >>> planes = [[torch.randn(2, 8, 16, 16)], [torch.randn(2, 8, 64, 64)]]  # two scales of two images
        >>> basis = BasisField(PlaneLayout.image(), planes)
        >>> coarse, fine = basis.embed(torch.zeros(1, 5, 2))
        >>> coarse.shape, fine.shape
        (torch.Size([2, 5, 8]), torch.Size([2, 5, 8]))
    """

    def __init__(self, layout: PlaneLayout, fields: Sequence[Sequence[Tensor]], reduction: Reduction = "sum") -> None:
        if reduction not in ("sum", "concat", "product"):
            raise ValueError(f"BasisField: reduction must be 'sum', 'concat' or 'product', got {reduction!r}")
        if not fields:
            raise ValueError("BasisField: no scales; give at least one list of planes")
        for scale, planes in enumerate(fields):
            if len(planes) != len(layout.planes):
                raise ValueError(
                    f"BasisField: scale {scale} has {len(planes)} planes, the layout names {len(layout.planes)}: "
                    f"{layout.planes}"
                )
            for name, plane in zip(layout.planes, planes, strict=True):
                if plane.ndim != 4 or plane.shape[0] != fields[0][0].shape[0] or 0 in plane.shape[2:]:
                    raise ValueError(
                        f"BasisField: scale {scale}, plane {name!r} must be (batch={fields[0][0].shape[0]}, channel, "
                        f"{name[1]}, {name[0]}) with at least one cell a side, got {tuple(plane.shape)}"
                    )
            if reduction != "concat" and len({plane.shape[1] for plane in planes}) > 1:
                raise ValueError(
                    f"BasisField: planes of scale {scale} have {[plane.shape[1] for plane in planes]} channels and "
                    f"cannot be reduced by {reduction!r}; use reduction='concat'"
                )
        self.layout = layout
        self.fields: tuple[tuple[Tensor, ...], ...] = tuple(tuple(planes) for planes in fields)
        self.reduction: Reduction = reduction

    @property
    def batch(self) -> int:
        return self.fields[0][0].shape[0]

    @property
    def device(self) -> torch.device:
        return self.fields[0][0].device

    @property
    def dtype(self) -> torch.dtype:
        return self.fields[0][0].dtype

    @property
    def channels(self) -> tuple[int, ...]:
        """Width of each scale's embedding, coarse to fine."""
        widths = ([plane.shape[1] for plane in planes] for planes in self.fields)
        return tuple(width[0] if self.reduction == "sum" else sum(width) for width in widths)

    @property
    def cells(self) -> tuple[int, ...]:
        """Most cells that a plane has along each axis, in the order of a grid's sizes: the last axis first."""
        most = [1] * len(self.layout.axes)
        for planes in self.fields:
            for plane, (column, row) in zip(planes, self.layout.plane_axes, strict=True):
                most[column] = max(most[column], plane.shape[3])
                most[row] = max(most[row], plane.shape[2])
        return tuple(reversed(most))

    def map(self, change: Callable[[Tensor], Tensor]) -> BasisField:
        """A basis field of the same kind whose planes are `change(plane)`."""
        return type(self)(self.layout, [[change(plane) for plane in planes] for planes in self.fields], self.reduction)

    def _reduce(self, sampled: Sequence[Tensor]) -> Tensor:
        if self.reduction == "sum":
            return functools.reduce(torch.add, sampled)
        if self.reduction == "product" and len(sampled) > 1:
            sampled = [one.contiguous() for one in sampled]  # the backward pass of a product of transposes is slow
            sampled = [one * (1 + sampled[(i + 1) % len(sampled)]) for i, one in enumerate(sampled)]
        shape = torch.broadcast_shapes(*(one.shape[:-1] for one in sampled))
        return torch.cat([one.expand(*shape, one.shape[-1]) for one in sampled], dim=-1)

    def embed(
        self, coords: Float[Tensor, "#batch query axis"], *, twice_differentiable: bool = False
    ) -> list[Float[Tensor, "batch query _"]]:
        """`[p^1 .. p^n]` at points in field coordinates; outside [-1, 1] the border value.

        A coordinate batch of 1 broadcasts.  `twice_differentiable` takes a slower look-up whose derivatives can be
        differentiated again.
        """
        if coords.ndim == 3 and coords.shape[0] == 1 != self.batch:
            coords = coords.expand(self.batch, -1, -1)
        if coords.ndim != 3 or coords.shape[0] != self.batch:
            raise ValueError(
                f"embed: coordinates must be ({self.batch} or 1, query, {len(self.layout.axes)}) for "
                f"{self.batch} functions, got {tuple(coords.shape)}"
            )
        sample = sample_plane_twice_differentiable if twice_differentiable else sample_plane
        points = self.layout.project(coords)
        return [
            self._reduce(
                [sample(plane, at, self.layout.align_corners) for plane, at in zip(planes, points, strict=True)]
            )
            for planes in self.fields
        ]

    def grid_sampler(self) -> Callable[[Sequence[Tensor]], list[Tensor]]:
        """`[p^1 .. p^n]` as a function of one list of coordinates an axis (in axis order): their tensor product.

        Queries come flattened with the first axis fastest, equal to `embed` at the same points.  Each plane is
        resampled at its own two axes only, one after the other, and broadcast over the rest.  The planes are laid out
        channels-last once, here, so that a grid is read in tiles without laying them out again.
        """
        channels_last = [[plane.permute(0, 2, 3, 1).contiguous() for plane in planes] for planes in self.fields]
        axes = len(self.layout.axes)

        def sample(lines: Sequence[Tensor]) -> list[Tensor]:
            shape = [len(line) for line in reversed(lines)]
            # planes that share an axis and its number of cells are read at the same places along it
            weights = functools.cache(lambda axis, cells: axis_weights(lines[axis], cells, self.layout.align_corners))
            embeddings = []
            for planes in channels_last:
                sampled = []
                for plane, (column, row) in zip(planes, self.layout.plane_axes, strict=True):
                    values = resample(plane, weights(column, plane.shape[2]), weights(row, plane.shape[1]))
                    view = [1] * axes
                    view[axes - 1 - column], view[axes - 1 - row] = len(lines[column]), len(lines[row])
                    ordered = values if column < row else values.transpose(1, 2)
                    sampled.append(ordered.reshape(self.batch, *view, plane.shape[-1]))
                reduced = self._reduce(sampled)
                embeddings.append(reduced.expand(-1, *shape, -1).flatten(1, -2))
            return embeddings

        return sample
