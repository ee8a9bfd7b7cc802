"""Packed rendering against the dense one; the extension's functions are stood in for by slow ones where it is not."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ddmi_fields import BasisField, ImplicitFunction, PlaneLayout
from ddmi_modalities.nerf.read_out import NerfReadOut, RadianceField
from ddmi_modalities.nerf.render import packed
from ddmi_modalities.nerf.render.culling import OccupiedCells, render_pixels
from ddmi_modalities.nerf.render.packed import available, march, render_packed
from ddmi_modalities.nerf.render.volume import Rendered, render_rays

LAYOUT = PlaneLayout.triplane()
CUDA = torch.device("cuda")
compiled = pytest.mark.skipif(
    not (torch.cuda.is_available() and available(CUDA)), reason="needs a CUDA device and nerfacc's compiled extension"
)


class Solid(RadianceField):
    """A soft ball beside the centre, or a soft plate, exactly empty around; colours differ along every axis."""

    def __init__(self, kind: str, strength: float) -> None:
        super().__init__()
        self.kind, self.strength, self.asked = kind, strength, 0
        self.out = nn.Linear(1, 1)

    def density(self, embeddings: list[Tensor], coords: Tensor) -> Tensor:
        if self.kind == "ball":
            depth = 0.35 - (coords - coords.new_tensor([0.3, -0.1, 0.2])).norm(dim=-1, keepdim=True)
        else:
            depth = 0.08 - (coords[..., 1:2] + 0.3 * coords[..., :1] - 0.2).abs()
        return self.strength * (depth / 0.05).clamp(0, 1)

    def forward(self, embeddings: list[Tensor], coords: Tensor, condition: Tensor | float | None = None) -> Tensor:
        self.asked += coords.shape[1]
        assert isinstance(condition, Tensor)
        colour = (coords + 0.2 * condition) * 0.4 + 0.5
        return torch.cat((colour.clamp(0, 1), self.density(embeddings, coords)), dim=-1)


class Tinted(Solid):
    """Of any strength and colour."""

    factor: Tensor = torch.ones(())
    colour: Tensor = torch.ones(3)

    def forward(self, embeddings: list[Tensor], coords: Tensor, condition: Tensor | float | None = None) -> Tensor:
        where = super().forward(embeddings, coords, condition)
        return torch.cat((where[..., :3] * self.colour, where[..., 3:] * self.factor), dim=-1)


def function_of(read_out: RadianceField, planes: Tensor | None = None) -> ImplicitFunction:
    fields = torch.zeros(3, 1, 2, 4, 4) if planes is None else planes
    return ImplicitFunction(BasisField(LAYOUT, [list(fields)], "concat"), read_out)


def rays(count: int = 150) -> tuple[Tensor, Tensor]:
    """From a sphere around the cube, and from within it, to points in and near it: about a fifth misses the cube."""
    generator = torch.Generator().manual_seed(0)
    origins = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=-1) * 3
    origins[:10] *= 0.2
    origins[-1], towards = torch.tensor([0.25, -0.1, 3.0]), torch.randn(count, 3, generator=generator) * 0.6
    towards[-1] = torch.tensor([0.25, -0.1, 0.0])  # along z exactly
    return origins[None], torch.nn.functional.normalize(towards - origins, dim=-1)[None]


def segments(rays: int, rows: list[tuple[float, int, bool, bool]]) -> SimpleNamespace:
    """What the extension returns: a value, its ray, and whether an interval begins, or ends, there."""
    numbers = torch.tensor([row[1] for row in rows], dtype=torch.int64)
    counts = torch.bincount(numbers, minlength=rays)
    return SimpleNamespace(
        vals=torch.tensor([row[0] for row in rows]),
        ray_indices=numbers,
        chunk_cnts=counts,
        chunk_starts=counts.cumsum(0) - counts,
        is_left=torch.tensor([row[2] for row in rows], dtype=torch.bool),
        is_right=torch.tensor([row[3] for row in rows], dtype=torch.bool),
        is_valid=None,
    )


def slow_traversal(
    origins: Tensor, directions: Tensor, mask: Tensor, binaries: Tensor, aabbs: Tensor, *rest: Any
) -> tuple[SimpleNamespace, SimpleNamespace, Tensor]:
    """What the extension's function of this name says it does, sample by sample, in float64."""
    _, _, hits, nears, fars, step, cone, _, _, _, limit, over = rest
    assert (cone, limit, over, mask.all(), hits.all()) == (0.0, -1, False, True, True)
    assert (origins.dtype, directions.dtype, binaries.dtype) == (torch.float32, torch.float32, torch.bool)
    assert len(origins)  # the extension divides by it, and by these
    assert (directions != 0).all()
    low, high = aabbs[0].double().split(3)
    size = torch.tensor(binaries.shape[1:])
    edges: list[tuple[float, int, bool, bool]] = []
    middles: list[tuple[float, int, bool, bool]] = []
    for ray, (origin, direction) in enumerate(zip(origins.double(), directions.double(), strict=True)):
        at, going_on = nears[ray].item(), False
        while at + step / 2 < fars[ray]:
            cell = (origin + (at + step / 2) * direction - low) / (high - low) * size
            x, y, z = cell.long().clamp(min=0).minimum(size - 1).tolist()
            marked = bool(binaries[0, x, y, z])
            if marked:
                # an edge that two intervals share is there once
                edges[-1:] = [(*edges[-1][:2], True, True)] if going_on else [*edges[-1:], (at, ray, True, False)]
                edges.append((at + step, ray, False, True))
                middles.append((at + step / 2, ray, False, False))
            at, going_on = at + step, marked
    return segments(len(origins), edges), segments(len(origins), middles), fars


def slow_sums(starts: Tensor, counts: Tensor, values: Tensor, normalize: bool, backward: bool) -> Tensor:
    """Of what comes before each value of its chunk, or behind it."""
    assert not normalize
    result = torch.zeros_like(values)
    for start, count in zip(starts.tolist(), counts.tolist(), strict=True):
        for i in range(count):
            part = slice(start + i + 1, start + count) if backward else slice(start, start + i)
            result[start + i] = values[part].double().sum()
    return result


@pytest.fixture
def slow_extension(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: object) -> None:
        raise AssertionError("this function of the extension is not stood in for")

    for name in ("ray_aabb_intersect", "inclusive_sum", "exclusive_prod_forward"):
        monkeypatch.setattr(f"nerfacc.cuda.{name}", absent)
    monkeypatch.setattr("nerfacc.cuda.traverse_grids", slow_traversal)
    monkeypatch.setattr("nerfacc.cuda.exclusive_sum", slow_sums)


def assert_same(one: Rendered, other: Rendered, tolerance: float = 1e-4) -> None:
    for name in ("colour", "opacity", "depth"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name), atol=tolerance, rtol=tolerance)


@pytest.mark.usefixtures("slow_extension")
@pytest.mark.parametrize("kind", ["ball", "plate"])
@pytest.mark.parametrize("strength", [6.0, 1e6])  # of the second, alpha is exactly 1
def test_packed_equals_dense_and_reads_less(kind: str, strength: float) -> None:
    read_out = Solid(kind, strength)
    function, (origins, directions) = function_of(read_out), rays()
    background = torch.tensor([0.1, 0.6, 0.3])
    dense = render_rays(function, origins, directions, samples=40, background=background)
    everything, read_out.asked = read_out.asked, 0
    cells = OccupiedCells.of(function, 24).cells
    seen = render_packed(function, origins, directions, samples=40, cells=cells, background=background)
    assert_same(seen, dense)
    assert 0.05 < (dense.opacity > 0.5).float().mean() < 0.95
    assert read_out.asked < everything / 2
    assert (strength < 1e6) == (dense.opacity.max().item() < 1)


@pytest.mark.usefixtures("slow_extension")
def test_intervals_are_those_with_their_middle_in_a_cell() -> None:
    cells = torch.zeros(4, 4, 4, dtype=torch.bool)  # z, y, x
    cells[3, 1, 0] = cells[0, 1, 2] = True
    origins = torch.tensor([[-1.0, -0.3, 0.7], [-1.0, -0.3, -0.7], [-1.0, 0.7, 0.7]])
    begin, end, ray, chunks = march(origins, torch.tensor([[2.0, 0.0, 0.0]]).expand(3, 3), 8, cells)
    torch.testing.assert_close(begin, torch.tensor([0, 1, 4, 5]) / 8)
    torch.testing.assert_close(end, torch.tensor([1, 2, 5, 6]) / 8)
    assert ray.tolist() == [0, 0, 1, 1]
    assert chunks.tolist() == [[0, 2], [2, 2], [4, 0]]


@pytest.mark.usefixtures("slow_extension")
@pytest.mark.parametrize("strength", [6.0, 1e6])
def test_gradients_are_the_dense_ones(strength: float) -> None:
    gradients = []
    (origins, directions), tinted = rays(60), Tinted("ball", 1.0)
    cells = OccupiedCells.of(function_of(tinted), 16).cells
    for way in ("packed", "dense"):
        tinted.colour = torch.full((3,), 0.5, requires_grad=True)
        tinted.factor = torch.tensor(strength, requires_grad=True)
        function = function_of(tinted)
        if way == "packed":
            seen = render_packed(function, origins, directions, samples=24, cells=cells)
        else:
            seen = render_rays(function, origins, directions, samples=24)
        gradients.append(torch.autograd.grad(seen.colour.square().sum(), (tinted.colour, tinted.factor)))
    for one, other in zip(*gradients, strict=True):
        assert one.isfinite().all()
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    assert gradients[0][0].abs().min() > 0.1


@pytest.mark.usefixtures("slow_extension")
def test_nothing_to_see_is_the_background() -> None:
    function = function_of(Solid("ball", 6.0))
    cells = OccupiedCells.of(function, 16).cells
    away = torch.tensor([[[0.0, 0.0, 3.0], [3.0, 3.0, 0.0]]]), torch.tensor([[[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]])
    nowhere = torch.zeros_like(cells)
    for seen in (
        render_packed(function, *away, samples=8, cells=cells),
        render_packed(function, *rays(5), samples=8, cells=nowhere),
    ):
        assert torch.equal(seen.colour, torch.ones_like(seen.colour))
        assert (seen.opacity == 0).all()
        assert seen.depth.isinf().all()
    none = torch.zeros(1, 0, 3)
    assert render_packed(function, none, none, samples=8, cells=cells).colour.shape == (1, 0, 3)


@pytest.mark.usefixtures("slow_extension")
def test_views_take_it_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    read_out = Solid("plate", 8.0)
    function, (origins, directions) = function_of(read_out), rays(40)
    occupied = OccupiedCells.of(function, 16)
    by_torch = render_pixels(function, origins[0], directions[0], samples=16, occupied=occupied)
    calls: list[torch.device] = []
    monkeypatch.setattr(packed, "available", lambda device: bool(calls.append(device)) or True)
    by_nerfacc = render_pixels(function, origins[0], directions[0], samples=16, occupied=occupied)
    assert_same(by_nerfacc, by_torch)
    assert calls == [origins.device]


@pytest.mark.skipif(find_spec("nerfacc.csrc") is not None, reason="the extension is installed")
def test_nothing_is_compiled_and_nothing_printed() -> None:
    """A compiler on the PATH included; an extension that is installed is taken, one that cannot be loaded is not."""
    code = """
import sys, types, torch, nerfacc
from ddmi_modalities.nerf.render.packed import available
assert not available(torch.device("cuda"))
sys.modules["nerfacc.csrc"] = None
assert not available(torch.device("cuda"))
assert "nerfacc.cuda._backend" not in sys.modules
print("until here", file=sys.stderr)  # torch warns of a missing device when it is asked for its compiler
nerfacc.csrc = sys.modules["nerfacc.csrc"] = types.ModuleType("nerfacc.csrc")
assert available(torch.device("cuda")) and available(torch.device("cuda"))
assert not available(torch.device("cpu"))
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr.split("until here")[0]) == (0, "", ""), done.stderr


@compiled
@pytest.mark.parametrize(("strength", "tolerance"), [(6.0, 1e-4), (1e6, 3e-3)])  # where it is steep, rounding shows
def test_the_extension_equals_dense_rendering(strength: float, tolerance: float) -> None:
    for kind in ("ball", "plate"):
        function = function_of(Solid(kind, strength), torch.zeros(3, 1, 2, 4, 4, device=CUDA))
        origins, directions = (part.to(CUDA) for part in rays(5000))
        cells = OccupiedCells.of(function, 48).cells
        assert_same(
            render_packed(function, origins, directions, samples=64, cells=cells),
            render_rays(function, origins, directions, samples=64),
            tolerance,
        )
        none = origins[:, :0]
        assert render_packed(function, none, none, samples=64, cells=cells).colour.shape == (1, 0, 3)


@compiled
def test_the_extension_has_the_dense_gradient() -> None:
    torch.manual_seed(0)
    read_out = NerfReadOut([6], width=16).to(CUDA)
    planes = torch.randn(3, 1, 2, 8, 8, device=CUDA, requires_grad=True)
    function, (origins, directions) = function_of(read_out, planes), (part.to(CUDA) for part in rays(500))
    everywhere = torch.ones(8, 8, 8, dtype=torch.bool, device=CUDA)
    gradients = [
        torch.autograd.grad(seen.colour.square().sum(), planes)[0]
        for seen in (
            render_packed(function, origins, directions, samples=32, cells=everywhere),
            render_rays(function, origins, directions, samples=32),
        )
    ]
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-3 * gradients[1].abs().max().item())
