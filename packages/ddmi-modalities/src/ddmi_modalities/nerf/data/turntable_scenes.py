"""One scene of Turntable as a function of its numbers: an object, its cameras and its colours."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from ddmi_modalities.datasets.splits import SPLITS, Split
from ddmi_modalities.geometry.cameras import Cameras
from ddmi_modalities.geometry.cars import draw_car
from ddmi_modalities.geometry.furniture_attributes import FurnitureAttributes, all_combinations
from ddmi_modalities.geometry.furniture_captions import captions_of
from ddmi_modalities.geometry.furniture_parts import draw_parameters
from ddmi_modalities.geometry.painted import Facets, Painted

Kind = Literal["chair", "table", "car"]
KINDS: tuple[Kind, ...] = ("chair", "table", "car")

GIVEN, HELD_OUT = 20, 4
VIEWS = GIVEN + HELD_OUT
"""Cameras of a scene; the held-out ones are the last."""
CLOUD = 4096
"""Points of the surface that are kept on disk."""
DISTANCE, FIELD_OF_VIEW = 2.2, 33.0
"""World units and degrees: nothing is cut off, and little room is left around the object."""
LOWEST, HIGHEST = -5.0, 60.0
"""Elevations of the cameras in degrees."""


@dataclass(frozen=True)
class TurntableSource:
    """What all scenes of a data set have in common."""

    split: Split
    seed: int


@dataclass(frozen=True)
class DrawnScene:
    """An object among its cameras, whose picture is known at every size."""

    kind: Kind
    captions: tuple[str, ...]
    painted: Painted
    azimuth: float
    """Degrees by which all cameras are turned about the y axis."""
    cloud_seed: tuple[int, ...]

    def cameras(self, size: int) -> Cameras:
        turn = np.radians(self.azimuth)
        c, s = np.cos(turn), np.sin(turn)
        return _spiral(size).in_world(np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]]), 1.0)

    def draw(
        self, cameras: Cameras
    ) -> tuple[UInt8[np.ndarray, "view rows columns 3"], Bool[np.ndarray, "view rows columns"]]:
        """Pictures and masks."""
        # the ray caster is wanted here only: reading stored pictures does without it
        from ddmi_modalities.geometry.ray_casting import render_facets

        return render_facets(self._facets, cameras)

    def stored_cloud(self) -> Float32[np.ndarray, "point 6"]:
        return self.painted.cloud(CLOUD, np.random.default_rng(self.cloud_seed))

    @cached_property
    def _facets(self) -> Facets:
        return self.painted.facets()


def scene_of(source: TurntableSource, index: int) -> DrawnScene:
    """Scene `index`: a function of (seed, split, index).  Every third is a chair, a table, a car."""
    seed = (source.seed, SPLITS.index(source.split), index)
    rng = np.random.default_rng(seed)
    kind, azimuth = KINDS[index % len(KINDS)], float(rng.uniform(0, 360))
    if kind == "car":
        car = draw_car(rng)
        return DrawnScene(kind, (car.caption,), car.painted(), azimuth, (*seed, 1))
    attributes = _furniture()[kind][int(rng.integers(len(_furniture()[kind])))]
    parts = draw_parameters(attributes, rng).parts()
    # neither black, in which nothing could be seen, nor the white of the background
    colours = 0.12 + 0.78 * np.array([part.colour for part in parts])
    painted = Painted(tuple(part.solid for part in parts), colours, np.eye(3))
    return DrawnScene(kind, captions_of(attributes, rng), painted, azimuth, (*seed, 1))


@cache
def _furniture() -> dict[Kind, tuple[FurnitureAttributes, ...]]:
    """Furniture that covers enough of a picture, and whose legs are seen at 64 x 64: thick legs, no table on one."""
    allowed = [a for a in all_combinations() if a.thick and not (a.kind == "table" and a.legs == 1)]
    kinds: tuple[Literal["chair", "table"], ...] = ("chair", "table")
    return {kind: tuple(a for a in allowed if a.kind == kind) for kind in kinds}


@cache
def _spiral(size: int) -> Cameras:
    """Evenly spread over the band of the sphere: equal steps of height, golden angles of azimuth."""
    steps = np.arange(VIEWS)
    low, high = np.sin(np.radians([LOWEST, HIGHEST]))
    elevations = np.degrees(np.arcsin(low + (high - low) * (steps + 0.5) / VIEWS))
    azimuths = 180 * (np.sqrt(5) - 1) * steps
    held_out = steps % (VIEWS // HELD_OUT) == 3
    order = np.concatenate([steps[~held_out], steps[held_out]])
    return Cameras.around(azimuths[order], elevations[order], distance=DISTANCE, field_of_view=FIELD_OF_VIEW, size=size)
