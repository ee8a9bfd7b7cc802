"""`ddmi prepare`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tyro.conf import Positional

from ddmi.commands.line import PROGRAM, no_more, say


@dataclass(frozen=True, kw_only=True)
class Prepare:
    """Bring data into a form that trains fast: `ddmi prepare shapes MESHES OUT`, `ddmi prepare nerf SCENES OUT`."""

    kind: Positional[Literal["shapes", "nerf"]]
    """What the data are: meshes, to the layout of ShapeNet, or posed pictures, to NPZ files with points."""
    source: Positional[Path]
    """Folder of the user's files: meshes as OBJ, PLY, STL, OFF or GLB; or scenes as SRN's, NeRF's or NPZ files."""
    out: Positional[Path]
    """Folder to write to; what is there already is kept."""
    count: int | None = None
    """Points stored of each shape, in the volume and on the surface (default 100000), or of each scene (20000)."""
    repair: bool = False
    """Of shapes: repair meshes that are not watertight instead of leaving them out."""
    scale: float = 1.0
    """Of scenes: our units per unit of the cameras' positions, so that the object fills the unit cube."""

    def run(self, rest: Sequence[str]) -> None:
        no_more(rest)
        done, what, train = {"shapes": self._shapes, "nerf": self._scenes}[self.kind]()
        say(f"wrote {len(done.written)} {what} to {self.out}, kept {len(done.kept)}, left out {len(done.refused)}")
        say(f"train on them with `{PROGRAM} train {train}`")

    def _shapes(self) -> tuple[Any, str, str]:
        """What was done, what it is called, and how one trains on it."""
        from ddmi_modalities.shape.prepare import prepare_shapes

        count = 100_000 if self.count is None else self.count
        done = prepare_shapes(self.source, self.out, count, self.repair, note=say)
        return done, "shapes", f"shapes --data {self.out} --modality.near None"

    def _scenes(self) -> tuple[Any, str, str]:
        from ddmi_modalities.nerf.prepare import prepare_scenes

        count = 20_000 if self.count is None else self.count
        done = prepare_scenes(self.source, self.out, count, scale=self.scale, note=say)
        return done, "scenes", f"srn-cars --data {self.out}"
