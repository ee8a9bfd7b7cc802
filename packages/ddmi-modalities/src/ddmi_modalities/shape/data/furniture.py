"""Furniture, the embedded shape data set: procedural chairs and tables with exact occupancy and captions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Literal

import numpy as np
import trimesh
from jaxtyping import Bool, Float32

from ddmi_modalities.datasets.splits import SPLITS, Split, check_split
from ddmi_modalities.geometry.furniture_attributes import (
    FurnitureAttributes,
    Kind,
    all_combinations,
    held_out_combinations,
)
from ddmi_modalities.geometry.furniture_captions import captions_of
from ddmi_modalities.geometry.furniture_parts import FurnitureParameters, Part, draw_parameters
from ddmi_modalities.geometry.solids import Union
from ddmi_modalities.shape.items import draw_points

HoldOut = Literal["none", "combinations"]

COUNTS: dict[Split, int] = {"train": 20_000, "test": 2_000}
"""Items of a split unless the caller says otherwise; there is no end to them."""

MAKING = 1
"""Raise it when the same numbers give other pieces than before."""


@dataclass(frozen=True)
class FurnitureItem:
    """One chair or table; a `ShapeItem`."""

    name: str
    parameters: FurnitureParameters
    captions: tuple[str, ...]
    """One to three; the first says all attributes."""

    @property
    def attributes(self) -> FurnitureAttributes:
        return self.parameters.attributes

    @property
    def label(self) -> str:
        return self.attributes.kind

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """Its solids with role and colour, in world coordinates."""
        return self.parameters.parts()

    @cached_property
    def union(self) -> Union:
        return Union(tuple(part.solid for part in self.parts))

    def inside(self, points: Float32[np.ndarray, "point 3"]) -> Bool[np.ndarray, " point"]:
        """Whether world points are inside; exact."""
        return self.union.inside(points)

    def surface(
        self, count: int, rng: np.random.Generator
    ) -> tuple[Float32[np.ndarray, "count 3"], Float32[np.ndarray, "count 3"]]:
        return self.union.surface(count, rng)

    def cloud(self, count: int, rng: np.random.Generator) -> Float32[np.ndarray, "count 3"]:
        return self.surface(count, rng)[0]

    def points(
        self, count: int, rng: np.random.Generator, near: float | None, spread: float = 0.03
    ) -> tuple[Float32[np.ndarray, "count 3"], Bool[np.ndarray, " count"]]:
        return draw_points(self.union.surface, self.union.inside, count, rng, near, spread)

    def mesh(self) -> trimesh.Trimesh:
        return self.union.mesh()


class Furniture:
    """Chairs and tables; item i of a split is a function of (seed, split, i) alone, whatever `count` is.

    Half of the items are chairs, half tables; all other attributes are balanced within a kind.  They stand centred in
    the unit cube, the front to +z, and the largest side of their bounding box is 0.8 to 1.

    Args:
        split: "train" or "test".
        count: Items, default `COUNTS[split]`; there is no end to them.
        seed: Another seed is another data set.
        hold_out: "none": both splits draw all combinations of attributes.  "combinations": "train" draws none of
            `held_out_combinations()`, and "test" nothing else.

    Raises:
        ValueError: The split or `hold_out` is unknown, or a number is out of range.
    """

    def __init__(self, split: Split, count: int | None = None, *, seed: int = 0, hold_out: HoldOut = "none") -> None:
        self.split = check_split(split)
        self.count = COUNTS[split] if count is None else count
        if self.count < 1 or seed < 0:
            raise ValueError(
                f"Furniture: wanted a count of at least 1 and a seed of at least 0, got count {count} and seed {seed}"
            )
        if hold_out not in ("none", "combinations"):
            raise ValueError(f"Furniture: there is no hold_out {hold_out!r}; choose 'none' or 'combinations'")
        self.seed = seed
        self.hold_out: HoldOut = hold_out

    def digest(self) -> str:
        """What makes the pieces."""
        return f"furniture {MAKING}"

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> FurnitureItem:
        if not -len(self) <= index < len(self):
            raise IndexError(f"piece of furniture {index} of {len(self)}")
        index %= len(self)
        rng = np.random.default_rng((self.seed, SPLITS.index(self.split), index))
        kinds = _combinations(self.split, self.hold_out)
        choices = kinds["chair" if rng.random() < 0.5 else "table"]
        attributes = choices[int(rng.integers(len(choices)))]
        parameters = draw_parameters(attributes, rng)
        return FurnitureItem(f"{self.split}-{self.seed}-{index}", parameters, captions_of(attributes, rng))


@cache
def _combinations(split: Split, hold_out: HoldOut) -> dict[Kind, tuple[FurnitureAttributes, ...]]:
    """What a split draws from, by kind: a product of all values where nothing is held out, so balanced."""
    held_out = frozenset(held_out_combinations())
    allowed = [a for a in all_combinations() if hold_out == "none" or (a in held_out) == (split == "test")]
    kinds: tuple[Kind, ...] = ("chair", "table")
    return {kind: tuple(a for a in allowed if a.kind == kind) for kind in kinds}
