import pytest
import torch

from ddmi_fields import cell_centres, grid_coordinates


def test_cell_centres_tile_the_interval() -> None:
    torch.testing.assert_close(cell_centres(4), torch.tensor([-0.75, -0.25, 0.25, 0.75]))
    torch.testing.assert_close(cell_centres(1), torch.tensor([0.0]))


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
