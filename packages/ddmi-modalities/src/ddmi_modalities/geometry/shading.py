"""Shaded pictures of meshes by casting rays: no display, no graphics driver."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import trimesh
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from trimesh.ray.ray_pyembree import RayMeshIntersector

from ddmi_modalities.geometry.cameras import AZIMUTH, ELEVATION, Cameras
from ddmi_modalities.geometry.ray_casting import SAMPLES, covered_pixels, oversampled, sums_over_rays

COLOUR = (0.56, 0.66, 0.80)
"""Of a surface in full light: RGB in [0, 1]."""

TURNTABLE_FPS = 10
"""Frames a second at which `turntable` looks right: 24 of them take 2.4 s."""

CREASE = 0.85
"""A vertex is shaded round when the cosine between its normal and those of all its faces is above this (32 degrees)."""


class Shader:
    """One mesh, ready for any number of pictures (the tree of its triangles is built once)."""

    def __init__(self, mesh: trimesh.Trimesh, colour: Sequence[int | float] = COLOUR) -> None:
        if len(colour) != 3 or not all(0 <= value <= 1 for value in colour):
            raise ValueError(f"shade: a colour is (red, green, blue) in [0, 1], got {tuple(colour)}")
        self.colour = np.asarray(colour)
        self.empty = len(mesh.faces) == 0
        if self.empty:
            return
        self.caster = RayMeshIntersector(mesh)
        self.triangles = np.asarray(mesh.triangles)
        self.face_normals = np.asarray(mesh.face_normals)
        flat, round_ = self.face_normals[:, None], np.asarray(mesh.vertex_normals)[mesh.faces]
        # one sharp face makes the whole vertex sharp: else large flat triangles would be shaded towards one corner
        least = np.ones(len(mesh.vertices))
        np.minimum.at(least, mesh.faces, (round_ * flat).sum(-1))
        self.corner_normals = np.where(least[mesh.faces][..., None] > CREASE, round_, flat)

    def pictures(self, cameras: Cameras) -> UInt8[Tensor, "view 3 rows columns"]:
        """RGB on white, view by view: rays take far more memory than pixels."""
        return torch.cat([self._picture(cameras[view : view + 1]) for view in range(len(cameras))])

    def _picture(self, camera: Cameras) -> UInt8[Tensor, "1 3 rows columns"]:
        fine = oversampled(camera)
        image = np.ones((1, fine.rows, fine.columns, 3), np.float32)
        if not self.empty:
            pixels = covered_pixels(self.caster.mesh, fine)
            origins, rays = (one.astype(np.float64) for one in fine.rays(*pixels))
            hit = self.caster.intersects_first(origins, rays)
            seen = np.flatnonzero(hit >= 0)
            views, rows, columns = (axis[seen] for axis in pixels)
            to_world = camera.to_world[0, :3, :3]
            image[views, rows, columns] = self._light(origins[seen], rays[seen], hit[seen], to_world)
        mean = sums_over_rays(image) / SAMPLES**2
        return torch.from_numpy((mean * 255).round().astype(np.uint8)).permute(0, 3, 1, 2).contiguous()

    def _light(
        self,
        origins: Float[np.ndarray, "n 3"],
        rays: Float[np.ndarray, "n 3"],
        faces: Int[np.ndarray, " n"],
        camera: Float[np.ndarray, "3 3"],
    ) -> Float[np.ndarray, "n 3"]:
        """Colours: light from everywhere, more from above; a lamp to the upper left of the camera, a weak one right."""
        a, b, c = self.triangles[faces].transpose(1, 0, 2)
        flat = self.face_normals[faces]
        slope = (flat * rays).sum(1)
        slope = np.where(np.abs(slope) < 1e-9, 1e-9, slope)
        at = origins + rays * ((flat * (a - origins)).sum(1) / slope)[:, None]
        # barycentric coordinates as ratios of areas
        parts = [(np.cross(q - p, at - p) * flat).sum(1) for p, q in ((b, c), (c, a), (a, b))]
        weights = np.clip(np.stack(parts, axis=1), 0, None)
        weights /= np.maximum(weights.sum(1, keepdims=True), 1e-30)
        normals = (self.corner_normals[faces] * weights[..., None]).sum(1)
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
        normals *= -np.sign(slope)[:, None]  # both sides of an open surface are lit
        key, fill = (
            camera @ (np.array(lamp) / np.linalg.norm(lamp)) for lamp in ((-0.55, -0.75, -0.8), (0.9, 0.1, -0.5))
        )
        on_key, on_fill = normals @ key, normals @ fill
        shade = 0.36 + 0.12 * normals[:, 1] + 0.52 * np.clip(on_key, 0, None) + 0.14 * np.clip(on_fill, 0, None)
        glint = 0.12 * np.clip(on_key * 2 * (-normals * rays).sum(1) + rays @ key, 0, None) ** 24
        return np.clip(self.colour * shade[:, None] * 1.15 + glint[:, None], 0, 1)


def shade(
    mesh: trimesh.Trimesh,
    size: int = 256,
    azimuth: int | float = AZIMUTH,
    elevation: int | float = ELEVATION,
    colour: Sequence[int | float] = COLOUR,
) -> UInt8[Tensor, "3 size size"]:
    """A picture of `size` x `size` pixels on white; the plain background when the mesh has no faces.

    The scale is that of the unit cube and not of the mesh, so that pictures can be compared.
    """
    return Shader(mesh, colour).pictures(Cameras.around([azimuth], [elevation], size=size))[0]


def turntable(
    mesh: trimesh.Trimesh,
    frames: int = 24,
    size: int = 256,
    elevation: int | float = ELEVATION,
    colour: Sequence[int | float] = COLOUR,
) -> UInt8[Tensor, "frame 3 size size"]:
    """Pictures from all around at equal steps of azimuth."""
    return Shader(mesh, colour).pictures(Cameras.orbit(frames, elevation=float(elevation), size=size))
