from __future__ import annotations

import pickle
import tracemalloc
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch import Tensor

from ddmi_fields import BasisField, CoarseToFineReadOut, ConcatReadOut, ImplicitFunction, PlaneLayout, grid_coordinates


def image_function(batch: int = 2, native: int | None = None, **options: Any) -> ImplicitFunction:
    torch.manual_seed(0)
    basis = BasisField(PlaneLayout.image(), [[torch.randn(batch, 8, s, s)] for s in (4, 8, 16)])
    return ImplicitFunction(basis, CoarseToFineReadOut(basis.channels, 3, width=32, native=native), **options)


@pytest.mark.parametrize("native", [None, 16])
@pytest.mark.parametrize("tile", [7, 64, 4096])
@pytest.mark.parametrize(("axes", "size"), [("xy", (17, 12)), ("xyz", (5, 6, 7)), ("xyt", (3, 8, 9))])
@torch.no_grad()
def test_grid_equals_points_for_every_tiling(axes: str, size: tuple[int, ...], tile: int, native: int | None) -> None:
    layouts = {"xy": PlaneLayout.image(), "xyz": PlaneLayout.triplane(), "xyt": PlaneLayout.video()}
    cells = [{"x": 5, "y": 4, "z": 3, "t": 2}, {"x": 9, "y": 11, "z": 8, "t": 7}]
    fields = [[torch.randn(2, 4, *s) for s in layouts[axes].plane_sizes(c)] for c in cells]
    basis = BasisField(layouts[axes], fields, "concat")
    read_out = CoarseToFineReadOut(basis.channels, 3, width=16, native=native)
    function = ImplicitFunction(basis, read_out, tile=tile)
    condition = None if native is None else native / size[-2]
    points = function(grid_coordinates(size), condition).transpose(1, 2).reshape(2, 3, *size)
    torch.testing.assert_close(function.grid(size), points, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_crop_is_a_window_of_the_whole_grid() -> None:
    function = image_function(native=16)
    whole = function.grid((40, 30))
    crop = function.grid((40, 30), crop=((5, 20), (29, 30)))
    torch.testing.assert_close(crop, whole[:, :, 5:20, 29:30], atol=1e-5, rtol=1e-5)
    assert function.grid((40, 30), crop=((5, 5), (0, 30))).shape == (2, 3, 0, 30)


@torch.no_grad()
def test_scale_condition_of_a_grid_is_native_over_rows() -> None:
    function = image_function(native=16)
    default, given = function.grid((32, 32)), function.grid((32, 32), condition=0.5)
    torch.testing.assert_close(default, given, rtol=0, atol=0)
    coords = grid_coordinates((16, 16))
    torch.testing.assert_close(function(coords), function(coords, 1.0), rtol=0, atol=0)
    assert not torch.allclose(function(coords), function(coords, 0.25))
    per_function = function(coords, torch.tensor([1.0, 0.25]))
    torch.testing.assert_close(per_function[1:], function[1:](coords, 0.25), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_batch_indexing_and_iteration() -> None:
    function = image_function(batch=3)
    whole = function.grid((6, 6))
    assert len(function) == 3
    for i, one in enumerate(function):
        torch.testing.assert_close(one.grid((6, 6)), whole[i : i + 1], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(function[-1].grid((6, 6)), whole[2:], atol=1e-5, rtol=1e-5)
    with pytest.raises(IndexError, match="function 3 of a batch of 3"):
        function[3]


def test_empty_batches_and_queries() -> None:
    function = image_function()
    assert function(torch.zeros(1, 0, 2)).shape == (2, 0, 3)
    assert function[0:0].grid((4, 4)).shape == (0, 3, 4, 4)
    assert function[0:0](torch.zeros(1, 5, 2)).shape == (0, 5, 3)
    assert function.grid((1, 1)).shape == (2, 3, 1, 1)


@torch.no_grad()
def test_per_query_condition_is_cut_with_the_points() -> None:
    class Shift(CoarseToFineReadOut):
        def forward(self, embeddings: list[Tensor], coords: Tensor, condition: Any = None) -> Tensor:
            return super().forward(embeddings, coords) + condition

    basis = BasisField(PlaneLayout.image(), [[torch.randn(2, 4, 4, 4)]])
    function = ImplicitFunction(basis, Shift(basis.channels, 3, width=16), tile=5)
    coords, shift = torch.rand(2, 33, 2), torch.randn(2, 33, 3)
    plain = ImplicitFunction(basis, function.read_out, tile=10_000)
    torch.testing.assert_close(function(coords, shift), plain(coords, shift), atol=1e-6, rtol=1e-6)


@torch.no_grad()
def test_bfloat16_read_out_stays_close_and_leaves_the_original_alone() -> None:
    function = image_function(native=16)
    half = function.to(torch.bfloat16)
    exact, rounded = function.grid((32, 32)), half.grid((32, 32)).float()
    assert function.read_out.blocks[0].layers[0].weight.dtype == torch.float32
    assert (rounded - exact).abs().max() / exact.abs().max() < 0.03
    assert (rounded - exact).square().mean().sqrt() / exact.std() < 0.02


@torch.no_grad()
def test_progress_sees_every_tile() -> None:
    seen: list[int] = []

    def progress(tiles: Iterable[Any]) -> Iterable[Any]:
        for tile in tiles:
            seen.append(1)
            yield tile

    image_function(tile=64).grid((16, 16), progress=progress)
    assert len(seen) >= 16 * 16 * 2 // 64


@torch.no_grad()
def test_memory_does_not_grow_with_the_number_of_coordinates() -> None:
    largest = []

    class Watched(ConcatReadOut):
        def forward(self, embeddings: list[Tensor], coords: Tensor, condition: Any = None) -> Tensor:
            largest.append(coords.shape[0] * coords.shape[1])
            return super().forward(embeddings, coords)

    basis = BasisField(PlaneLayout.image(), [[torch.randn(3, 4, 4, 4)]])
    function = ImplicitFunction(basis, Watched(basis.channels, 1, width=8), tile=600)
    function.grid((300, 200))
    function(torch.rand(1, 5000, 2))
    assert max(largest) <= 600
    assert sum(largest) == 3 * (300 * 200 + 5000)


def test_pickle_and_state_dict_round_trips() -> None:
    function = image_function(native=16)
    with torch.no_grad():
        wanted = function.grid((8, 8))
        again = pickle.loads(pickle.dumps(function))
        torch.testing.assert_close(again.grid((8, 8)), wanted, rtol=0, atol=0)
        other = CoarseToFineReadOut(function.basis.channels, 3, width=32, native=16)
        other.load_state_dict(function.read_out.state_dict())
        torch.testing.assert_close(ImplicitFunction(function.basis, other).grid((8, 8)), wanted, rtol=0, atol=0)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_devices(device: str) -> None:
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("this machine has no CUDA device")
    moved = image_function(native=16).to(device)
    assert moved.grid((8, 8)).device.type == device


def test_errors_name_the_shape_and_the_remedy() -> None:
    function = image_function()
    with pytest.raises(ValueError, match=r"2 or 1, query, 2"):
        function(torch.zeros(3, 4, 2))
    with pytest.raises(ValueError, match=r"give one an axis in the order \(y, x\)"):
        function.grid((4,))
    with pytest.raises(ValueError, match="native=ROWS"):
        function(torch.zeros(1, 4, 2), 0.5)
    with pytest.raises(ValueError, match="tile"):
        image_function(tile=0)


def test_nothing_is_kept_between_grids() -> None:
    function = image_function()
    tracemalloc.start()
    with torch.no_grad():
        function.grid((64, 64))
        before = tracemalloc.get_traced_memory()[0]
        function.grid((64, 64))
        after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert after - before < 50_000
