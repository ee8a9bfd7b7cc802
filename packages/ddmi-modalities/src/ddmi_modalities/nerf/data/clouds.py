"""Coloured points of one scene of the user, whatever it comes as."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from ddmi_modalities.geometry.mesh_files import load_geometry
from ddmi_modalities.geometry.unit_cube import in_unit_cube
from ddmi_modalities.nerf.data.recorded import RecordedScene
from ddmi_modalities.nerf.data.visual_hull import visual_hull

MESHES = (".ply", ".glb", ".obj", ".off")


def cloud_of(scene: RecordedScene, count: int, half: float, rng: np.random.Generator) -> Float32[np.ndarray, "count 6"]:
    """`count` points: the stored ones, or those of the visual hull of all views in the cube of this half side."""
    if scene.recording.points is not None:
        return scene.cloud(count, rng)
    try:
        return visual_hull(scene.recording.views, half=half).points(count, rng)
    except ValueError as error:
        raise ValueError(f"{scene.path}: {error}") from error


def read_coloured_points(path: Path, count: int) -> Float32[np.ndarray, "count 6"]:
    """`count` points of a file: of a point cloud drawn from its points, of a mesh from its surface.

    In the unit cube, see `in_unit_cube`.
    Raises ValueError that names the file, where it cannot be read, has no colours, or holds what is not finite.
    """
    import trimesh

    remedy = f"give a point cloud or mesh with a colour at each vertex ({', '.join(MESHES)})"
    try:
        solid: Any = load_geometry(path)
        rng = np.random.default_rng(0)
        if len(getattr(solid, "faces", ())):
            points, faces = trimesh.sample.sample_surface(solid, count, seed=0)
            coloured = solid.visual.kind in ("vertex", "face")
            colours = np.asarray(solid.visual.face_colors)[faces] if coloured else np.empty((0, 4))
        else:
            there = len(solid.vertices)
            chosen = rng.permutation(there)[:count] if there >= count else rng.integers(there, size=count)
            points, colours = np.asarray(solid.vertices)[chosen], np.asarray(solid.colors)
            colours = colours[chosen] if len(colours) == there else colours[:0]
    except Exception as error:  # readers of third-party formats raise anything
        raise ValueError(f"{path}: cannot be read as a point cloud or mesh ({error}); {remedy}") from error
    if len(colours) != count:
        raise ValueError(f"{path}: has no colours; {remedy}")
    return in_unit_cube(np.concatenate([points, colours[:, :3] / 255], axis=1), str(path))
