"""Conversion of recorded scenes to NPZ files with points: slow work done once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ddmi_modalities.datasets.preparation import Item, Plan
from ddmi_modalities.datasets.splits import SPLITS
from ddmi_modalities.nerf.data.clouds import cloud_of
from ddmi_modalities.nerf.data.recorded import RecordedScene
from ddmi_modalities.nerf.data.sampled import sampled_file
from ddmi_modalities.nerf.data.sources import find_scenes
from ddmi_modalities.nerf.modality import NerfModality

HALF = 0.5
"""Half the side, in world units, of the cube in which points are made."""


@dataclass(frozen=True, kw_only=True)
class NerfPreparation:
    """Posed pictures in any layout to OUT/train/sampled/NAME.npz and OUT/test/sampled/NAME.npz, with coloured points.

    Points that a scene has are kept, otherwise they are those of the visual hull of all its views, within the unit
    cube; which ones, its name decides.
    """

    count: int = 20_000
    """Points made of each scene."""
    scale: float = 1.0
    """Our units per unit of the cameras' positions, so that the object fills the unit cube."""

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"NerfPreparation: wanted a count of at least 1 point, got {self.count}; ask for more")

    def plan(self, modality: NerfModality) -> Plan:
        """All scenes of the modality's source, in the splits that it assigns.  ValueError where there are none."""
        root = Path(modality.source).expanduser().resolve()
        items, problems = [], []
        for split in SPLITS:
            try:
                _, scenes = find_scenes(str(root), split, scale=self.scale, hold_out=modality.hold_out)
            except ValueError as error:  # a small source may have no scene for one of the splits
                problems.append(error)
                continue
            for scene in scenes:
                file = f"{split}/sampled/{scene.name.replace('/', '_')}.npz"
                sources = (scene.path.relative_to(root).as_posix(),)
                make = partial(_file, scene, file, self.count)
                items.append(Item(name=file, split=split, sources=sources, make=make))
        if not items:
            raise problems[0]
        return Plan(
            what="scenes",
            source=root,
            items=items,
            settings={"count": self.count, "scale": self.scale, "hold_out": modality.hold_out},
            folders=tuple(f"{split}/sampled" for split in SPLITS),
        )


def _file(scene: RecordedScene, file: str, count: int) -> Iterator[tuple[str, bytes]]:
    scene = scene.forgotten()
    points = scene.recording.points
    if points is None:
        rng = np.random.default_rng(list(hashlib.sha256(scene.name.encode()).digest()))
        points = cloud_of(scene, count, HALF, rng)
    yield file, sampled_file(scene.recording, points)
