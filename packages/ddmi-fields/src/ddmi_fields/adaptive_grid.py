"""Grids finer than the planes: read at few cells, interpolated between them, and read wherever that does not do."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Read = Callable[[Sequence[Tensor]], Tensor]
"""Values (batch, channel, cell) at cells, given by their numbers along each dimension of the grid."""

NODES = 4
"""Cells read first along each side of a cell of the finest plane: a thinner detail may be missed."""
COARSEST = 16
"""Cells between two that are read first, at most."""
TILE = 2**20
"""Cells of a grid worked on at once: bounds the memory beside the result's."""


@dataclass(frozen=True, eq=False)
class AdaptiveGrid:
    """A grid read to a tolerance, and what it cost.

    Examples:
        >>> from ddmi_fields import BasisField, CoarseToFineReadOut, ImplicitFunction, PlaneLayout
        >>> basis = BasisField(PlaneLayout.image(), [[torch.randn(1, 8, 4, 4)]])
        >>> function = ImplicitFunction(basis, CoarseToFineReadOut([8], out_channels=3, width=16))
        >>> read = function.adaptive_grid((512, 512), tolerance=0.1)
        >>> read.values.shape, read.evaluated < 512 * 512
        (torch.Size([1, 3, 512, 512]), True)
    """

    values: Float[Tensor, "batch channel ..."]
    evaluated: int
    """Cells, of all functions, at which one was evaluated."""


def strides_for(size: Sequence[int], planes: Sequence[int]) -> tuple[int, ...]:
    """Cells between two that are read first, along each dimension of a grid over planes of so many cells there."""
    wanted = (count // (NODES * cells) for count, cells in zip(size, planes, strict=True))
    return tuple(2 ** min(int(math.log2(COARSEST)), max(0, one.bit_length() - 1)) for one in wanted)


def read_adaptively(
    read: Read, size: Sequence[int], window: Sequence[tuple[int, int]], strides: Sequence[int], tolerance: float
) -> AdaptiveGrid:
    """A window of a grid whose values are off by about `tolerance` at most, by an interpolating wavelet transform.

    Cells at multiples of `strides`, powers of two, are read.  Then strides are halved again and again: new cells are
    predicted by the cubic through their four neighbours along each dimension (Deslauriers & Dubuc 1989).  All new cells
    of a dimension's first halving are read, and those of later ones that are next to a cell whose prediction was off
    by more than the tolerance (as in Donoho 1992, "Interpolating wavelet transforms", where details are small unless
    those around them are large).  Cells that are read first are the same for every window of a grid.

    Args:
        read: one function, at cells.
        size: cells of the whole grid.
        window: first cell and the one after the last, along each dimension.
        strides: cells between two that are read first, along each dimension, see `strides_for`.
        tolerance: in units of values.
    """
    # two cells more at every end, where there are some, so that cubics reach as far as in one piece
    starts = [max(0, start // step - 2) * step for (start, _), step in zip(window, strides, strict=True)]
    counts = [
        -(-(min(stop + 2 * step, count) - 1 - first) // step) + 1
        for (_, stop), count, first, step in zip(window, size, starts, strides, strict=True)
    ]
    steps = list(strides)

    def read_nodes(nodes: Sequence[Tensor]) -> Tensor:
        return read([first + step * node for first, step, node in zip(starts, steps, nodes, strict=True)])

    every = torch.meshgrid(*(torch.arange(n) for n in counts), indexing="ij")
    values = read_nodes([axis.reshape(-1) for axis in every]).unflatten(2, counts)
    evaluated = every[0].numel()
    off = torch.ones(counts, dtype=torch.bool)
    while (largest := max(steps)) > 1:
        halved = [d for d, step in enumerate(steps) if step == largest]
        if any(steps[d] == strides[d] for d in halved):  # nothing is known yet of how well these are predicted
            off.fill_(True)
        for d in halved:
            values, steps[d] = _halve(values, d + 2), steps[d] // 2
        even = tuple(slice(None, None, 2) if d in halved else slice(None) for d in range(len(steps)))
        wanted = _next_to(off, halved)
        wanted[even] = False
        for d, ((start, stop), first, step) in enumerate(zip(window, starts, steps, strict=True)):
            line = wanted.movedim(d, 0)  # of what is outside the window, only what its own cubics reach
            line[: max(0, (start - first) // step - 2)] = False
            line[-(first - stop) // step + 2 :] = False
        nodes = wanted.nonzero(as_tuple=True)
        off = torch.zeros_like(wanted)
        if len(nodes[0]):
            exact = read_nodes(nodes)
            at = (slice(None), slice(None), *(node.to(values.device) for node in nodes))
            within = ((exact - values[at]).abs() <= tolerance).flatten(0, 1).all(0)  # NaN is not
            values[at] = exact
            off[nodes] = ~within.cpu()
            evaluated += len(nodes[0])
    cut = [slice(start - first, stop - first) for (start, stop), first in zip(window, starts, strict=True)]
    return AdaptiveGrid(values[(slice(None), slice(None), *cut)], evaluated)


def _halve(values: Tensor, dimension: int) -> Tensor:
    """Twice as many cells, less one: between each two the cubic through four, at the ends through what there is."""
    shape = list(values.shape)
    shape[dimension] = 2 * shape[dimension] - 1
    halved = values.new_empty(shape)
    line, finer = values.movedim(dimension, 0), halved.movedim(dimension, 0)
    finer[::2] = line
    if len(line) > 1:
        ends = torch.cat((line[:1], line, line[-1:]))
        finer[1::2] = torch.lerp(ends[:-3] + ends[3:], line[:-1] + line[1:], 9 / 8).mul_(0.5)
    return halved


def _next_to(marked: Bool[Tensor, "..."], halved: Sequence[int]) -> Bool[Tensor, "..."]:
    """Cells of the next finer level within two of them of a marked one, along each dimension."""
    for d in range(marked.ndim):
        line = marked.movedim(d, 0)
        near = line.clone()
        near[1:] |= line[:-1]
        near[:-1] |= line[1:]
        if d in halved:
            finer = near.new_empty(2 * len(line) - 1, *line.shape[1:])
            finer[::2], finer[1::2] = near, line[:-1] | line[1:]
            near = finer
        marked = near.movedim(0, d)
    return marked
