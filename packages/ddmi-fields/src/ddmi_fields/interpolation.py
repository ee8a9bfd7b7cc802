"""Bilinear look-up of planes: at points, at points with second derivatives, and on regular grids (separable)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

AxisWeights = tuple[Int[Tensor, " _"], Int[Tensor, " _"], Float[Tensor, " _"]]


def _to_index(coordinate: Tensor, count: int, align_corners: bool) -> Tensor:
    """Field coordinate in [-1, 1] to a fractional cell index, clamped to the border."""
    index = (coordinate + 1) / 2 * (count - 1) if align_corners else ((coordinate + 1) * count - 1) / 2
    return index.clamp(0, count - 1)


def _exact(plane: Tensor) -> Tensor:
    """A plane as it is looked up: half precision in float32."""
    return plane.float() if plane.dtype in (torch.float16, torch.bfloat16) else plane


def sample_plane(
    plane: Float[Tensor, "batch channel rows columns"],
    points: Float[Tensor, "batch query 2"],
    align_corners: bool = False,
) -> Float[Tensor, "batch query channel"]:
    """phi(c; Xi): bilinear interpolation of the four nearest basis vectors, clamped to the border.

    `points` holds (column, row) coordinates in [-1, 1].  First derivatives only: not every torch has a double backward
    of `grid_sample`.
    Half precision is looked up in float32: on CPU `grid_sample` of channels-last bfloat16 planes returns NaN.

    Examples:
        >>> plane = torch.tensor([[[[0.0, 1.0]]]])  # one row, two columns with centres at x = -0.5 and 0.5
        >>> sample_plane(plane, torch.tensor([[[-0.5, 0.0], [0.0, 0.0], [1.0, 0.0]]])).flatten().tolist()
        [0.0, 0.5, 1.0]
    """
    exact = _exact(plane)
    sampled = F.grid_sample(
        exact,
        points[:, :, None].to(exact.dtype),
        mode="bilinear",
        padding_mode="border",
        align_corners=align_corners,
    )
    return sampled[..., 0].transpose(1, 2).to(plane.dtype)


def sample_plane_twice_differentiable(
    plane: Float[Tensor, "batch channel rows columns"],
    points: Float[Tensor, "batch query 2"],
    align_corners: bool = False,
) -> Float[Tensor, "batch query channel"]:
    """The same values as `sample_plane` from gathers, so that second derivatives exist (eikonal losses, normals).

    Bilinear interpolation is linear along each axis within a cell: of its second derivatives with respect to the
    coordinates only the mixed one is not zero.

    Examples:
        >>> plane = torch.tensor([[[[0.0, 0.0], [0.0, 1.0]]]])  # x y, up to a scale and a shift
        >>> point = torch.zeros(1, 1, 2, requires_grad=True)
        >>> value = sample_plane_twice_differentiable(plane, point)
        >>> (slope,) = torch.autograd.grad(value.sum(), point, create_graph=True)
        >>> torch.autograd.grad(slope[0, 0, 0], point)[0].tolist()  # the mixed derivative
        [[[0.0, 1.0]]]
    """
    rows, columns = plane.shape[-2:]
    flat = _exact(plane).flatten(2).transpose(1, 2)
    points = points.to(flat.dtype)
    (x0, x1, wx), (y0, y1, wy) = (
        _neighbours(_to_index(points[..., k], count, align_corners), count) for k, count in enumerate((columns, rows))
    )

    def gather(y: Tensor, x: Tensor) -> Tensor:
        return flat.gather(1, (y * columns + x)[..., None].expand(-1, -1, flat.shape[-1]))

    top = gather(y0, x0) * (1 - wx) + gather(y0, x1) * wx
    bottom = gather(y1, x0) * (1 - wx) + gather(y1, x1) * wx
    return (top * (1 - wy) + bottom * wy).to(plane.dtype)


def _neighbours(index: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    lower = index.detach().long().clamp(0, max(count - 2, 0))  # an index is not negative
    return lower, lower + (1 if count > 1 else 0), (index - lower)[..., None]


def sample_plane_on_grid(
    plane: Float[Tensor, "batch rows columns channel"],
    columns: Float[Tensor, " width"],
    rows: Float[Tensor, " height"],
    align_corners: bool = False,
) -> Float[Tensor, "batch height width channel"]:
    """`sample_plane` at all pairs of row and column coordinates, one axis after the other.

    The plane comes channels-last, so that each basis vector is one contiguous run.  Rows are resampled on the few
    columns that the grid touches: the cost is that of the output, whatever the size of the plane.  Elsewhere than on a
    CPU they are resampled on all columns, as finding those would mean to wait for the device.

    Examples:
        >>> plane = torch.tensor([[[[0.0], [1.0]]]])  # channels-last: one row, two columns
        >>> sample_plane_on_grid(plane, columns=torch.tensor([-0.5, 0.0, 0.5]), rows=torch.zeros(1)).flatten().tolist()
        [0.0, 0.5, 1.0]
    """
    along_columns = axis_weights(columns, plane.shape[2], align_corners)
    return resample(plane, along_columns, axis_weights(rows, plane.shape[1], align_corners))


def resample(
    plane: Float[Tensor, "batch rows columns channel"], columns: AxisWeights, rows: AxisWeights
) -> Float[Tensor, "batch height width channel"]:
    """A channels-last plane at all pairs of row and column, from what `axis_weights` says of each."""
    (x0, x1, wx), (y0, y1, wy) = columns, rows
    first, last = 0, plane.shape[2] - 1
    if len(x0) and plane.device.type == "cpu":
        first, last = int(x0.min()), int(x1.max())
    strip = plane[:, :, first : last + 1]
    strip = torch.lerp(strip.index_select(1, y0), strip.index_select(1, y1), wy[:, None, None].to(plane.dtype))
    return torch.lerp(strip.index_select(2, x0 - first), strip.index_select(2, x1 - first), wx[:, None].to(plane.dtype))


def axis_weights(coordinates: Float[Tensor, " cell"], count: int, align_corners: bool) -> AxisWeights:
    """The cells below and above each coordinate of an axis of `count` cells, and how much the one above counts."""
    lower, upper, weight = _neighbours(_to_index(coordinates, count, align_corners), count)
    return lower, upper, weight[..., 0]
