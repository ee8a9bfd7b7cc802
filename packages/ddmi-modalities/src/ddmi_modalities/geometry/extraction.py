"""From an occupancy function to a closed mesh: marching cubes on a grid that is fine only where the surface is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import trimesh
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ddmi_fields import ImplicitFunction
from ddmi_modalities.extent import Extent
from ddmi_modalities.geometry.marching import size_at_surface, triangles
from ddmi_modalities.geometry.refinement import check_values, project_to_surface

Field = Callable[[Float[Tensor, "1 n 3"]], Float[Tensor, "1 n 1"]]
"""Values at field coordinates (x, y, z), above the level inside; an `ImplicitFunction` of batch 1 is one."""

TILE = 2**16
"""Points handed to the field at once: bounds the memory; an `ImplicitFunction` has smaller tiles of its own."""

CAP = 9.0
"""Where the shape leaves the box it is closed 1 / (1 + CAP) of a cell outside of it."""


@dataclass(frozen=True, eq=False)
class Extraction:
    """A surface and what it cost."""

    mesh: trimesh.Trimesh
    """In world coordinates, watertight, normals outward; without faces where the field nowhere exceeds the level."""
    evaluated: int
    """Points at which the field was evaluated, the steps of `refine` and the normals not counted."""


def extract_surface(
    field: Field,
    *,
    extent: Extent,
    resolution: int,
    coarse: int = 32,
    level: float = 0.0,
    box: Extent | None = None,
    refine: int = 0,
    normals: bool = False,
    device: torch.device | str | None = None,
) -> Extraction:
    """The surface where the field equals `level`, at `resolution` cells a side, evaluating it near the surface only.

    Multiresolution isosurface extraction as in Occupancy Networks, Mescheder et al. 2019, section 3.3: all corners of a
    grid of `coarse` cells, then the cells that the surface crosses are halved again and again.  Two things are done to
    lose little: until the last halving, the 26 neighbours of a crossed cell are halved, too; and on every grid the
    surface is followed into cells that had been thought uniform.  What is found is exactly what `dense_surface` finds.

    What is found for certain: every part that contains a ball of diameter sqrt(3) coarse cells (an axis-aligned plate:
    thicker than one coarse cell), and all that hangs together with a found part on the final grid, however thin.  A
    thinner part that touches nothing is found when it is next to a found one, else by luck: raise `coarse`.

    Args:
        field: values at field coordinates; it sees tiles of them, without autograd.
        extent: the world box of field coordinates [-1, 1].
        resolution: cells a side of the box, a power of two, at least 8.  Memory is 5 bytes a cell and more.
        coarse: cells a side of the first grid, a power of two; at most `resolution` is used.
        level: the value on the surface, 0 for logits.
        box: the world box to search, default all of the extent.  A shape that leaves it is closed at its border.
        refine: Newton steps that move each vertex along the field's gradient onto the surface.
        normals: give the vertices normals from the field's gradient; default are those of the triangles.
        device: where the field wants its coordinates; default that of an `ImplicitFunction`, else the CPU.

    Raises:
        ValueError: `resolution` or `coarse` is no power of two; the field's values are not finite or not (1, n, 1); or
            `refine` or `normals` is wanted of a field that autograd cannot differentiate.
    """
    _check_power("resolution", resolution, 8)
    _check_power("coarse", coarse, 2)
    if device is None:
        device = field.basis.device if isinstance(field, ImplicitFunction) else "cpu"
    grid = _Grid(field, extent, box or extent, level, device, min(coarse, resolution))
    grid.evaluate(np.flatnonzero(~grid.known))
    while grid.cells < resolution:
        grid.halve(ring=2 * grid.cells < resolution)
    return grid.surface(refine, normals)


def dense_surface(
    field: Field,
    *,
    extent: Extent,
    resolution: int,
    level: float = 0.0,
    box: Extent | None = None,
    refine: int = 0,
    normals: bool = False,
    device: torch.device | str | None = None,
) -> Extraction:
    """As `extract_surface`, by evaluating all (resolution + 1)^3 corners: nothing can be missed, ten times the cost."""
    return extract_surface(
        field,
        extent=extent,
        resolution=resolution,
        coarse=resolution,
        level=level,
        box=box,
        refine=refine,
        normals=normals,
        device=device,
    )


class _Grid:
    """Values minus the level at the corners of a cubic grid, exact where `known`, elsewhere of the right sign.

    Arrays have the axes (x, y, z).  A cell is named by the flat index of its lowest corner.
    """

    def __init__(
        self, field: Field, extent: Extent, box: Extent, level: float, device: torch.device | str, cells: int
    ) -> None:
        self.field, self.extent, self.box, self.level, self.device = field, extent, box, level, device
        self.cells = cells
        self.values = np.zeros((cells + 1,) * 3, np.float32)
        self.known = np.zeros((cells + 1,) * 3, bool)
        self.evaluated = 0

    def evaluate(self, corners: Int[np.ndarray, " n"]) -> None:
        """Make these corners known."""
        with torch.no_grad():
            for start in range(0, len(corners), TILE):
                part = corners[start : start + TILE]
                index = np.stack(np.unravel_index(part, self.values.shape), axis=-1)
                world = self.box.to_world(torch.from_numpy(index * (2 / self.cells) - 1))
                coords = self.extent.to_field(world).float()[None].to(self.device)
                values = self.field(coords)
                check_values(values, len(part))
                self.values.reshape(-1)[part] = values.float().reshape(-1).cpu().numpy() - self.level
        self.known.reshape(-1)[corners] = True
        self.evaluated += len(corners)

    def halve(self, *, ring: bool) -> None:
        """Go to cells of half the size, evaluating those that the surface crosses."""
        wanted = _crossed(self.values > 0)
        if ring:
            wanted = _grown(wanted)
        known = np.zeros((2 * self.cells + 1,) * 3, bool)
        known[::2, ::2, ::2] = self.known
        # A new corner that is not evaluated lies in cells whose corners all have one sign: any of them will do.
        values = self.values.repeat(2, 0).repeat(2, 1).repeat(2, 2)[:-1, :-1, :-1].copy()
        self.values, self.known, self.cells = values, known, 2 * self.cells
        self.evaluate(np.flatnonzero(_corners_of_halves(wanted) & ~known))
        self._follow()

    def _follow(self) -> None:
        """Evaluate until every cell that the surface crosses has known corners only."""
        shape, side = self.values.shape, self.cells + 1
        offsets = np.array([(x * side + y) * side + z for x in (0, 1) for y in (0, 1) for z in (0, 1)])
        inside, known, values = self.values > 0, self.known.reshape(-1), self.values.reshape(-1)
        cells = np.ravel_multi_index(np.nonzero(_crossed(inside) & ~_all_corners(self.known)), shape)
        while len(cells):
            corners = np.unique(cells[:, None] + offsets)
            corners = corners[~known[corners]]
            self.evaluate(corners)
            touched = (
                np.stack(np.unravel_index(corners, shape), axis=-1)[:, None]
                - np.array(np.unravel_index(offsets, shape)).T
            )
            within = ((touched >= 0) & (touched < self.cells)).all(axis=-1)
            cells = np.unique((corners[:, None] - offsets)[within])
            around = cells[:, None] + offsets
            positive = values[around] > 0
            cells = cells[positive.any(1) & ~positive.all(1) & ~known[around].all(1)]

    def surface(self, refine: int, normals: bool) -> Extraction:
        """Marching cubes, then the wanted refinement."""
        # scikit-image's tests and weights have an absolute epsilon of 1e-7: far below all values that matter
        padded = np.pad(self.values * np.float32(1e4 / size_at_surface(self.values)), 1, mode="edge")
        for axis in range(3):
            for end in (0, -1):
                border = padded.swapaxes(0, axis)[end]
                border[...] = -CAP * np.abs(border)
        used = [np.flatnonzero((padded > 0).any(axis=others)) for others in ((1, 2), (0, 2), (0, 1))]
        if not len(used[0]):
            return Extraction(trimesh.Trimesh(), self.evaluated)
        first = np.array([line[0] - 1 for line in used])
        window = padded[tuple(slice(line[0] - 1, line[-1] + 2) for line in used)]
        at, faces = triangles(window)
        unit = torch.from_numpy((at.astype(np.float64) + (first - 1)) * (2 / self.cells) - 1)
        vertices = self.box.to_world(unit).numpy()
        on_surface = (unit.abs() <= 1).all(dim=-1).numpy()  # the other vertices close the shape at the box
        outward = np.zeros_like(vertices)
        if refine or normals:
            reach = min(high - low for low, high in zip(self.box.low, self.box.high, strict=True)) / self.cells
            vertices[on_surface], outward[on_surface] = project_to_surface(
                vertices[on_surface], self.field, self.extent, self.level, refine, reach, self.device
            )
        # no processing: merging vertices that happen to coincide could open or pinch the surface
        mesh = trimesh.Trimesh(vertices, faces, process=False)
        if normals:
            # where there is no gradient, the triangles' normals are the best there is
            outward = np.where(outward.any(axis=1, keepdims=True), outward, mesh.vertex_normals)
            mesh = trimesh.Trimesh(vertices, faces, vertex_normals=outward, process=False)
        return Extraction(mesh, self.evaluated)


def _all_corners(corner: Bool[np.ndarray, "a a a"]) -> Bool[np.ndarray, "b b b"]:
    """Of each cell, whether all its corners are true."""
    for axis in range(3):
        line = corner.swapaxes(0, axis)
        corner = (line[:-1] & line[1:]).swapaxes(0, axis)
    return corner


def _crossed(inside: Bool[np.ndarray, "a a a"]) -> Bool[np.ndarray, "b b b"]:
    """Of each cell, whether it has corners of both kinds."""
    return ~(_all_corners(inside) | _all_corners(~inside))


def _grown(cell: Bool[np.ndarray, "a a a"]) -> Bool[np.ndarray, "a a a"]:
    """The cells and their 26 neighbours."""
    for axis in range(3):
        line, cell = cell.swapaxes(0, axis), cell.copy()
        grown = cell.swapaxes(0, axis)
        grown[1:] |= line[:-1]
        grown[:-1] |= line[1:]
    return cell


def _corners_of_halves(cell: Bool[np.ndarray, "a a a"]) -> Bool[np.ndarray, "b b b"]:
    """On a grid of half the cell size, all 27 corners in and around each of the cells."""
    for axis in range(3):
        line = cell.swapaxes(0, axis)
        marked = np.zeros((2 * len(line) + 1, *line.shape[1:]), bool)
        marked[1::2] = line
        marked[:-1:2] |= line
        marked[2::2] |= line
        cell = marked.swapaxes(0, axis)
    return cell


def _check_power(name: str, value: int, least: int) -> None:
    if value < least or value & (value - 1):
        raise ValueError(f"extract_surface: {name} must be a power of two of at least {least}, got {value}")
