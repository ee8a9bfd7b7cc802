"""Scenes that somebody recorded: what the loaders of all layouts have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int, UInt8

from ddmi_modalities.datasets.checked_sources import content_digest
from ddmi_modalities.geometry.cameras import Z_UP, Cameras
from ddmi_modalities.nerf.items import Views, Which, check_which

Read = Callable[[Path, int], "Recording"]
"""From a scene's path, and of how many views one is held out, to the scene."""


@dataclass(frozen=True, eq=False)
class Recording:
    """All that is known of one scene."""

    views: Views
    held_out: Int[np.ndarray, " held_out"]
    """Numbers of the views that are not given."""
    points: Float32[np.ndarray, "point 6"] | None = None
    """Surface points in the world and their colours in [0, 1]; None where the data have none."""

    def from_z_up(self) -> Recording:
        """In our world, of a recording whose world has z up."""
        points = self.points
        if points is not None:
            turned = points[:, :3] @ Z_UP.T.astype(np.float32)
            points = np.concatenate([turned, points[:, 3:]], axis=1)
        return replace(self, views=replace(self.views, cameras=self.views.cameras.in_world(Z_UP, 1.0)), points=points)

    def scaled(self, scale: float) -> Recording:
        """With all lengths of the world `scale` times as large."""
        if scale == 1:
            return self
        points = self.points
        if points is not None:
            points = points * np.array([scale] * 3 + [1.0] * 3, np.float32)
        return replace(
            self, views=replace(self.views, cameras=self.views.cameras.in_world(np.eye(3), scale)), points=points
        )


@dataclass(frozen=True)
class RecordedScene:
    """One scene of a folder; a `NerfItem`.  Read once, when first asked for something; forgotten with the item."""

    name: str
    path: Path
    read: Read
    hold_out: int
    """Every how manyeth view is held out, where the data do not say."""
    scale: float
    """World units per unit of the files."""

    @property
    def captions(self) -> tuple[str, ...]:
        return ()

    @cached_property
    def recording(self) -> Recording:
        try:
            return self.read(self.path, self.hold_out).scaled(self.scale)
        except ValueError as error:
            if str(self.path) in str(error):
                raise
            raise ValueError(f"{self.path}: {error}") from error

    def forgotten(self) -> RecordedScene:
        """The same scene, of which nothing has been read: what it reads is forgotten with it."""
        return replace(self)

    def views(self, which: Which, size: int | None = None) -> Views:
        check_which(which)
        views, held_out = self.recording.views, self.recording.held_out
        if which == "held_out":
            views = views[held_out]
        elif which == "given":
            views = views[np.setdiff1d(np.arange(len(views)), held_out)]
        return views if size is None else views.reduced(size)

    def pictures(self, cameras: Cameras) -> UInt8[np.ndarray, "view 3 rows columns"]:
        raise ValueError(f"{self.path}: holds photographs, and none from other cameras; compare with its own views")

    def cloud(self, count: int, rng: np.random.Generator) -> Float32[np.ndarray, "count 6"]:
        """Drawn from the stored points, with replacement where more are wanted than are there."""
        points = self.recording.points
        if points is None:
            raise ValueError(
                f"{self.path}: holds pictures and cameras but no points for the encoder; make them from the pictures: "
                "ddmi prepare srn-cars SOURCE --out OUT, and read OUT"
            )
        if count < 1:
            raise ValueError(f"{self.path}: wanted a cloud of at least 1 point, got {count}; ask for more")
        enough = count <= len(points)
        return points[rng.permutation(len(points))[:count] if enough else rng.integers(len(points), size=count)]


@dataclass(frozen=True)
class RecordedScenes:
    """A data set of recorded scenes."""

    scenes: Sequence[RecordedScene]
    left_out: int = 0
    """How many scenes could not be read."""
    folder: Path = field(kw_only=True)
    """In which all lie."""
    cache: Path = field(kw_only=True)

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, index: int) -> RecordedScene:
        # a new item each time: else every scene that was ever read would stay in memory
        return self.scenes[index].forgotten()

    def digest(self) -> str:
        """A hash of the content of all scenes' files."""
        names = [scene.path.relative_to(self.folder).as_posix() for scene in self.scenes]
        return content_digest(self.folder, names, what="scenes", cache=self.cache)

    def describe(self) -> str:
        """How many scenes were left out."""
        return f"{self.left_out} left out"


def every_nth(views: int, hold_out: int) -> Int[np.ndarray, " held_out"]:
    """The views to hold out: the last of every `hold_out`, none of fewer views than that.

    Raises ValueError for less than 4, which would hold out more than a quarter.
    """
    if hold_out < 4:
        raise ValueError(f"scene: wanted at most every fourth view held out, got hold_out {hold_out}; give 4 or more")
    return np.arange(hold_out - 1, views, hold_out)
