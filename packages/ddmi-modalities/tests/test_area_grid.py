"""Pictures smaller than any that a function was trained on are means of larger ones."""

from __future__ import annotations

import pytest
import torch

from ddmi_fields import BasisField, CoarseToFineReadOut, ImplicitFunction, PlaneLayout
from ddmi_modalities.area_grid import area_grid
from ddmi_modalities.files.pixels import to_bytes
from ddmi_modalities.image import ImageModality, ImageRenderOptions
from ddmi_modalities.video import VideoRenderOptions


@pytest.fixture(params=["xy", "xyt"])
def function(request: pytest.FixtureRequest) -> ImplicitFunction:
    torch.manual_seed(0)
    layout = PlaneLayout.image() if request.param == "xy" else PlaneLayout.video()
    planes = [torch.randn(2, 4, 8, 8) for _ in layout.planes]
    return ImplicitFunction(BasisField(layout, [planes]), CoarseToFineReadOut([4], 3, width=8, native=16))


def test_below_the_least_size_cells_are_means_of_finer_ones(function: ImplicitFunction) -> None:
    before = (5,) if len(function.basis.layout.axes) == 3 else ()
    with torch.no_grad():
        made = area_grid(function, (*before, 4, 6), least=16)
        fine = function.grid((*before, 16, 18))  # the fewest of a multiple that are enough
        assert made.shape == (2, 3, *before, 4, 6)
        wanted = torch.nn.functional.avg_pool2d(fine.flatten(0, -3)[:, None], (4, 3)).view_as(made)
        torch.testing.assert_close(made, wanted)


def test_from_the_least_size_on_nothing_is_changed(function: ImplicitFunction) -> None:
    size = (3,) * (len(function.basis.layout.axes) - 2) + (16, 20)
    with torch.no_grad():
        assert torch.equal(area_grid(function, size, least=16), function.grid(size))


def test_a_crop_is_a_part_of_the_whole(function: ImplicitFunction) -> None:
    before = ((0, 5),) if len(function.basis.layout.axes) == 3 else ()
    size = (*(stop for _, stop in before), 8, 8)
    with torch.no_grad():
        part = area_grid(function, size, least=16, crop=(*before, (2, 5), (1, 8)))
        torch.testing.assert_close(part, area_grid(function, size, least=16)[..., 2:5, 1:8], rtol=1e-4, atol=1e-5)


def test_pictures_below_the_smallest_target_are_such_means() -> None:
    torch.manual_seed(0)
    basis = BasisField(PlaneLayout.image(), [[0.1 * torch.randn(1, 4, 8, 8)]])  # of values within [-1, 1]
    function = ImplicitFunction(basis, CoarseToFineReadOut([4], 3, width=8, native=32))
    modality = ImageModality(size=32, target_sizes=(32, 64), target_weights=(0.5, 0.5))
    small, large = (modality.render(function, ImageRenderOptions(resolution=n)).images.float() for n in (16, 32))
    assert (small - torch.nn.functional.avg_pool2d(large, 2)).abs().max() <= 1.01


def test_large_pictures_are_read_to_a_tolerance_and_exactly_where_asked() -> None:
    torch.manual_seed(0)
    basis = BasisField(PlaneLayout.image(), [[torch.randn(1, 4, 8, 8)]])
    read_out = CoarseToFineReadOut([4], 3, width=16, native=16)
    function = ImplicitFunction(basis, read_out).detach()
    modality = ImageModality(source="openmoji", size=16, target_sizes=(16,), target_weights=(1.0,))
    exact = modality.render(function, ImageRenderOptions(resolution=512, tolerance=None)).images
    close = modality.render(function, ImageRenderOptions(resolution=512)).images
    assert torch.equal(exact[0], to_bytes(function.grid((512, 512))[0]))
    difference = (exact.int() - close.int()).abs()
    assert difference.float().mean() < 0.5
    assert difference.max() <= 5, "steps of 8 bits"
    assert not torch.equal(exact, close)


@pytest.mark.parametrize("options", [ImageRenderOptions, VideoRenderOptions])
@pytest.mark.parametrize("tolerance", [0.0, -0.1, float("nan")])
def test_a_tolerance_is_positive(
    options: type[ImageRenderOptions] | type[VideoRenderOptions], tolerance: float
) -> None:
    with pytest.raises(ValueError, match=f"{options.__name__}: the tolerance is positive, or None for exact colours"):
        options(tolerance=tolerance)
