from __future__ import annotations

import gc
import pickle
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from device_work import DeviceWork
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.utils import prune

from ddmi_fields import BasisField, CoarseToFineReadOut, ConcatReadOut, ImplicitFunction, PlaneLayout, grid_coordinates

WITH_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")


def image_function(batch: int = 2, native: int | None = None, **options: Any) -> ImplicitFunction:
    torch.manual_seed(0)
    basis = BasisField(PlaneLayout.image(), [[torch.randn(batch, 8, s, s)] for s in (4, 8, 16)])
    return ImplicitFunction(basis, CoarseToFineReadOut(basis.channels, 3, width=32, native=native), **options)


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("native", [None, 16])
@pytest.mark.parametrize("tile", [7, 64, 4096])
@pytest.mark.parametrize(("axes", "size"), [("xy", (17, 12)), ("xyz", (5, 6, 7)), ("xyt", (3, 8, 9))])
def test_grid_equals_points_for_every_tiling(
    axes: str, size: tuple[int, ...], tile: int, native: int | None, grad: bool
) -> None:
    with torch.set_grad_enabled(grad):
        check_grid_against_points(axes, size, tile, native)


def check_grid_against_points(axes: str, size: tuple[int, ...], tile: int, native: int | None) -> None:
    layouts = {"xy": PlaneLayout.image(), "xyz": PlaneLayout.triplane(), "xyt": PlaneLayout.video()}
    cells = [{"x": 5, "y": 4, "z": 3, "t": 2}, {"x": 9, "y": 11, "z": 8, "t": 7}]
    fields = [[torch.randn(2, 4, *s) for s in layouts[axes].plane_sizes(c)] for c in cells]
    basis = BasisField(layouts[axes], fields, "concat")
    read_out = CoarseToFineReadOut(basis.channels, 3, width=16, native=native)
    function = ImplicitFunction(basis, read_out, tile=tile)
    condition = None if native is None else native / size[-2]
    points = function(grid_coordinates(size), condition).transpose(1, 2).reshape(2, 3, *size)
    assert function.grid(size).requires_grad == torch.is_grad_enabled()
    torch.testing.assert_close(function.grid(size), points, atol=1e-4, rtol=1e-4)
    read_out.requires_grad_(False)  # now it is tiled with autograd on, too
    assert not function.grid(size).requires_grad
    torch.testing.assert_close(function.grid(size), points, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(
        function(grid_coordinates(size), condition).transpose(1, 2).reshape(2, 3, *size), points, atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("grad", [False, True])
def test_crop_is_a_window_of_the_whole_grid(grad: bool) -> None:
    function = image_function(native=16)
    function.read_out.requires_grad_(grad)
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
    for i, scale in enumerate((1.0, 0.25)):
        torch.testing.assert_close(per_function[i : i + 1], function[i](coords, scale), atol=1e-5, rtol=1e-5)


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


@pytest.mark.parametrize(
    ("index", "wanted"),
    [
        (np.int64(1), [1]),
        (np.array(-1), [3]),
        (torch.tensor(1), [1]),
        (torch.tensor(-4, dtype=torch.int32), [0]),
        (torch.tensor([3, 0, 3]), [3, 0, 3]),
        (torch.tensor([2]), [2]),
        (torch.tensor([3, 1], dtype=torch.uint8), [3, 1]),
        (np.arange(4)[::-1], [3, 2, 1, 0]),
        ([2, -1], [2, 3]),
        ([np.int64(2), torch.tensor(0)], [2, 0]),
        (range(1, 3), [1, 2]),
        ([], []),
        (torch.tensor([], dtype=torch.long), []),
        (slice(None, None, 2), [0, 2]),
        ([True, False, False, True], [0, 3]),
        (np.array([False, True, True, False]), [1, 2]),
        (torch.tensor([False] * 4), []),
    ],
    ids=str,
)
@torch.no_grad()
def test_functions_are_chosen_by_numbers_and_masks_of_any_library(index: Any, wanted: list[int]) -> None:
    function = image_function(batch=4, tile=100)
    chosen = function[index]
    assert (len(chosen), chosen.tile) == (len(wanted), 100)
    torch.testing.assert_close(chosen.grid((3, 3)), function.grid((3, 3))[wanted], atol=1e-5, rtol=1e-5)


@pytest.mark.usefixtures("_untyped")
@pytest.mark.parametrize(
    "index",
    [True, torch.tensor(True), 1.0, torch.tensor([0.5, 0.25, 1.0, 2.0]), [[1]], [True, False], [True, 1], "1", None],
    ids=str,
)
def test_other_indices_are_refused(index: Any) -> None:
    function = image_function(batch=4)
    with pytest.raises(IndexError, match="batch of 4: wanted a whole number, several of them or a mask of 4, got"):
        function[index]
    for outside in (4, -5, torch.tensor(4), [0, -5], np.array([9])):
        with pytest.raises(IndexError, match="function (4|-5|9) of a batch of 4"):
            function[outside]


@pytest.mark.parametrize("batch", [0, 2])
@pytest.mark.parametrize("native", [None, 16])
def test_no_functions_and_no_points(batch: int, native: int | None) -> None:
    function = image_function(batch=2, native=native)[:batch]
    planes = [plane.requires_grad_() for (plane,) in function.basis.fields]
    reads = {
        (0, 3): lambda: function(torch.zeros(1, 0, 2)),
        (5, 3): lambda: function(torch.zeros(1, 5, 2)),
        (3, 4, 4): lambda: function.grid((4, 4)),
        (3, 1, 1): lambda: function.grid((1, 1)),
        (3, 0, 4): lambda: function.grid((5, 4), crop=((2, 2), (0, 4))),
        (3, 5, 0): lambda: function.grid((5, 4), crop=((0, 5), (4, 4))),
    }
    for shape, read in reads.items():
        values = read()
        assert values.shape == (batch, *shape)
        grads = torch.autograd.grad(values.sum(), planes)
        assert [grad.shape for grad in grads] == [plane.shape for plane in planes]
        with torch.no_grad():
            torch.testing.assert_close(read(), values)


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
    wanted = plain(grid_coordinates((11, 3)), shift).transpose(1, 2).unflatten(2, (11, 3))
    for one in (function, plain):
        torch.testing.assert_close(one.grid((11, 3), condition=shift), wanted, atol=1e-6, rtol=1e-6)


def test_functions_move_as_modules_do() -> None:
    function = image_function(native=16)
    for moved in (
        function.to(torch.float64),
        function.to(dtype=torch.float64),
        function.to("cpu", torch.float64),
        function.to(device=torch.device("cpu"), dtype=torch.float64, non_blocking=True),
        function.to(torch.zeros(1, dtype=torch.float64)),
    ):
        assert {moved.basis.dtype, moved.read_out.last_layer.dtype} == {torch.float64}
        assert moved.grid((3, 3)).dtype == torch.float64
    half = function.to(dtype=torch.bfloat16)
    assert (half.basis.dtype, half.read_out.last_layer.dtype) == (torch.float32, torch.bfloat16)
    assert half.to(device="cpu").read_out.last_layer.dtype == torch.bfloat16, "no dtype given: it stays"
    moved = function.to(device="meta")
    assert {moved.basis.device.type, moved.read_out.last_layer.device.type} == {"meta"}
    assert function.basis.device.type == function.read_out.last_layer.device.type == "cpu"
    assert function.read_out.last_layer.dtype == torch.float32
    with pytest.raises(TypeError):
        function.to(dtpye=torch.float64)


@torch.no_grad()
def test_bfloat16_read_out_stays_close_and_leaves_the_original_alone() -> None:
    function = image_function(native=16)
    half = function.to(torch.bfloat16)
    exact, rounded = function.grid((32, 32)), half.grid((32, 32)).float()
    assert function.read_out.blocks[0].layers[0].weight.dtype == torch.float32
    assert (rounded - exact).abs().max() / exact.abs().max() < 0.03
    assert (rounded - exact).square().mean().sqrt() / exact.std() < 0.02


class Watched(CoarseToFineReadOut):
    """Notes how many values it is asked for at once."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.counts: list[int] = []

    def forward(self, embeddings: list[Tensor], coords: Tensor, condition: Any = None) -> Tensor:
        self.counts.append(coords.shape[0] * coords.shape[1])
        return super().forward(embeddings, coords, condition)


def watched_function() -> tuple[ImplicitFunction, Watched]:
    basis = BasisField(PlaneLayout.image(), [[torch.randn(3, 4, 4, 4)]])
    read_out = Watched(basis.channels, 1, width=8, native=8)
    return ImplicitFunction(basis, read_out, tile=600), read_out


@pytest.mark.parametrize("grad", [False, True])
def test_memory_does_not_grow_with_the_number_of_coordinates(grad: bool) -> None:
    """Without autograd, and with it where nothing requires gradients."""
    function, read_out = watched_function()
    read_out.requires_grad_(not grad)
    with torch.set_grad_enabled(grad):
        function.grid((300, 200))
        function(torch.rand(1, 5000, 2))
    assert max(read_out.counts) <= 600
    assert sum(read_out.counts) == 3 * (300 * 200 + 5000)


@pytest.mark.parametrize("learned", ["planes", "read-out", "coordinates", "condition"])
def test_what_requires_gradients_is_read_in_one_piece_and_gets_them(learned: str) -> None:
    function, read_out = watched_function()
    read_out.requires_grad_(False)
    coords, condition = torch.rand(1, 5000, 2), torch.rand(3)
    tensors = {
        "planes": function.basis.fields[0][0],
        "read-out": read_out.blocks[0].layers[0].weight,  # type: ignore[union-attr,index]
        "coordinates": coords,
        "condition": condition,
    }
    for tensor in tensors.values():
        tensor.requires_grad_(tensor is tensors[learned])
    reads = [lambda: function(coords, condition)]
    if learned != "coordinates":
        reads.append(lambda: function.grid((100, 50), condition=condition))
    for read in reads:
        read_out.counts.clear()
        (slope,) = torch.autograd.grad(read().sum(), tensors[learned])
        assert read_out.counts == [15_000]
        assert slope.abs().sum() > 0


@pytest.mark.parametrize("learned", [False, True])
def test_progress_sees_every_tile(learned: bool) -> None:
    function, read_out = watched_function()
    read_out.requires_grad_(learned)
    seen: list[Any] = []
    ended: list[bool] = []

    def progress(tiles: Iterable[Any]) -> Iterator[Any]:
        seen.extend(tiles)
        yield from seen
        ended.append(True)

    for grad, tiles in ((True, 1 if learned else 15), (False, 15)):
        seen.clear()
        ended.clear()
        read_out.counts.clear()
        with torch.set_grad_enabled(grad):
            function.grid((60, 40), progress=progress)
        assert len(seen) == len(read_out.counts) == tiles
        assert ended, "a progress bar reaches its end"


def test_pickle_and_state_dict_round_trips() -> None:
    function = image_function(native=16)
    with torch.no_grad():
        wanted = function.grid((8, 8))
        again = pickle.loads(pickle.dumps(function))
        torch.testing.assert_close(again.grid((8, 8)), wanted, rtol=0, atol=0)
        other = CoarseToFineReadOut(function.basis.channels, 3, width=32, native=16)
        other.load_state_dict(function.read_out.state_dict())
        torch.testing.assert_close(ImplicitFunction(function.basis, other).grid((8, 8)), wanted, rtol=0, atol=0)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=WITH_CUDA)])
def test_devices(device: str) -> None:
    moved = image_function(native=16).to(device)
    assert moved.grid((8, 8)).device.type == device


@pytest.mark.usefixtures("_untyped")
def test_errors_name_the_shape_and_the_remedy() -> None:
    function = image_function()
    with pytest.raises(ValueError, match=r"ImplicitFunction: coordinates must be \(batch, query, axis\), got \(4, 2\)"):
        function(torch.zeros(4, 2))
    with pytest.raises(ValueError, match=r"2 or 1, query, 2"):
        function(torch.zeros(3, 4, 2))
    with pytest.raises(ValueError, match=r"give one an axis in the order \(y, x\)"):
        function.grid((4,))
    with pytest.raises(ValueError, match="native=ROWS"):
        function(torch.zeros(1, 4, 2), 0.5)
    with pytest.raises(ValueError, match="tile"):
        image_function(tile=0)


def bytes_of_tensors() -> int:
    """Of all tensors that Python knows."""
    gc.collect()
    tensors = [one for one in gc.get_objects() if type(one) in (Tensor, nn.Parameter)]  # others may have no memory
    storages = {one.untyped_storage().data_ptr(): one.untyped_storage().nbytes() for one in tensors}
    return sum(storages.values())


def test_nothing_is_kept_between_grids() -> None:
    function = image_function()
    before = bytes_of_tensors()
    with torch.no_grad():
        values = function.grid((64, 64))
        assert bytes_of_tensors() - before == values.nbytes
        del values
        function.grid((64, 64))
        function(torch.rand(1, 5000, 2))
    assert bytes_of_tensors() == before


def test_functions_are_shown_by_whoever_knows_what_they_mean() -> None:
    class Picture:
        def __init__(self, text: str) -> None:
            self.text = text

        def _repr_png_(self) -> bytes:
            return self.text.encode()

    layout = PlaneLayout.image()
    basis = BasisField(layout, [[torch.zeros(3, 2, 4, 4)]])
    made = ImplicitFunction(
        basis, ConcatReadOut([2], 3), draw=lambda function, size=8: Picture(f"{len(function)} of {size}")
    )
    assert made.show(size=4).text == "3 of 4"
    assert made._repr_png_() == b"3 of 8"
    for one in (made[1], made.to(torch.float64)[1:2], made.with_basis(made[1].basis)):
        assert one._repr_png_() == b"1 of 8"
    plain = ImplicitFunction(basis, ConcatReadOut([2], 3))
    assert plain._repr_png_() is None
    with pytest.raises(ValueError, match="nobody said how these functions are drawn"):
        plain.show()


def _on_a_gpu(layout: PlaneLayout, native: int | None) -> ImplicitFunction:
    basis = BasisField(layout, [[torch.randn(1, 8, side, side) for _ in layout.planes] for side in (16, 32, 64)])
    return ImplicitFunction(basis, CoarseToFineReadOut(basis.channels, 3, width=32, native=native))


@pytest.mark.parametrize(
    ("layout", "size", "native"),
    [
        (PlaneLayout.image(), (256, 256), None),
        (PlaneLayout.image(), (256, 256), 64),
        (PlaneLayout.triplane(), (64, 64, 64), None),
    ],
)
def test_a_gpu_is_sent_a_grid_once_and_few_operations(
    layout: PlaneLayout, size: tuple[int, ...], native: int | None
) -> None:
    with torch.no_grad(), FakeTensorMode():
        with torch.device("cuda"):
            function = _on_a_gpu(layout, native)
        with DeviceWork() as work:
            function.grid(size)
    assert sum(work.transfers.values()) <= 2, work.transfers
    assert sum(work.operations.values()) <= 300, work.operations


def test_a_gpu_is_sent_nothing_to_read_points_that_it_has() -> None:
    with torch.no_grad(), FakeTensorMode():
        with torch.device("cuda"):
            function, points = _on_a_gpu(PlaneLayout.triplane(), 64), torch.rand(1, 100_000, 3)
        with DeviceWork() as work:
            function(points, 0.5)
    assert not work.transfers, work.transfers
    assert sum(work.operations.values()) <= 250, work.operations


def test_detached_functions_share_their_weights_and_send_no_gradient_there() -> None:
    function = image_function(native=16)
    function.basis = function.basis.map(lambda plane: plane.requires_grad_())
    detached = function.detach()
    points = torch.rand(2, 5, 2, requires_grad=True)
    torch.testing.assert_close(detached(points), function(points))
    (slope,) = torch.autograd.grad(detached(points).sum(), points)
    assert slope.abs().sum() > 0, "points are followed still"
    assert not any(one.requires_grad for one in [*detached.read_out.parameters(), *detached.basis.fields[0]])
    assert all(one.requires_grad for one in function.read_out.parameters()), "the original is as it was"
    pairs = zip(detached.read_out.parameters(), function.read_out.parameters(), strict=True)
    assert all(one.data_ptr() == other.data_ptr() for one, other in pairs)
    assert len(list(detached.read_out.parameters())) == len(list(function.read_out.parameters()))
    seen: list[int] = []
    detached.grid((100, 100), progress=lambda tiles: [seen.append(1) or tile for tile in tiles])  # type: ignore[func-returns-value]
    assert len(seen) > 1, "read in tiles with gradients switched on"


def test_pruned_and_watched_read_outs_are_detached() -> None:
    function = image_function()
    layer = function.read_out.blocks[0].inner  # type: ignore[index, union-attr]
    prune.l1_unstructured(layer, "weight", 0.5)
    seen: list[int] = []
    function.read_out.register_forward_hook(lambda *_: seen.append(1))
    points = torch.rand(1, 5, 2)
    torch.testing.assert_close(function.detach()(points), function(points))
    assert len(seen) == 2, "hooks are the same"
    assert not function.detach()(points).requires_grad
