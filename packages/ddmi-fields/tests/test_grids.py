from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ddmi_fields import (
    BasisField,
    CoarseToFineReadOut,
    ImplicitFunction,
    PlaneEmbedding,
    PlaneLayout,
    cell_centres,
    grid_coordinates,
)


def test_cell_centres_tile_the_interval() -> None:
    torch.testing.assert_close(cell_centres(4), torch.tensor([-0.75, -0.25, 0.25, 0.75]))
    torch.testing.assert_close(cell_centres(1), torch.tensor([0.0]))


def test_cell_centres_are_rounded_once() -> None:
    for count in (3, 7, 100, 1023):
        exact = [(2 * i + 1) / count - 1 for i in range(count)]
        assert torch.equal(cell_centres(count), torch.tensor(exact, dtype=torch.float64).float())
        assert torch.equal(cell_centres(count, 1, 3), cell_centres(count)[1:3])


class Doubles(TorchDispatchMode):
    """Notes what makes float64 tensors on the device "meta", which stands for one that has none (Apple's MPS)."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor) and out.dtype == torch.float64 and out.device.type == "meta":
            self.made.append(str(func))
        return out


@pytest.mark.parametrize("twice", [False, True])
def test_nothing_is_computed_in_float64_on_the_device(twice: bool) -> None:
    layout = PlaneLayout.image()
    with torch.device("meta"):
        basis = BasisField(layout, [[torch.empty(2, 4, 8, 8)]])
        read_out = CoarseToFineReadOut(basis.channels, 3, width=16, native=8)
        embed = PlaneEmbedding(layout, 8, 4, bounds=((0.0, 1.0),) * 2)
    with Doubles() as doubles:
        assert cell_centres(5, device="meta").device.type == "meta"
        coords = grid_coordinates((8, 6), device="meta")
        ImplicitFunction(basis, read_out)(coords, torch.ones(2, dtype=torch.float64), twice_differentiable=twice)
        embed(coords, twice_differentiable=twice)
    assert doubles.made == []
    with torch.device("meta"):
        assert cell_centres(5).device.type == "meta", "the default device"


def test_grid_is_in_reverse_axis_order_with_x_fastest() -> None:
    coords = grid_coordinates((2, 3))[0].reshape(2, 3, 2)
    assert (coords[0, :, 0].diff() > 0).all(), "x grows along the last dimension"
    assert (coords[:, 0, 1].diff() > 0).all(), "y grows along the first"
    assert coords[0, 0].tolist() == pytest.approx([-2 / 3, -1 / 2])


def test_crop_counts_cells_of_the_full_grid() -> None:
    whole = grid_coordinates((6, 5, 4)).reshape(6, 5, 4, 3)
    part = grid_coordinates((6, 5, 4), ((1, 4), (0, 5), (2, 3))).reshape(3, 5, 1, 3)
    torch.testing.assert_close(part, whole[1:4, :, 2:3], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("size", "crop", "says"),
    [
        ((0, 3), None, "positive whole numbers"),
        ((3, 3), ((0, 3),), "1 .start, stop. pairs for 2"),
        ((3, 3), ((0, 4), (0, 3)), "not within the 3 cells"),
        ((3, 3), ((2, 1), (0, 3)), "not within the 3 cells"),
    ],
)
def test_bad_sizes_and_crops(size: tuple[int, ...], crop: tuple[tuple[int, int], ...] | None, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        grid_coordinates(size, crop)
