"""Surfaces of functions whose surface is known, and hierarchical against dense extraction."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.spatial import cKDTree
from torch import Tensor

from ddmi_fields import BasisField, ImplicitFunction, PlaneLayout
from ddmi_fields.read_out import ReadOut
from ddmi_modalities.extent import Extent
from ddmi_modalities.geometry.extraction import Extraction, dense_surface, extract_surface

EXTENT = Extent.cube(0.55)


def sphere(radius: float, centre: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Callable[[Tensor], Tensor]:
    return lambda coords: radius - (coords * 0.55 - torch.tensor(centre)).norm(dim=-1, keepdim=True)


def box(centre: tuple[float, float, float], half: tuple[float, float, float]) -> Callable[[Tensor], Tensor]:
    return lambda c: (torch.tensor(half) - (c * 0.55 - torch.tensor(centre)).abs()).amin(-1, keepdim=True)


def union(*fields: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda coords: torch.stack([field(coords) for field in fields]).amax(0)


def equal(a: Extraction, b: Extraction) -> bool:
    return np.array_equal(a.mesh.vertices, b.mesh.vertices) and np.array_equal(a.mesh.faces, b.mesh.faces)


def test_sphere_by_hand() -> None:
    mesh = extract_surface(sphere(0.4), extent=EXTENT, resolution=64, refine=3, normals=True).mesh
    radii = np.linalg.norm(mesh.vertices, axis=1)
    assert np.abs(radii - 0.4).max() < 1e-6
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * 0.4**3, rel=2e-3)
    assert np.abs(mesh.vertex_normals - mesh.vertices / 0.4).max() < 1e-5
    # the triangles face outward as well
    assert (mesh.face_normals * mesh.triangles_center).sum(1).min() > 0.35


def test_axes_are_x_y_z_and_the_map_is_the_extent() -> None:
    extent = Extent((0.0, -1.0, 2.0), (2.0, 0.0, 6.0))

    def ellipsoid(coords: Tensor) -> Tensor:  # about (1.2, -0.7, 3), half axes 0.5, 0.2, 0.8
        world = coords * torch.tensor([1.0, 0.5, 2.0]) + torch.tensor([1.0, -0.5, 4.0])
        return 1 - ((world - torch.tensor([1.2, -0.7, 3.0])) / torch.tensor([0.5, 0.2, 0.8])).norm(dim=-1, keepdim=True)

    mesh = extract_surface(ellipsoid, extent=extent, resolution=64, refine=3, normals=True).mesh
    assert np.allclose(mesh.bounds, [[0.7, -0.9, 2.2], [1.7, -0.5, 3.8]], atol=0.01)
    local = (mesh.vertices - [1.2, -0.7, 3.0]) / [0.5, 0.2, 0.8]
    assert np.abs(np.linalg.norm(local, axis=1) - 1).max() < 1e-4
    wanted = local / [0.5, 0.2, 0.8]  # the chain rule, in world units
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    assert np.abs(mesh.vertex_normals - wanted).max() < 1e-3
    assert mesh.volume > 0


@pytest.mark.parametrize("seed", [0, 1])
def test_same_as_dense_on_smooth_random_fields(seed: int) -> None:
    draws = torch.Generator().manual_seed(seed)
    frequency, phase, weight = (torch.randn(shape, generator=draws) for shape in ((3, 24), (24,), (24, 1)))

    def field(coords: Tensor) -> Tensor:
        return torch.sin(coords @ (3 * frequency) + phase) @ weight - 1

    sparse = extract_surface(field, extent=EXTENT, resolution=64, coarse=32)
    dense = dense_surface(field, extent=EXTENT, resolution=64)
    assert dense.evaluated == 65**3
    assert sparse.evaluated < dense.evaluated
    assert dense.mesh.is_watertight  # although it leaves the box
    assert equal(sparse, dense)


def test_a_tenth_of_the_points_at_256() -> None:
    found = extract_surface(sphere(0.5), extent=EXTENT, resolution=256)
    assert found.evaluated < 257**3 / 10
    assert found.mesh.is_watertight
    # the distance of a vertex to the sphere is the Hausdorff distance in one direction; points of the sphere the other
    assert np.abs(np.linalg.norm(found.mesh.vertices, axis=1) - 0.5).max() < 2e-3 * 1.1 / 256
    directions = np.random.default_rng(0).normal(size=(500, 3))
    on_sphere = directions / np.linalg.norm(directions, axis=1, keepdims=True) / 2
    assert cKDTree(found.mesh.vertices).query(on_sphere)[0].max() < 1.1 / 256


@pytest.mark.parametrize("shift", [0.0, 0.011, 0.02])
def test_a_plate_one_coarse_cell_thick_is_found(shift: float) -> None:
    cell = 1.1 / 32
    plate = box((0.05, shift, 0.0), (0.31, cell / 2 * 1.001, 0.23))
    sparse, dense = (f(plate, extent=EXTENT, resolution=128) for f in (extract_surface, dense_surface))
    assert equal(sparse, dense)
    assert sparse.mesh.volume == pytest.approx(0.62 * cell * 0.46, rel=0.03)


def test_a_thin_part_is_followed_from_a_thick_one() -> None:
    fine = 1.1 / 128
    rod = box((0.0, 0.0, 0.15), (1.3 * fine, 1.3 * fine, 0.3))  # 2.6 cells thick; coarse cells are 16
    lamp = union(sphere(0.15, (0.0, 0.0, -0.2)), rod)
    sparse = extract_surface(lamp, extent=EXTENT, resolution=128, coarse=8)
    assert equal(sparse, dense_surface(lamp, extent=EXTENT, resolution=128))
    assert sparse.mesh.bounds[1, 2] == pytest.approx(0.45, abs=fine)


def test_the_limit_a_lone_speck_needs_a_finer_first_grid() -> None:
    speck = sphere(0.02, (0.3, 0.3, 0.3))
    assert len(extract_surface(speck, extent=EXTENT, resolution=64, coarse=8).mesh.faces) == 0
    found = extract_surface(speck, extent=EXTENT, resolution=64, coarse=64).mesh
    assert found.is_watertight
    assert len(found.faces) > 0


def test_closed_where_the_shape_leaves_the_box() -> None:
    everything = extract_surface(lambda c: torch.ones_like(c[..., :1]), extent=EXTENT, resolution=16, coarse=8).mesh
    assert everything.is_watertight
    assert everything.volume == pytest.approx(1.1**3, rel=0.05)
    unit = Extent.cube(0.5)
    half = extract_surface(sphere(0.3, (0.5, 0.0, 0.0)), extent=EXTENT, box=unit, resolution=32, refine=2, normals=True)
    assert half.mesh.is_watertight
    assert half.mesh.volume == pytest.approx(2 / 3 * np.pi * 0.3**3, rel=0.03)
    cap = half.mesh.vertices[:, 0] > 0.5
    assert half.mesh.vertices[cap, 0].max() == pytest.approx(0.5 + 0.1 / 32)
    inner = cap & (np.linalg.norm(half.mesh.vertices[:, 1:], axis=1) < 0.25)
    assert np.allclose(half.mesh.vertex_normals[inner], [1, 0, 0])


def test_another_level() -> None:
    found = extract_surface(lambda c: torch.sigmoid(20 * sphere(0.4)(c)), extent=EXTENT, resolution=32, level=0.5)
    assert np.linalg.norm(found.mesh.vertices, axis=1) == pytest.approx(0.4, abs=1e-3)


def test_empty() -> None:
    found = extract_surface(sphere(-1.0), extent=EXTENT, resolution=16, refine=1, normals=True)
    assert len(found.mesh.faces) == len(found.mesh.vertices) == 0
    assert found.evaluated == 17**3


def test_values_exactly_at_the_level_are_outside() -> None:
    # the faces of this box go through grid corners
    mesh = extract_surface(box((0.0, 0.0, 0.0), (0.275, 0.275, 0.275)), extent=EXTENT, resolution=32, coarse=8).mesh
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(0.55**3 - 12 * 0.55 * (1.1 / 32) ** 2 / 2, rel=2e-3)  # its edges are cut off


class Radius(ReadOut):
    """A read-out that ignores its planes."""

    def forward(self, embeddings: list[Tensor], coords: Tensor, condition: Tensor | None = None) -> Tensor:
        return 0.4 - (coords * 0.55).norm(dim=-1, keepdim=True)


def test_no_hole_where_diagonals_tie() -> None:
    # blocks of +-1: many faces with two opposite corners inside, where linear interpolation cannot decide
    blocks = torch.randn(1, 1, 14, 14, 14, generator=torch.Generator().manual_seed(3)).sign()

    def field(coords: Tensor) -> Tensor:
        return F.grid_sample(blocks, coords[:, :, None, None], align_corners=True).reshape(1, -1, 1)

    found, dense = (f(field, extent=EXTENT, resolution=32) for f in (extract_surface, dense_surface))
    assert found.mesh.is_watertight
    assert found.mesh.is_winding_consistent
    assert equal(found, dense)


@pytest.mark.parametrize("unit", [1e-8, 1e6])
def test_the_unit_of_the_values_does_not_matter(unit: float) -> None:
    mesh = extract_surface(lambda c: sphere(0.4)(c) * unit, extent=EXTENT, resolution=32).mesh
    assert np.linalg.norm(mesh.vertices, axis=1) == pytest.approx(0.4, abs=5e-4)


def test_an_implicit_function_is_a_field() -> None:
    layout = PlaneLayout.triplane()
    planes = tuple(torch.zeros(1, 2, 4, 4) for _ in layout.planes)
    function = ImplicitFunction(BasisField(layout, (planes,)), Radius())
    with torch.no_grad():
        mesh = extract_surface(function, extent=EXTENT, resolution=32, refine=2).mesh
    assert np.linalg.norm(mesh.vertices, axis=1) == pytest.approx(0.4, abs=1e-6)


@pytest.mark.parametrize("resolution", [0, 4, 48])
def test_resolution_message(resolution: int) -> None:
    with pytest.raises(ValueError, match=f"resolution must be a power of two of at least 8, got {resolution}"):
        extract_surface(sphere(0.4), extent=EXTENT, resolution=resolution)


def test_messages() -> None:
    with pytest.raises(ValueError, match="coarse must be a power of two of at least 2, got 20"):
        extract_surface(sphere(0.4), extent=EXTENT, resolution=32, coarse=20)
    with pytest.raises(ValueError, match=r"shape \(1, 729, 2\) at 729 points, wanted \(1, 729, 1\).*functions\[i\]"):
        extract_surface(lambda c: c[..., :2], extent=EXTENT, resolution=8)
    with pytest.raises(ValueError, match="not finite at 729 of 729 points"):
        extract_surface(lambda c: c[..., :1] * torch.nan, extent=EXTENT, resolution=8)
    with pytest.raises(ValueError, match="refine and normals need a field that autograd can differentiate"):
        extract_surface(lambda c: (sphere(0.4)(c) > 0).float() - 0.5, extent=EXTENT, resolution=8, refine=1)
