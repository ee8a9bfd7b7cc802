"""Batches, queries, rendering: the seam between images and functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from ddmi_fields import BasisField, CoarseToFineReadOut, ConcatReadOut, ImplicitFunction, PlaneLayout, grid_coordinates
from ddmi_modalities import Modality
from ddmi_modalities.files.pixels import to_float
from ddmi_modalities.grid_query import GridQuery
from ddmi_modalities.image import (
    ImageFolder,
    ImageItem,
    ImageModality,
    ImageRendering,
    ImageRenderOptions,
    OpenMoji,
    zoom_views,
)


@dataclass(frozen=True)
class Ramp:
    """An item whose pixel (y, x) at size s is (column, row, number): shows where a window was cut."""

    number: int
    caption: str | None = None

    @property
    def name(self) -> str:
        return str(self.number)

    def pixels(self, size: int) -> Tensor:
        index = torch.arange(size, dtype=torch.uint8)
        number = torch.full((size, size), self.number, dtype=torch.uint8)
        return torch.stack([index.expand(size, size), index[:, None].expand(size, size), number])

    def window(self, size: int, top: int, left: int, side: int) -> Tensor:
        return self.pixels(size)[:, top : top + side, left : left + side]


def function(batch: int, *, native: int | None = 8, channels: int = 3) -> ImplicitFunction:
    torch.manual_seed(0)
    field = BasisField(PlaneLayout.image(), [[torch.randn(batch, 4, 8, 8)]])
    read_out = (
        CoarseToFineReadOut([4], channels, width=16, native=native)
        if native is not None
        else ConcatReadOut([4], channels, width=16, blocks=1)
    )
    return ImplicitFunction(field, read_out)


ITEMS = [Ramp(number) for number in range(5)]


def test_it_is_a_modality() -> None:
    modality: Modality[ImageItem, GridQuery, ImageRenderOptions, ImageRendering] = ImageModality()
    assert modality.RenderOptions is ImageRenderOptions
    assert modality.layout == PlaneLayout.image()


def test_windows_are_true_pixels_at_true_coordinates(randomness: Callable[..., Any]) -> None:
    modality = ImageModality(size=8, target_sizes=(20,), target_weights=(1.0,), crop=6)
    batch = modality.collate(ITEMS, randomness(5))
    assert batch.inputs[0].shape == (5, 3, 8, 8)
    assert batch.inputs[0].dtype == torch.float32
    assert batch.target.shape == (5, 36, 3)
    assert len(batch) == 5
    assert batch.query.condition.tolist() == pytest.approx([8 / 20] * 5)
    # the ramp's values are the pixel's indices, so they give the coordinates: x from columns, y from rows
    index = (batch.target[..., :2] + 1) * 127.5
    assert torch.allclose(batch.query.coords, (2 * index + 1) / 20 - 1, atol=1e-5)
    corners = index[:, 0].round()
    assert len({tuple(corner) for corner in corners.tolist()}) > 1
    windows = batch.query.pictures(batch.target)
    assert windows.shape == (5, 3, 6, 6)
    for item, window, (left, top) in zip(ITEMS, windows, corners.int().tolist(), strict=True):
        assert torch.equal(window, to_float(item.pixels(20))[:, top : top + 6, left : left + 6])


@pytest.mark.parametrize("flip", [False, True])
def test_random_pixels_are_true_at_their_coordinates(randomness: Callable[..., Any], flip: bool) -> None:
    modality = ImageModality(size=20, target_sizes=(20,), target_weights=(1.0,), num_queries=50, flip=flip)
    batch = modality.collate(ITEMS, randomness(5))
    assert batch.target.shape == (5, 50, 3)
    # the encoder sees the same, perhaps mirrored, image
    pixel = (((batch.query.coords + 1) * 20 - 1) / 2).round().long()
    for image, values, at in zip(batch.inputs[0], batch.target, pixel, strict=True):
        assert torch.equal(image[:, at[:, 1], at[:, 0]].T, values)
    assert len({tuple(one) for one in pixel[0].tolist()}) > 30
    with pytest.raises(ValueError, match="set the modality's num_queries to 0"):
        batch.query.pictures(batch.target)


def test_whole_image_where_the_crop_is_not_smaller(randomness: Callable[..., Any]) -> None:
    batch = ImageModality(size=8, target_sizes=(8,), target_weights=(1.0,), crop=64).collate(ITEMS, randomness(5))
    assert torch.equal(batch.query.coords, grid_coordinates((8, 8)).expand(5, -1, -1))
    assert torch.equal(batch.query.pictures(batch.target), batch.inputs[0])
    assert batch.query.condition.tolist() == [1.0] * 5


def test_draws_depend_on_the_global_position_only(randomness: Callable[..., Any]) -> None:
    modality = ImageModality(size=8, target_sizes=(10, 20), target_weights=(1.0, 1.0), crop=6, flip=True)
    whole = modality.collate(ITEMS, randomness(5, 3))
    part = modality.collate(ITEMS[3:], randomness([3, 4], 3))
    assert torch.equal(whole.target[3:], part.target)
    assert torch.equal(whole.inputs[0][3:], part.inputs[0])
    sizes = {modality.collate(ITEMS, randomness(5, step)).query.condition[0].item() for step in range(20)}
    assert len(sizes) == 2


def test_flip_mirrors_input_and_target_together(randomness: Callable[..., Any]) -> None:
    modality = ImageModality(size=8, target_sizes=(8,), target_weights=(1.0,), crop=8, flip=True)
    items = [Ramp(number) for number in range(16)]
    batch = modality.collate(items, randomness(16))
    assert torch.equal(batch.query.pictures(batch.target), batch.inputs[0])
    descending = batch.inputs[0][:, 0, 0, 0] > batch.inputs[0][:, 0, 0, -1]
    assert 0 < descending.sum() < 16


@pytest.mark.parametrize("native", [8, None])
def test_predict_equals_the_grid(randomness: Callable[..., Any], native: int | None) -> None:
    modality = ImageModality(size=8, target_sizes=(12,), target_weights=(1.0,), crop=12)
    batch = modality.collate(ITEMS, randomness(5))
    functions = function(5, native=native)
    with torch.no_grad():
        values = batch.query.pictures(modality.predict(functions, batch.query))
        assert torch.allclose(values, functions.grid((12, 12)), atol=1e-5)


def test_nll_by_likelihood() -> None:
    made, true = torch.zeros(2, 7, 3), torch.full((2, 7, 3), 2.0)
    assert ImageModality(likelihood="laplace").nll(made, true).tolist() == [6, 6]
    assert ImageModality(likelihood="gaussian").nll(made, true).tolist() == [12, 12]


def test_render_crop_save_and_read_back(tmp_path: Path) -> None:
    modality = ImageModality(size=8)
    whole = modality.render(function(2), ImageRenderOptions(resolution=(12, 20)))
    assert whole.images.shape == (2, 3, 12, 20)
    window = modality.render(function(2), ImageRenderOptions(resolution=(12, 20), crop=((2, 7), (10, 20))))
    assert torch.equal(window.images, whole.images[:, :, 2:7, 10:20])
    paths = whole.save(tmp_path / "new" / "folder")
    assert [path.name for path in paths] == ["000.png", "001.png"]
    with Image.open(paths[0]) as picture:
        assert picture.size == (20, 12)
    (inputs,) = modality.read(paths[0])
    assert inputs.shape == (1, 3, 8, 8)
    assert -1 <= inputs.min() < inputs.max() <= 1
    with pytest.raises(ValueError, match="cannot read the image"):
        modality.read(tmp_path / "none.png")


def test_truth() -> None:
    modality = ImageModality(size=8)
    options = ImageRenderOptions(resolution=32, crop=((0, 16), (16, 32)))
    true = modality.truth(ITEMS, options)
    assert torch.equal(true.images[1], ITEMS[1].pixels(32)[:, :16, 16:])
    with pytest.raises(ValueError, match="the data are square pictures"):
        modality.truth(ITEMS, ImageRenderOptions(resolution=(10, 20)))


def test_sources(photographs: Path, tmp_path: Path) -> None:
    data = ImageModality(size=64, target_sizes=(64, 256), target_weights=(1.0, 1.0)).dataset("test")
    assert isinstance(data, OpenMoji)
    assert data.sizes == (64,)
    sizes = {"size": 64, "target_sizes": (64, 256, 512), "target_weights": (1.0, 1.0, 1.0)}
    assert ImageModality(num_queries=8, **sizes).dataset("test").sizes == (64, 256)
    assert isinstance(ImageModality(source=str(photographs), cache=tmp_path).dataset("train"), ImageFolder)
    with pytest.raises(ValueError, match="does not exist"):
        ImageModality(source=str(tmp_path / "nowhere")).dataset("train")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "must be positive"),
        ({"crop": -1}, "must be positive"),
        ({"num_queries": -1}, "num_queries must not be negative"),
        ({"target_sizes": ()}, "give one weight for each size"),
        ({"target_sizes": (32, 64)}, "give one weight for each size"),
        ({"target_weights": (0.0,)}, "one must be positive"),
        ({"target_weights": (-1.0,)}, "must not be negative"),
    ],
)
def test_bad_configurations(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ImageModality(**options)


@pytest.mark.parametrize("options", [{"resolution": 0}, {"crop": ((0, 300), (0, 5))}, {"crop": ((5, 5), (0, 5))}])
def test_bad_views(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="ImageRenderOptions"):
        ImageRenderOptions(**options)


def test_zoom_views_stay_inside() -> None:
    first, second, corner = (*zoom_views(10, (1, 4)), *zoom_views(10, (2,), (0, 1)))
    assert (first.resolution, first.crop) == (10, ((0, 10), (0, 10)))
    assert (second.resolution, second.crop) == (40, ((15, 25), (15, 25)))
    assert corner.crop == ((0, 10), (10, 20))
    with pytest.raises(ValueError, match="factors of at least 1"):
        zoom_views(10, (0.5,))
