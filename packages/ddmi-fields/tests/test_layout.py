import dataclasses

import pytest
import torch

from ddmi_fields import PlaneLayout


def test_first_named_axis_runs_along_columns() -> None:
    layout = PlaneLayout("xyt", ("xy", "yt", "xt"))
    assert layout.plane_axes == ((0, 1), (1, 2), (0, 2))
    assert layout.plane_sizes({"x": 5, "y": 4, "t": 3}) == ((4, 5), (3, 4), (3, 5))


def test_projection_takes_column_then_row() -> None:
    point = torch.tensor([[[0.1, 0.2, 0.3]]])
    projected = PlaneLayout("xyz", ("zy", "xz")).project(point)
    torch.testing.assert_close(projected[0][0, 0], torch.tensor([0.3, 0.2]))
    torch.testing.assert_close(projected[1][0, 0], torch.tensor([0.1, 0.3]))


@pytest.mark.parametrize(
    ("axes", "planes", "says"),
    [
        ("xx", ("xy",), "two different letters"),
        ("x", (), "two different letters"),
        ("xy", (), "no planes"),
        ("xy", ("xz",), "two different axes of 'xy'"),
        ("xy", ("xx",), "two different axes"),
        ("xyz", ("xy",), "constant along it"),
    ],
)
def test_bad_layouts_say_what_to_do(axes: str, planes: tuple[str, ...], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        PlaneLayout(axes, planes)


def test_missing_size_is_named() -> None:
    with pytest.raises(ValueError, match=r"no size given for \['t'\]"):
        PlaneLayout.video().plane_sizes({"x": 1, "y": 1})


@pytest.mark.usefixtures("_untyped")
@pytest.mark.parametrize("shape", [(1, 4, 3), (4, 2)])
def test_coordinates_of_another_dimension_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\(batch, query, 2\) in the order 'xy', got"):
        PlaneLayout.image().project(torch.zeros(shape))


def test_layout_is_hashable_and_frozen() -> None:
    assert {PlaneLayout.image(): 1}[PlaneLayout("xy", ("xy",))] == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        PlaneLayout.image().axes = "yx"  # type: ignore[misc]
