"""Shaded pictures of meshes by casting rays: no display, no graphics driver."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
import trimesh
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from trimesh.ray.ray_pyembree import RayMeshIntersector

from ddmi_modalities.shape.camera import Camera

COLOUR = (0.56, 0.66, 0.80)
"""Of a surface in full light: RGB in [0, 1]."""

SAMPLES = 2
"""Rays a side of each pixel."""

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

    def picture(self, camera: Camera, size: int) -> UInt8[Tensor, "3 size size"]:
        """RGB on white."""
        if size < 1:
            raise ValueError(f"shade: a picture has at least one pixel a side, got {size}")
        image = np.ones((size * SAMPLES, size * SAMPLES, 3), np.float32)
        if not self.empty:
            directions = camera.rays(size * SAMPLES)
            origin = camera.to_world[:3, 3]
            first, last = self._window(camera, size * SAMPLES)
            part = (slice(first[1], last[1]), slice(first[0], last[0]))
            rays = directions[part].reshape(-1, 3)
            if len(rays):
                hit = self.caster.intersects_first(np.broadcast_to(origin, rays.shape), rays)
                seen = np.flatnonzero(hit >= 0)
                window = np.ones((len(rays), 3), np.float32)
                window[seen] = self._light(origin, rays[seen], hit[seen], camera)
                image[part] = window.reshape(*directions[part].shape)
        image = image.reshape(size, SAMPLES, size, SAMPLES, 3).mean(axis=(1, 3))
        return torch.from_numpy((image * 255).round().astype(np.uint8)).permute(2, 0, 1).contiguous()

    def _window(self, camera: Camera, size: int) -> tuple[Int[np.ndarray, "2"], Int[np.ndarray, "2"]]:
        """The pixels (x, y) that the mesh's bounding box can cover: first, and after the last."""
        low, high = self.caster.mesh.bounds
        corners = np.stack(np.meshgrid(*zip(low, high, strict=True)), axis=-1).reshape(-1, 3)
        world = camera.to_world
        local = (corners - world[:3, 3]) @ world[:3, :3]
        if local[:, 2].min() <= 0.01 * camera.distance:  # reaches behind the camera: its projection has no bounds
            return np.zeros(2, int), np.full(2, size)
        plane = local[:, :2] / local[:, 2:] / np.tan(np.radians(camera.field_of_view) / 2)
        pixels = (plane + 1) / 2 * size
        return (
            np.clip(np.floor(pixels.min(0)), 0, size).astype(int),
            np.clip(np.ceil(pixels.max(0)), 0, size).astype(int),
        )

    def _light(
        self,
        origin: Float[np.ndarray, "3"],
        rays: Float[np.ndarray, "n 3"],
        faces: Int[np.ndarray, " n"],
        camera: Camera,
    ) -> Float[np.ndarray, "n 3"]:
        """Colours: light from everywhere, more from above; a lamp to the upper left of the camera, a weak one right."""
        a, b, c = self.triangles[faces].transpose(1, 0, 2)
        flat = self.face_normals[faces]
        slope = (flat * rays).sum(1)
        slope = np.where(np.abs(slope) < 1e-9, 1e-9, slope)
        at = origin + rays * ((flat * (a - origin)).sum(1) / slope)[:, None]
        # barycentric coordinates as ratios of areas
        parts = [(np.cross(q - p, at - p) * flat).sum(1) for p, q in ((b, c), (c, a), (a, b))]
        weights = np.clip(np.stack(parts, axis=1), 0, None)
        weights /= np.maximum(weights.sum(1, keepdims=True), 1e-30)
        normals = (self.corner_normals[faces] * weights[..., None]).sum(1)
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
        normals *= -np.sign(slope)[:, None]  # both sides of an open surface are lit
        view = camera.to_world[:3, :3]
        key, fill = (
            view @ (np.array(lamp) / np.linalg.norm(lamp)) for lamp in ((-0.55, -0.75, -0.8), (0.9, 0.1, -0.5))
        )
        shade = (
            0.36
            + 0.12 * normals[:, 1]
            + 0.52 * np.clip(normals @ key, 0, None)
            + 0.14 * np.clip(normals @ fill, 0, None)
        )
        glint = 0.12 * np.clip((normals @ key) * 2 * (-normals * rays).sum(1) + rays @ key, 0, None) ** 24
        return np.clip(self.colour * shade[:, None] * 1.15 + glint[:, None], 0, 1)


def shade(
    mesh: trimesh.Trimesh,
    size: int = 256,
    azimuth: int | float = 35.0,
    elevation: int | float = 25.0,
    colour: Sequence[int | float] = COLOUR,
) -> UInt8[Tensor, "3 size size"]:
    """A picture of `size` x `size` pixels on white; the plain background when the mesh has no faces.

    The camera of `Camera`: the scale is that of the unit cube and not of the mesh, so that pictures can be compared.
    """
    return Shader(mesh, colour).picture(Camera(azimuth=azimuth, elevation=elevation), size)


def turntable(
    mesh: trimesh.Trimesh,
    frames: int = 24,
    size: int = 256,
    camera: Camera | None = None,
    colour: Sequence[int | float] = COLOUR,
) -> list[UInt8[Tensor, "3 size size"]]:
    """Pictures from all around at equal steps of azimuth, beginning with that of `camera`."""
    if frames < 1:
        raise ValueError(f"turntable: wanted at least one frame, got {frames}")
    camera, shader = camera or Camera(), Shader(mesh, colour)
    turns = [camera.azimuth + 360 * frame / frames for frame in range(frames)]
    return [shader.picture(replace(camera, azimuth=turn), size) for turn in turns]
