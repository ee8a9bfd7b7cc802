"""Places, areas and values on grids of latitude and longitude."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ddmi_modalities.geometry.sphere_grid import SphereGrid, globe, unit_vectors

NAVY = SphereGrid(np.linspace(90, -90, 73), -180 + 2.5 * np.arange(144))
"""With rows at the poles."""


def test_unit_vectors_point_where_they_should() -> None:
    found = unit_vectors(np.array([0.0, 0, 90, -90, 45]), np.array([0.0, 90, 12, 34, -180]))
    half = 0.5**0.5
    wanted = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, -1], [-half, 0, half]])
    torch.testing.assert_close(found, wanted, atol=1e-7, rtol=0)
    assert torch.allclose(NAVY.points.norm(dim=-1), torch.ones(73, 144))


def test_whole_turns_and_poles_are_the_same_bit_for_bit() -> None:
    latitude = np.linspace(-90, 90, 37)
    for west, east in ((-180.0, 180.0), (0.0, 360.0), (-90.0, 270.0), (12.5, 372.5)):
        a, b = (unit_vectors(latitude, np.full_like(latitude, one)) for one in (west, east))
        assert torch.equal(a, b)
        assert np.array_equal(a.numpy().view(np.int32), b.numpy().view(np.int32))  # zeros, too
    for pole in (90.0, -90.0):
        found = unit_vectors(np.full(50, pole), np.linspace(-180, 360, 50))
        assert torch.equal(found, found[:1].expand_as(found))


@pytest.mark.parametrize("grid", [NAVY, SphereGrid.even(20)])
def test_areas_are_those_of_the_sphere(grid: SphereGrid) -> None:
    assert grid.areas.sum().item() == pytest.approx(1)
    # the mean of z^2 over the sphere is 1/3, of x, y and z 0
    assert grid.mean(grid.points[..., 2] ** 2).item() == pytest.approx(1 / 3, abs=2e-3)
    assert grid.mean(grid.points.movedim(-1, 0)).abs().max() < 1e-6
    inner = grid.row_shares[1:-1] / np.cos(np.radians(grid.latitude[1:-1]))
    np.testing.assert_allclose(inner, inner.mean(), rtol=1e-6)


def test_even_cells_are_drawn_by_area() -> None:
    places = torch.rand(200_000, 2, generator=torch.Generator().manual_seed(0))
    rows, columns = NAVY.even_cells(places)
    shares = torch.bincount(rows, minlength=73) / len(rows)
    torch.testing.assert_close(shares, torch.from_numpy(NAVY.row_shares).float(), atol=2e-3, rtol=0)
    assert torch.bincount(columns, minlength=144).min() > 1200
    ends = NAVY.even_cells(torch.tensor([[0.0, 0.0], [1 - 1e-7, 1 - 1e-7]]))
    assert [one.tolist() for one in ends] == [[0, 72], [0, 143]]


def test_interpolation_is_exact_at_points_and_linear_between() -> None:
    grid = SphereGrid.even(6)
    values = torch.rand(2, 3, *grid.shape, generator=torch.Generator().manual_seed(0))
    at = np.broadcast_arrays(grid.latitude[:, None], grid.longitude[None, :])
    torch.testing.assert_close(grid.interpolate(values, *at), values)
    # across the date line: between the last column and the first
    found = grid.interpolate(values, np.array([grid.latitude[2]]), np.array([180.0]))
    torch.testing.assert_close(found[..., 0], (values[..., 2, 0] + values[..., 2, -1]) / 2)
    beyond = grid.interpolate(values, np.array([89.9]), np.array([grid.longitude[3] + 360]))
    torch.testing.assert_close(beyond[..., 0], values[..., 0, 3])


def test_coarser_grids() -> None:
    coarse = NAVY.every(4)
    assert coarse.shape == (19, 36)
    assert coarse.latitude[[0, -1]].tolist() == [90, -90]
    with pytest.raises(ValueError, match="144 columns and 73 rows have no grid of every 5-th"):
        NAVY.every(5)


def test_a_globe_shows_half_of_the_sphere() -> None:
    north, east = globe(201, 30.0, 100.0)
    assert north[100, 100] == pytest.approx(30)
    assert east[100, 100] == pytest.approx(100)
    assert np.isnan(north[0, 0])
    assert np.isnan(north).mean() == pytest.approx(1 - np.pi / 4 / 1.02**2, abs=0.01)
    middle, seen = unit_vectors(np.array(30.0), np.array(100.0)), unit_vectors(north, east)
    assert np.nanmin((seen * middle).sum(-1).numpy()) > -1e-6
    assert north[20, 100] > 60
    assert east[100, 150] > 100
