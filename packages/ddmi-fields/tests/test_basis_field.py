"""Look-ups against an independent slow version, in every way that they can be asked for."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ddmi_fields import BasisField, PlaneLayout, cell_centres, grid_coordinates
from ddmi_fields.interpolation import sample_plane, sample_plane_twice_differentiable

LAYOUTS = {
    "image": PlaneLayout.image(),
    "triplane": PlaneLayout.triplane(),
    "triplane corners": PlaneLayout.triplane(align_corners=True),
    "video": PlaneLayout.video(),
    "transposed": PlaneLayout("xyt", ("xy", "ty", "tx")),
    "four axes": PlaneLayout("xyzt", ("xy", "zt")),
}


def slow_bilinear(plane: Tensor, column: float, row: float, align_corners: bool) -> Tensor:
    """One point, written out: the four nearest basis vectors, indices clamped to the border."""
    _, rows, columns = plane.shape
    x = (column + 1) / 2 * (columns - 1) if align_corners else (column + 1) / 2 * columns - 0.5
    y = (row + 1) / 2 * (rows - 1) if align_corners else (row + 1) / 2 * rows - 0.5
    x, y = min(max(x, 0.0), columns - 1.0), min(max(y, 0.0), rows - 1.0)
    x0, y0 = math.floor(x), math.floor(y)
    x1, y1 = min(x0 + 1, columns - 1), min(y0 + 1, rows - 1)
    top = plane[:, y0, x0] * (1 - (x - x0)) + plane[:, y0, x1] * (x - x0)
    bottom = plane[:, y1, x0] * (1 - (x - x0)) + plane[:, y1, x1] * (x - x0)
    return top * (1 - (y - y0)) + bottom * (y - y0)


def make(layout: PlaneLayout, reduction: str = "sum", batch: int = 2, dtype: torch.dtype = torch.float32) -> BasisField:
    torch.manual_seed(0)
    sizes = [{"x": 5, "y": 4, "z": 3, "t": 2}, {"x": 9, "y": 11, "z": 8, "t": 7}]
    planes = [[torch.randn(batch, 3, *s, dtype=dtype) for s in layout.plane_sizes(size)] for size in sizes]
    return BasisField(layout, planes, reduction)  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 7), st.integers(1, 7), st.booleans(), st.floats(-1.3, 1.3), st.floats(-1.3, 1.3), st.integers(0, 99)
)
def test_point_look_ups_equal_the_slow_version(
    rows: int, columns: int, align: bool, x: float, y: float, seed: int
) -> None:
    plane = torch.randn(1, 2, rows, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    point = torch.tensor([[[x, y]]], dtype=torch.float64)
    wanted = slow_bilinear(plane[0], x, y, align)
    for sample in (sample_plane, sample_plane_twice_differentiable):
        torch.testing.assert_close(sample(plane, point, align)[0, 0], wanted, atol=1e-9, rtol=0)


@pytest.mark.parametrize("reduction", ["sum", "concat", "product"])
@pytest.mark.parametrize("name", LAYOUTS)
def test_embedding_is_the_reduction_of_projected_look_ups(name: str, reduction: str) -> None:
    layout = LAYOUTS[name]
    basis = make(layout, reduction)
    points = torch.rand(2, 3, len(layout.axes)) * 2.2 - 1.1
    embedded = basis.embed(points)
    assert [e.shape for e in embedded] == [(2, 3, width) for width in basis.channels]
    for (scale, planes), item, query in itertools.product(enumerate(basis.fields), range(2), range(3)):
        point = points[item, query].tolist()
        one = [
            slow_bilinear(plane[item], *(point[axis] for axis in axes), layout.align_corners)
            for plane, axes in zip(planes, layout.plane_axes, strict=True)
        ]
        if reduction == "product" and len(one) > 1:
            one = [one[i] + one[i] * (one + one)[i + 1] for i in range(len(one))]
        wanted = sum(one) if reduction == "sum" else torch.cat(one)
        torch.testing.assert_close(embedded[scale][item, query], wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("reduction", ["sum", "concat", "product"])
@pytest.mark.parametrize("name", LAYOUTS)
def test_separable_grid_equals_points(name: str, reduction: str) -> None:
    layout = LAYOUTS[name]
    basis = make(layout, reduction)
    size = (3, 13, 6, 5)[: len(layout.axes)]
    lines = [cell_centres(n) for n in reversed(size)]
    for grid, points in zip(basis.grid_sampler()(lines), basis.embed(grid_coordinates(size)), strict=True):
        torch.testing.assert_close(grid, points, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("batch", [0, 2])
@pytest.mark.parametrize("queries", [0, 3])
@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("reduction", ["sum", "concat", "product"])
@pytest.mark.parametrize("name", ["image", "video"])
def test_no_points_and_no_functions(name: str, reduction: str, twice: bool, queries: int, batch: int) -> None:
    layout = LAYOUTS[name]
    basis = make(layout, reduction, batch).map(lambda plane: plane.requires_grad_())
    points = torch.zeros(batch, queries, len(layout.axes), requires_grad=True)
    embedded = basis.embed(points, twice_differentiable=twice)
    assert [e.shape for e in embedded] == [(batch, queries, width) for width in basis.channels]
    sum(e.sum() for e in embedded).backward()  # type: ignore[union-attr]
    assert points.grad is not None
    assert all(plane.grad is not None and plane.grad.shape == plane.shape for scale in basis.fields for plane in scale)
    with torch.no_grad():
        again = basis.embed(points, twice_differentiable=twice)
    for a, b in zip(again, embedded, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_points_outside_read_the_border() -> None:
    basis = make(PlaneLayout.image())
    inside, outside = torch.tensor([[[1.0, -1.0]]]), torch.tensor([[[7.0, -3.0]]])
    for a, b in zip(basis.embed(inside), basis.embed(outside), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_cell_centre_reads_the_cell_and_one_cell_is_constant() -> None:
    plane = torch.arange(12.0).reshape(1, 1, 3, 4)
    read = BasisField(PlaneLayout.image(), [[plane]]).embed(grid_coordinates((3, 4)))[0]
    torch.testing.assert_close(read[0, :, 0], torch.arange(12.0))
    constant = BasisField(PlaneLayout.image(), [[plane[..., :1, :1]]]).embed(torch.rand(1, 9, 2) * 4 - 2)[0]
    assert (constant == 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_half_precision_is_finite_and_close(dtype: torch.dtype, memory_format: torch.memory_format) -> None:
    plane = torch.randn(1, 8, 6, 6)
    points = torch.rand(1, 50, 2) * 2 - 1
    for sample in (sample_plane, sample_plane_twice_differentiable):
        half = sample(plane.to(dtype).to(memory_format=memory_format), points)
        assert half.dtype == dtype
        torch.testing.assert_close(half.float(), sample_plane(plane, points), atol=0.05, rtol=0.05)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("of_points", [torch.bfloat16, torch.float32, torch.float64])
def test_values_have_the_dtype_of_the_planes_whatever_that_of_the_points(
    dtype: torch.dtype, of_points: torch.dtype
) -> None:
    points = torch.rand(1, 50, 2).to(of_points)
    planes = make(PlaneLayout.image())
    exact, basis = planes.embed(points.float()), planes.map(lambda plane: plane.to(dtype))
    tolerance = 0.02 if dtype == torch.bfloat16 else 1e-5
    for twice in (False, True):
        for wanted, embedded in zip(exact, basis.embed(points, twice_differentiable=twice), strict=True):
            assert embedded.dtype == dtype
            torch.testing.assert_close(embedded.float(), wanted, atol=tolerance, rtol=tolerance)


@pytest.mark.usefixtures("_untyped")
def test_bad_planes_are_named() -> None:
    layout = PlaneLayout.triplane()
    good = [torch.zeros(1, 2, 4, 4)] * 3
    with pytest.raises(ValueError, match="scale 0 has 2 planes, the layout names 3"):
        BasisField(layout, [good[:2]])
    with pytest.raises(ValueError, match="scale 1, plane 'yz'"):
        BasisField(layout, [good, [good[0], torch.zeros(2, 2, 4, 4), good[0]]])
    with pytest.raises(ValueError, match="reduction='concat'"):
        BasisField(layout, [[torch.zeros(1, 2, 4, 4), torch.zeros(1, 3, 4, 4), good[0]]])
    with pytest.raises(ValueError, match="no scales"):
        BasisField(layout, [])
    with pytest.raises(ValueError, match="reduction must be 'sum', 'concat' or 'product', got 'mean'"):
        BasisField(layout, [good], "mean")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one cell"):
        BasisField(layout, [[torch.zeros(1, 2, 0, 4)] * 3])
    with pytest.raises(ValueError, match=r"embed: coordinates must be \(1 or 1, query, 3\) .* got \(5, 3\)"):
        BasisField(layout, [good]).embed(torch.zeros(5, 3))
