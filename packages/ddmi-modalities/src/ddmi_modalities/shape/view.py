"""How a person wants a shape written and drawn, and the shapes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import trimesh

from ddmi_modalities.files.whole import save_mesh, save_picture

MeshFormat = Literal["obj", "ply", "stl", "glb"]


@dataclass(frozen=True, kw_only=True)
class ShapeRenderOptions:
    """Meshes at any resolution from the same function, with a shaded picture of each."""

    mesh_resolution: int = 128
    """Cells a side of the marching cubes: a power of two, at least 8."""
    refine: int = 0
    """Newton steps that move the vertices onto the surface along the function's gradient."""
    format: MeshFormat = "obj"
    """The kind of mesh file."""
    picture: int = 256
    """Pixels a side of the picture beside each mesh; 0 for no picture."""
    turntable: bool = False
    """Write a GIF of each mesh turning, too; its side is that of the picture."""

    def __post_init__(self) -> None:
        if self.mesh_resolution < 8 or self.mesh_resolution & (self.mesh_resolution - 1):
            raise ValueError(
                f"ShapeRenderOptions: mesh_resolution must be a power of two of at least 8, got {self.mesh_resolution}"
                "; take 64, 128 or 256"
            )
        if self.format not in get_args(MeshFormat):
            raise ValueError(
                f"ShapeRenderOptions: format is one of {', '.join(get_args(MeshFormat))}; got {self.format!r}"
            )
        if self.refine < 0:
            raise ValueError(f"ShapeRenderOptions: refine counts steps from 0, got {self.refine}")
        if self.picture != 0 and self.picture < 16:
            raise ValueError(
                f"ShapeRenderOptions: a picture has at least 16 pixels a side, or 0 for none; got {self.picture}"
            )
        if self.turntable and self.picture == 0:
            raise ValueError("ShapeRenderOptions: a turntable needs the size of its pictures; give picture at least 16")


@dataclass(frozen=True, eq=False)
class ShapeRendering:
    """A batch of meshes in world coordinates.  A mesh without faces is an empty shape, and is written as one."""

    meshes: tuple[trimesh.Trimesh, ...]
    options: ShapeRenderOptions

    def __len__(self) -> int:
        return len(self.meshes)

    def save(self, directory: Path, start: int = 0) -> list[Path]:
        """Writes 000.obj, 001.obj, ... (from `start`; `format` of the options) into the directory, which is made.

        Beside each mesh come 000.png and, for a turntable, 000.gif.  Returns the paths of the meshes only: one for each
        function.
        """
        directory.mkdir(parents=True, exist_ok=True)
        paths = [directory / f"{start + index:03d}.{self.options.format}" for index in range(len(self))]
        for path, mesh in zip(paths, self.meshes, strict=True):
            save_mesh(mesh, path)
            if self.options.picture:
                self._draw(mesh, path)
        return paths

    def save_sheet(self, path: Path) -> None:
        """Writes shaded pictures of all meshes as one contact sheet, at most 192 pixels a shape."""
        from ddmi_modalities.files.sheets import contact_sheet
        from ddmi_modalities.geometry.shading import shade

        size = min(192, self.options.picture or 192)
        save_picture(contact_sheet([shade(mesh, size) for mesh in self.meshes], tile=size), path)

    def _draw(self, mesh: trimesh.Trimesh, path: Path) -> None:
        from ddmi_modalities.files.clips import save_gif
        from ddmi_modalities.files.pixels import to_picture
        from ddmi_modalities.geometry.shading import TURNTABLE_FPS, shade, turntable

        save_picture(to_picture(shade(mesh, self.options.picture)), path.with_suffix(".png"))
        if self.options.turntable:
            save_gif(turntable(mesh, size=self.options.picture), path.with_suffix(".gif"), TURNTABLE_FPS)
