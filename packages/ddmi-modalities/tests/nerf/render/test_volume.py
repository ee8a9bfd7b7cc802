"""Volume rendering of radiance fields against closed forms and slow sums, and its culling."""

import math
import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from ddmi_fields import BasisField, ImplicitFunction, PlaneLayout
from ddmi_modalities.nerf.read_out import DensityReadOut, NerfReadOut, RadianceField, density_of, fourier_encoding
from ddmi_modalities.nerf.render.culling import OccupiedCells, render_pixels
from ddmi_modalities.nerf.render.volume import (
    box_interval,
    composite,
    refine_edges,
    render_rays,
    sample_edges,
)

LAYOUT = PlaneLayout.triplane()


class Ball(RadianceField):
    """Density `strength` within a radius of 0.5, colour the position's sign; ignores its embeddings."""

    def __init__(self, strength: float, radius: float = 0.5) -> None:
        super().__init__()
        self.strength, self.radius = strength, radius
        self.out = nn.Linear(1, 1)
        self.asked = 0

    def density(self, embeddings: list[Tensor], coords: Tensor) -> Tensor:
        return self.strength * (coords.norm(dim=-1, keepdim=True) < self.radius).float()

    def forward(self, embeddings: list[Tensor], coords: Tensor, condition: Tensor | float | None = None) -> Tensor:
        self.asked += coords.shape[1]
        colour = (coords[..., :3] > 0).float() * 0.8 + 0.1
        return torch.cat((colour, self.density(embeddings, coords)), dim=-1)


class Cloud(Ball):
    """As a ball without an edge."""

    def density(self, embeddings: list[Tensor], coords: Tensor) -> Tensor:
        return self.strength * torch.exp(-(coords / 0.06).square().sum(-1, keepdim=True))


def function_of(read_out: RadianceField, batch: int = 1, channels: int = 2) -> ImplicitFunction:
    generator = torch.Generator().manual_seed(0)
    planes = [torch.randn(batch, channels, 8, 8, generator=generator) for _ in LAYOUT.planes]
    return ImplicitFunction(BasisField(LAYOUT, [planes], "concat"), read_out)


def pixels(size: int, distance: float = 3.0) -> tuple[Tensor, Tensor]:
    """Rays of a picture from +z towards the origin."""
    line = ((torch.arange(size) + 0.5) / size * 2 - 1) * 0.4
    y, x = torch.meshgrid(-line, line, indexing="ij")
    directions = torch.nn.functional.normalize(torch.stack([x, y, -torch.ones_like(x)], -1), dim=-1).reshape(-1, 3)
    return torch.tensor([0.0, 0.0, distance]).expand_as(directions).contiguous(), directions


def test_rays_enter_and_leave_the_cube() -> None:
    origins = torch.tensor([[[0.0, 0.0, 3.0], [0.0, 0.0, 0.0], [3.0, 3.0, 0.0], [0.0, 0.0, 3.0]]])
    directions = torch.tensor([[[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]])
    near, far = box_interval(origins, directions)
    assert near[0, :2, 0].tolist() == [2.0, 0.0]
    assert far[0, :2, 0].tolist() == [4.0, 1.0]
    assert torch.equal(near[0, 2:], far[0, 2:])  # past it, and away from it


def test_stratified_samples_stay_in_their_intervals() -> None:
    jitter = torch.rand(1, 5, 16, generator=torch.Generator().manual_seed(0))
    edges, at = sample_edges(torch.zeros(1, 5, 1), torch.full((1, 5, 1), 2.0), 16, jitter)
    assert (at >= edges[..., :-1]).all()
    assert (at <= edges[..., 1:]).all()
    _, middle = sample_edges(torch.zeros(1, 5, 1), torch.full((1, 5, 1), 2.0), 4)
    assert middle[0, 0].tolist() == [0.25, 0.75, 1.25, 1.75]


@pytest.mark.parametrize("strength", [0.5, 3.0, 50.0])
def test_a_ball_of_fog_stops_light_by_the_length_of_the_chord(strength: float) -> None:
    origins, directions = pixels(16)
    seen = render_rays(function_of(Ball(strength)), origins[None], directions[None], samples=2000)
    along = -(origins * directions).sum(-1)
    closest2 = origins.square().sum(-1) - along.square()
    chord = 2 * (0.25 - closest2).clamp(min=0).sqrt()
    torch.testing.assert_close(
        seen.opacity[0, :, 0], 1 - torch.exp(-strength * chord), atol=0.03 + 0.002 * strength, rtol=0
    )
    middle = seen.depth[0, :, 0][chord > 0.9]
    assert (middle < along[chord > 0.9] + 1e-3).all()
    assert torch.isinf(seen.depth[0, :, 0][chord == 0]).all()
    assert torch.equal(seen.colour[0][chord == 0], torch.ones_like(seen.colour[0][chord == 0]))  # white behind


def slow_composite(colours: Tensor, density: Tensor, edges: Tensor, background: Tensor) -> Tensor:
    pictures = []
    for colour, sigma, edge in zip(colours, density, edges, strict=True):
        light, seen = torch.ones((), dtype=colours.dtype), torch.zeros(3, dtype=colours.dtype)
        for i in range(len(sigma)):
            passed = torch.exp(-sigma[i] * (edge[i + 1] - edge[i]))
            seen = seen + light * (1 - passed) * colour[i]
            light = light * passed
        pictures.append(seen + light * background)
    return torch.stack(pictures)


def test_compositing_and_its_gradients_equal_a_sum_written_out() -> None:
    generator = torch.Generator().manual_seed(1)
    colours = torch.rand(4, 6, 3, generator=generator, dtype=torch.float64)
    density = torch.rand(4, 6, generator=generator, dtype=torch.float64) * 3
    density[1, 2] = 1e6  # its alpha is exactly 1
    edges = torch.linspace(0, 1, 7, dtype=torch.float64).expand(4, 7)
    background = torch.tensor([0.2, 0.5, 1.0], dtype=torch.float64)
    gradients = []
    for fast in (True, False):
        leaves = [colours.clone().requires_grad_(), density.clone().requires_grad_()]
        if fast:
            made = composite(leaves[0][None], leaves[1][None], edges[None], edges[None, :, :-1], background).colour[0]
        else:
            made = slow_composite(*leaves, edges, background)
        gradients.append((made.detach(), *torch.autograd.grad(made.square().sum(), leaves)))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)
    assert all(part.isfinite().all() for part in gradients[0])


def test_no_rays_and_no_samples_are_no_error() -> None:
    nothing = torch.zeros(1, 0, 3)
    seen = render_rays(function_of(Ball(1.0)), nothing, nothing, samples=4)
    assert seen.colour.shape == (1, 0, 3)
    assert seen.opacity.shape == (1, 0, 1)
    pixels_of_none = render_pixels(function_of(Ball(1.0)), nothing[0], nothing[0], samples=4)
    assert pixels_of_none.colour.shape == (1, 0, 3)


def test_importance_samples_go_where_the_weights_are() -> None:
    edges = torch.linspace(0, 1, 11)[None, None]
    weights = torch.zeros(1, 1, 10)
    weights[..., 3] = 1.0
    fine = refine_edges(edges, weights, 20)
    assert fine.shape == (1, 1, 31)
    assert (fine.diff(dim=-1) >= 0).all()
    assert ((fine >= 0.3) & (fine <= 0.4)).sum() >= 20
    origins, directions = pixels(16)
    coarse, finer, true = (
        render_rays(function_of(Cloud(60.0)), origins[None], directions[None], samples=n, importance=i).colour
        for n, i in ((16, 0), (16, 32), (1000, 0))
    )
    assert (finer - true).square().mean() < (coarse - true).square().mean() / 100


@pytest.mark.parametrize("strength", [5.0, 200.0])
def test_culling_reads_less_and_shows_the_same(strength: float) -> None:
    origins, directions = pixels(48)
    read_out = Ball(strength, radius=0.3)
    function = function_of(read_out)
    plain = render_pixels(function, origins, directions, samples=64)
    everything = read_out.asked
    occupied = OccupiedCells.of(function, 32)
    culled = render_pixels(function, origins, directions, samples=64, occupied=occupied)
    read = read_out.asked - everything
    error = (culled.colour - plain.colour).square().mean()
    assert 10 * math.log10(1 / error.clamp(min=1e-12).item()) > 40
    assert read < everything / 8
    assert (culled.opacity - plain.opacity).abs().max() < 0.01


def test_cells_are_those_of_the_whole_grid_though_fewer_are_looked_at() -> None:
    class Rod(Ball):
        """A soft rod along z, beside the middle of the coarse cells, of half a coarse cell's width."""

        def density(self, embeddings: list[Tensor], coords: Tensor) -> Tensor:
            self.asked += coords.shape[1]
            across = (coords[..., :2] - 0.01).square().sum(-1, keepdim=True)
            return self.strength * torch.exp(-across / 0.03**2)

    read_out = Rod(200.0)
    cells = OccupiedCells.of(function_of(read_out), 48).cells
    assert read_out.asked < 48**3 / 4
    line = (torch.arange(48) + 0.5) / 24 - 1
    z, y, x = torch.meshgrid(line, line, line, indexing="ij")
    density = read_out.density([], torch.stack([x, y, z], dim=-1)[None])[0, ..., 0]
    occupied = torch.nn.functional.max_pool3d(density[None], 3, stride=1, padding=1)[0] > 0.2
    assert torch.equal(cells, occupied)
    assert 0.005 < occupied.float().mean() < 0.1


def test_memory_of_a_picture_is_bounded_by_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    from ddmi_modalities.nerf.render import culling

    monkeypatch.setattr(culling, "CHUNK", 100)
    origins, directions = pixels(24)
    function = function_of(Ball(4.0))
    parts = render_pixels(function, origins, directions, samples=16)
    monkeypatch.setattr(culling, "CHUNK", 10_000)
    torch.testing.assert_close(parts.colour, render_pixels(function, origins, directions, samples=16).colour)


def test_read_out_has_bounded_density_that_no_direction_changes() -> None:
    torch.manual_seed(0)
    read_out = NerfReadOut([6, 6], width=16)
    function = ImplicitFunction(
        BasisField(LAYOUT, [[torch.randn(2, 2, n, n) for _ in range(3)] for n in (4, 8)], "concat"), read_out
    )
    points, one, other = torch.rand(2, 9, 3) * 2 - 1, *torch.nn.functional.normalize(torch.randn(2, 2, 9, 3), dim=-1)
    first, second = function(points, one), function(points, other)
    assert torch.equal(first[..., 3], second[..., 3])
    assert not torch.equal(first[..., :3], second[..., :3])
    torch.testing.assert_close(density_of(function)(points)[..., 0], first[..., 3])
    assert ((first[..., :3] > 0) & (first[..., :3] < 1)).all()
    with torch.no_grad():
        read_out.trunk.out.bias[0] = 1e9
    assert 599 < function(points, one)[..., 3].max() <= 600.1
    assert isinstance(density_of(function).read_out, DensityReadOut)
    with pytest.raises(ValueError, match=r"wanted directions \(batch, query, 3\) as the condition, got None"):
        function(points)


def test_directions_are_encoded_by_octaves() -> None:
    direction = torch.tensor([[0.6, 0.0, 0.8]])
    encoded = fourier_encoding(direction, 2)
    assert encoded.shape == (1, 15)
    torch.testing.assert_close(encoded[0, 9:12], torch.sin(2 * direction[0]))


def test_without_its_extension_nerfacc_is_silent() -> None:
    code = (
        "import torch, ddmi_modalities.nerf.render.volume as v;"
        "e = torch.linspace(0, 1, 5)[None, None];"
        "v.composite(torch.rand(1, 1, 4, 3), torch.rand(1, 1, 4), e, e[..., 1:], torch.ones(3))"
    )
    done = subprocess.run([sys.executable, "-W", "error::UserWarning", "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
