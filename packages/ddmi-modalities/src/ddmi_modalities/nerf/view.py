"""How a person wants to see a radiance field, and what is seen."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import trimesh
from jaxtyping import UInt8
from torch import Tensor

from ddmi_modalities.files.clips import save_gif, save_mp4
from ddmi_modalities.files.sheets import contact_sheet
from ddmi_modalities.files.whole import save_mesh, save_picture
from ddmi_modalities.geometry.cameras import Cameras


@dataclass(frozen=True, kw_only=True)
class NerfRenderOptions:
    """Pictures from all around at any resolution; a clip that turns, depth and a coloured mesh on demand."""

    views: int = 4
    """Pictures at equal steps round the scene."""
    resolution: int = 64
    """Pixels a side of each."""
    elevation: float = 20.0
    """Degrees of the cameras above the horizon."""
    distance: float = 5.3
    """Of the cameras from the centre, in half sides of the scene's cube."""
    field_of_view: float = 30.0
    """Degrees from the upper to the lower edge of a picture."""
    samples: int = 96
    """Read-outs along each ray."""
    depth: bool = False
    """Write pictures of depth, too."""
    mesh: bool = False
    """Write the density's surface with colours as 000.glb, too."""
    mesh_resolution: int = 128
    """Cells a side of the mesh's marching cubes: a power of two, at least 8."""
    orbit: Path | None = None
    """Write a clip that turns round the scene to this file (MP4), with a GIF beside it."""
    frames: int = 36
    """Of the clip."""
    cull: bool = True
    """Do not read out what is empty or hidden."""

    def __post_init__(self) -> None:
        if min(self.views, self.resolution, self.samples, self.frames) < 1:
            raise ValueError(
                f"NerfRenderOptions: views, resolution, samples and frames count from 1, got {self.views}, "
                f"{self.resolution}, {self.samples} and {self.frames}"
            )
        if not (-90 <= self.elevation <= 90 and 0 < self.field_of_view < 180 and self.distance > 0):
            raise ValueError(
                "NerfRenderOptions: wanted an elevation from -90 to 90 degrees, a field of view between 0 and 180 and "
                f"a positive distance, got {self.elevation}, {self.field_of_view} and {self.distance}"
            )
        if self.mesh_resolution < 8 or self.mesh_resolution & (self.mesh_resolution - 1):
            raise ValueError(
                f"NerfRenderOptions: mesh_resolution must be a power of two of at least 8, got {self.mesh_resolution}"
                "; take 64, 128 or 256"
            )
        if self.orbit is not None and self.orbit.suffix not in (".mp4", ".gif"):
            raise ValueError(f"NerfRenderOptions: orbit is a clip, name it .mp4 or .gif; got {str(self.orbit)!r}")

    def cameras(self, half: float) -> Cameras:
        """Of the pictures, round a cube of this half side."""
        return self._around(self.views, half)

    def orbit_cameras(self, half: float) -> Cameras:
        """Of the clip."""
        return self._around(self.frames, half)

    def _around(self, count: int, half: float) -> Cameras:
        return Cameras.orbit(
            count,
            elevation=self.elevation,
            distance=self.distance * half,
            field_of_view=self.field_of_view,
            size=self.resolution,
        )


@dataclass(frozen=True, eq=False)
class NerfRendering:
    """A batch of scenes, each seen from the same cameras."""

    pictures: UInt8[Tensor, "scene view 3 rows columns"]
    options: NerfRenderOptions
    depth: UInt8[Tensor, "scene view 3 rows columns"] | None = None
    orbits: tuple[UInt8[Tensor, "frame 3 rows columns"], ...] = ()
    """One clip a scene, where the options ask for it."""
    meshes: tuple[trimesh.Trimesh, ...] = field(default=())
    """One coloured mesh a scene, where the options ask for it."""

    def __len__(self) -> int:
        return len(self.pictures)

    def save(self, directory: Path, start: int = 0) -> list[Path]:
        """Writes 000.png, 001.png, ... (from `start`): all views of a scene in a row.  Returns their paths.

        Beside them come 000-depth.png and 000.glb, and the clip where the options say: for several scenes its name gets
        their numbers.
        """
        directory.mkdir(parents=True, exist_ok=True)
        paths = [directory / f"{start + index:03d}.png" for index in range(len(self))]
        for index, path in enumerate(paths):
            save_picture(contact_sheet(self.pictures[index], columns=self.options.views), path)
            if self.depth is not None:
                depth = contact_sheet(self.depth[index], columns=self.options.views)
                save_picture(depth, path.with_stem(f"{path.stem}-depth"))
            if self.meshes:
                save_mesh(self.meshes[index], path.with_suffix(".glb"))
            if self.orbits and self.options.orbit is not None:
                alone = len(self) == 1 and start == 0
                clip = (
                    self.options.orbit
                    if alone
                    else self.options.orbit.with_stem(f"{self.options.orbit.stem}-{path.stem}")
                )
                frames = list(self.orbits[index])
                if clip.suffix == ".mp4":
                    save_mp4(frames, clip, fps=12)
                save_gif(frames, clip.with_suffix(".gif"), fps=12)
        return paths

    def save_sheet(self, path: Path) -> None:
        """Writes one picture: a scene a row, its views side by side."""
        save_picture(contact_sheet(self.pictures.flatten(0, 1), columns=self.options.views), path)
