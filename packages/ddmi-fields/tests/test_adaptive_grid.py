"""Grids finer than the planes, read to a tolerance."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ddmi_fields import BasisField, CoarseToFineReadOut, ImplicitFunction, PlaneLayout
from ddmi_fields.adaptive_grid import read_adaptively, strides_for


def _function(layout: PlaneLayout, cells: int = 8, batch: int = 1, native: int | None = None) -> ImplicitFunction:
    torch.manual_seed(0)
    fields = [[torch.randn(batch, 4, side, side) for _ in layout.planes] for side in (cells // 2, cells)]
    basis = BasisField(layout, fields)
    read_out = CoarseToFineReadOut(basis.channels, 2, width=16, native=native)
    for parameter in read_out.parameters():
        nn.init.normal_(parameter, std=0.5)
    return ImplicitFunction(basis, read_out).detach()


@pytest.mark.parametrize("native", [None, 8])
@pytest.mark.parametrize("tolerance", [0.02, 0.1])
def test_values_are_within_about_the_tolerance_and_few_are_read(tolerance: float, native: int | None) -> None:
    function = _function(PlaneLayout.image(), native=native)
    exact = function.grid((512, 512))
    made = function.adaptive_grid((512, 512), tolerance * float(exact.std()))
    error = (made.values - exact).abs() / exact.std()
    assert error.max() < 4 * tolerance
    assert error.square().mean().sqrt() < tolerance / 3
    assert made.evaluated < 0.3 * 512**2
    assert torch.equal(function.grid((512, 512), tolerance=tolerance * float(exact.std())), made.values)


def test_a_finer_tolerance_reads_more_and_errs_less() -> None:
    function = _function(PlaneLayout.image())
    exact = function.grid((512, 512))
    made = [function.adaptive_grid((512, 512), tolerance) for tolerance in (0.3, 0.1, 0.03, 0.01)]
    assert sorted(one.evaluated for one in made) == [one.evaluated for one in made]
    errors = [float((one.values - exact).square().mean()) for one in made]
    assert sorted(errors, reverse=True) == errors


@pytest.mark.parametrize(
    ("layout", "size"), [(PlaneLayout.video(), (5, 128, 128)), (PlaneLayout.triplane(), (96,) * 3)]
)
def test_more_axes_each_by_its_own_stride(layout: PlaneLayout, size: tuple[int, ...]) -> None:
    function = _function(layout, cells=4)
    exact = function.grid(size)
    made = function.adaptive_grid(size, 0.02 * float(exact.std()))
    assert (made.values - exact).abs().max() < 0.08 * exact.std()
    assert made.evaluated < 0.6 * exact[0, 0].numel()


def test_functions_of_a_batch_are_read_as_alone_and_their_scales_are_their_own() -> None:
    function = _function(PlaneLayout.image(), batch=3, native=8)
    scales = torch.tensor([0.1, 0.5, 1.0])
    together = function.adaptive_grid((256, 128), 0.05, condition=scales)
    alone = [function[i].adaptive_grid((256, 128), 0.05, condition=float(scales[i])) for i in range(3)]
    torch.testing.assert_close(together.values, torch.cat([one.values for one in alone]))
    assert together.evaluated == sum(one.evaluated for one in alone)


@pytest.mark.parametrize(
    "crop", [((0, 100), (0, 512)), ((37, 300), (201, 202)), ((511, 512), (500, 512)), ((5, 5), (0, 9))]
)
def test_a_crop_is_a_window_of_the_whole(crop: Any) -> None:
    function = _function(PlaneLayout.image())
    exact = function.grid((512, 512), crop)
    made = function.grid((512, 512), crop, tolerance=0.05)
    assert made.shape == exact.shape
    assert torch.allclose(made, exact, atol=0.2)


def test_large_grids_are_read_in_tiles_that_fit_together(monkeypatch: pytest.MonkeyPatch) -> None:
    function, seen = _function(PlaneLayout.image(), batch=2), []
    whole = function.adaptive_grid((512, 512), 0.05)

    def progress(tiles: Iterable[Any]) -> Iterable[Any]:
        for tile in tiles:
            seen.append(tile)
            yield tile

    monkeypatch.setattr("ddmi_fields.function.ADAPTIVE_TILE", 128 * 128)
    tiled = function.adaptive_grid((512, 512), 0.05, progress=progress)
    assert len(seen) == 2 * 16
    assert (tiled.values - whole.values).abs().max() < 0.1
    assert tiled.evaluated < 1.3 * whole.evaluated, "what tiles share is read again, and is little"


def test_a_grid_about_as_fine_as_the_planes_is_read_as_it_is() -> None:
    function = _function(PlaneLayout.image(), batch=2)
    made = function.adaptive_grid((50, 40), 0.5)
    assert torch.equal(made.values, function.grid((50, 40)))
    assert made.evaluated == 2 * 50 * 40


def test_gradients_are_followed_through_all_cells() -> None:
    function = _function(PlaneLayout.image())
    function.basis = function.basis.map(lambda plane: plane.requires_grad_())
    values = function.grid((128, 128), tolerance=0.1)
    assert torch.equal(values, function.grid((128, 128)))
    assert values.requires_grad


def test_cubics_are_predicted_exactly_and_steps_are_read() -> None:
    def cubic(cells: Any) -> Tensor:
        y, x = (line.double() / 64 for line in cells)
        return torch.stack((x**3 - y**2 * x, y + 0 * x))[None]

    made = read_adaptively(cubic, (128, 128), ((32, 96), (32, 96)), (8, 8), 1e-9)
    y, x = torch.meshgrid(torch.arange(32, 96), torch.arange(32, 96), indexing="ij")
    torch.testing.assert_close(made.values, cubic((y, x)), atol=1e-9, rtol=0)
    assert made.evaluated <= 25**2, "all of strides 8 and 4 and the margin, nothing else"

    def step(cells: Any) -> Tensor:
        return (cells[0] + cells[1] > 77).double()[None, None]

    made = read_adaptively(step, (128, 128), ((0, 128), (0, 128)), (16, 16), 0.01)
    y, x = torch.meshgrid(torch.arange(128), torch.arange(128), indexing="ij")
    assert torch.equal(made.values, step((y, x)))
    assert made.evaluated < 128**2 / 2


def test_what_is_not_finite_is_read_everywhere_and_kept() -> None:
    def holed(cells: Any) -> Tensor:
        y, x = cells
        return torch.where((y - 60).abs() + (x - 60).abs() < 9, torch.nan, 1.0)[None, None]

    made = read_adaptively(holed, (128, 128), ((0, 128), (0, 128)), (8, 8), 0.1)
    y, x = torch.meshgrid(torch.arange(128), torch.arange(128), indexing="ij")
    assert torch.equal(made.values.isnan(), holed((y, x)).isnan())


@pytest.mark.parametrize(
    ("size", "planes", "strides"),
    [((4096, 4096), (64, 64), (16, 16)), ((512, 512), (64, 64), (2, 2)), ((511, 64), (64, 64), (1, 1)),
     ((16, 2048, 2048), (16, 32, 64), (1, 16, 8)), ((10**6,), (1,), (16,))],
)  # fmt: skip
def test_strides_leave_four_cells_to_each_of_a_plane(
    size: tuple[int, ...], planes: tuple[int, ...], strides: tuple[int, ...]
) -> None:
    assert strides_for(size, planes) == strides


@pytest.mark.parametrize(
    ("tolerance", "condition"), [(0.0, None), (-1.0, None), (float("nan"), None), (0.1, torch.zeros(1, 9, 3))]
)
def test_bad_tolerances_and_conditions_are_refused(tolerance: float, condition: Any) -> None:
    with pytest.raises(ValueError, match=r"adaptive_grid: wanted a positive tolerance and a condition that all cells"):
        _function(PlaneLayout.image()).grid((512, 512), condition=condition, tolerance=tolerance)


@pytest.mark.parametrize("size", [(1024, 256), (256, 1024), (1024, 512)])
def test_edges_along_the_side_of_the_smaller_stride_are_found(size: tuple[int, int]) -> None:
    for along in (0, 1):

        def edge(cells: Any, along: int = along) -> Tensor:
            return torch.tanh(60 * ((2 * cells[along].double() + 1) / size[along] - 1))[None, None]

        strides = strides_for(size, (16, 16))
        made = read_adaptively(edge, size, [(0, count) for count in size], strides, 0.01)
        exact = edge(torch.meshgrid(*(torch.arange(count) for count in size), indexing="ij"))
        assert (made.values - exact).abs().max() < 0.04


def test_no_functions_and_thin_windows() -> None:
    function = _function(PlaneLayout.image(), batch=2)
    assert function[:0].grid((512, 512), tolerance=0.1).shape == (0, 2, 512, 512)
    thin = function.adaptive_grid((512, 512), 0.1, ((100, 101), (0, 300)))
    assert thin.evaluated <= 2 * 300
