"""Reading a function on grids coarser than any that it was trained on."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from ddmi_fields import ImplicitFunction
from ddmi_fields.function import Progress
from ddmi_fields.grids import Crop

TOLERANCE = 0.01
"""Of colours in [-1, 1] that are looked at: about one step of 8 bits, at edges now and then three."""


def check_tolerance(name: str, tolerance: float | None) -> None:
    """ValueError unless it is positive, or None."""
    if tolerance is not None and not tolerance > 0:
        raise ValueError(f"{name}: the tolerance is positive, or None for exact colours; got {tolerance}")


def area_grid(
    function: ImplicitFunction,
    size: Sequence[int],
    least: int,
    crop: Crop | None = None,
    *,
    tolerance: float | None = None,
    progress: Progress | None = None,
) -> Float[Tensor, "batch channel ..."]:
    """`function.grid(size, crop)`, to a tolerance where one is given; below `least` rows or columns, means over the
    cells of a finer grid.

    A large pixel shows the mean of what it covers, and a read-out that is conditioned on scale never learned a scale
    coarser than `least`, the coarsest grid of its training.  The last two of `size` are rows and columns.
    """
    folds = [1] * (len(size) - 2) + [max(1, -(-least // side)) for side in size[-2:]]
    if max(folds) == 1:
        return function.grid(size, crop, tolerance=tolerance, progress=progress)
    fine = [side * fold for side, fold in zip(size, folds, strict=True)]
    window = crop and [(start * fold, stop * fold) for (start, stop), fold in zip(crop, folds, strict=True)]
    values = function.grid(fine, window, tolerance=tolerance, progress=progress)
    rows, columns = folds[-2:]
    return values.unflatten(-1, (-1, columns)).mean(-1).unflatten(-2, (-1, rows)).mean(-2)
