"""The map between world and field coordinates, by hand."""

from __future__ import annotations

import pytest
import torch

from ddmi_modalities.extent import Extent


def test_shapes_live_in_a_padded_unit_cube() -> None:
    extent = Extent.cube()
    assert extent == Extent((-0.55, -0.55, -0.55), (0.55, 0.55, 0.55))
    world = torch.tensor([[0.55, -0.55, 0.0], [0.5, 1.1, -0.275]])
    wanted = torch.tensor([[1.0, -1.0, 0.0], [0.5 / 0.55, 2.0, -0.5]])
    assert torch.allclose(extent.to_field(world), wanted)


def test_axes_have_their_own_maps() -> None:
    extent = Extent((0.0, -2.0), (4.0, 0.0))
    assert torch.equal(extent.to_field(torch.tensor([[1.0, -0.5]])), torch.tensor([[-0.5, 0.5]]))
    assert extent.scale == (0.5, 1.0)
    points = torch.rand(2, 5, 2, dtype=torch.float64) * 8 - 4
    assert torch.allclose(extent.to_world(extent.to_field(points)), points, atol=1e-15)
    assert extent.to_world(points).dtype == torch.float64


def test_scale_is_the_derivative() -> None:
    extent = Extent((0.0, -2.0, 1.0), (4.0, 0.0, 1.5))
    world = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    extent.to_field(world).sum().backward()
    assert world.grad is not None
    assert tuple(world.grad[0].tolist()) == pytest.approx(extent.scale)


@pytest.mark.parametrize(
    ("low", "high", "message"),
    [
        ((0.0, 0.0), (1.0,), "low has 2 axes and high has 1"),
        ((), (), "give both one number per axis"),
        ((0.0, 1.0), (1.0, 1.0), r"must lie below high .* swap or widen"),
        ((float("nan"),), (1.0,), "must lie below high"),
        ((0.0,), (float("inf"),), "must be finite"),
    ],
)
def test_extent_messages(low: tuple[float, ...], high: tuple[float, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Extent(low, high)


def test_wrong_number_of_axes() -> None:
    with pytest.raises(ValueError, match=r"wanted coordinates with 3 axes in the last dimension, got \(4, 2\)"):
        Extent.cube().to_field(torch.zeros(4, 2))
