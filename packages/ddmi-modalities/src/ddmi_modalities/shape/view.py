"""How a person wants a shape written and drawn, and the shapes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import trimesh

MeshFormat = Literal["obj", "ply", "stl", "glb"]


@dataclass(frozen=True, kw_only=True)
class ShapeView:
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
                f"ShapeView: mesh_resolution must be a power of two of at least 8, got {self.mesh_resolution}; "
                "take 64, 128 or 256"
            )
        if self.format not in get_args(MeshFormat):
            raise ValueError(f"ShapeView: format is one of {', '.join(get_args(MeshFormat))}; got {self.format!r}")
        if self.refine < 0:
            raise ValueError(f"ShapeView: refine counts steps from 0, got {self.refine}")
        if self.picture != 0 and self.picture < 16:
            raise ValueError(f"ShapeView: a picture has at least 16 pixels a side, or 0 for none; got {self.picture}")
        if self.turntable and self.picture == 0:
            raise ValueError("ShapeView: a turntable needs the size of its pictures; give picture at least 16")


@dataclass(frozen=True, eq=False)
class ShapeArtefact:
    """A batch of meshes in world coordinates.  A mesh without faces is an empty shape, and is written as one."""

    meshes: tuple[trimesh.Trimesh, ...]
    view: ShapeView

    def __len__(self) -> int:
        return len(self.meshes)

    def save(self, directory: Path, start: int = 0) -> list[Path]:
        """Writes 000.obj, 001.obj, ... (from `start`; the view's format) into the directory, which is made.

        Beside each mesh come 000.png and, for a turntable, 000.gif.  Returns the paths of the meshes only: one for each
        function.
        """
        directory.mkdir(parents=True, exist_ok=True)
        paths = [directory / f"{start + index:03d}.{self.view.format}" for index in range(len(self))]
        for path, mesh in zip(paths, self.meshes, strict=True):
            mesh.export(path)
            if self.view.picture:
                self._draw(mesh, path)
        return paths

    def save_sheet(self, path: Path) -> None:
        """Writes shaded pictures of all meshes as one contact sheet, at most 192 pixels a shape."""
        from ddmi_modalities.shape.rendering import shade
        from ddmi_modalities.sheet import contact_sheet

        size = min(192, self.view.picture or 192)
        path.parent.mkdir(parents=True, exist_ok=True)
        contact_sheet([shade(mesh, size) for mesh in self.meshes], tile=size).save(path)

    def _draw(self, mesh: trimesh.Trimesh, path: Path) -> None:
        from PIL import Image

        from ddmi_modalities.clip_files import save_gif
        from ddmi_modalities.shape.rendering import TURNTABLE_FPS, shade, turntable

        picture = shade(mesh, self.view.picture)
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(path.with_suffix(".png"))
        if self.view.turntable:
            save_gif(turntable(mesh, size=self.view.picture), path.with_suffix(".gif"), TURNTABLE_FPS)
