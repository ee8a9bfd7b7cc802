"""What can be said of a piece of furniture in words, and which combinations a model may be kept from seeing."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Literal

Kind = Literal["chair", "table"]
Top = Literal["round", "square"]
Back = Literal["none", "solid", "slatted"]

THICK = 0.065
"""World units: legs thinner than this are "thin", the others "thick"."""


@dataclass(frozen=True, kw_only=True, order=True)
class FurnitureAttributes:
    """The words of one chair or table.

    Raises:
        ValueError: Words that do not go together, such as a table with a back.
    """

    kind: Kind
    top: Top
    """Outline of the table top or of the seat, from above; "square" is any rectangle."""
    legs: int
    """1 (a column on a wide round foot), 3 or 4."""
    thick: bool
    """Whether the legs are thick: at least `THICK`."""
    arms: bool = False
    """Chairs only."""
    back: Back = "none"
    """A chair has a "solid" or "slatted" one, a table "none"."""
    layers: int = 0
    """Shelves below the top: 0 or 1, tables only."""

    def __post_init__(self) -> None:
        chair = self.kind == "chair"
        if self.kind not in ("chair", "table") or self.top not in ("round", "square") or self.legs not in (1, 3, 4):
            raise ValueError(
                "FurnitureAttributes: wanted a chair or table with a round or square top on 1, 3 or 4 legs, "
                f"got kind {self.kind!r}, top {self.top!r}, legs {self.legs}"
            )
        if self.back not in (("solid", "slatted") if chair else ("none",)) or (self.arms and not chair):
            raise ValueError(
                f"FurnitureAttributes: a chair has a solid or slatted back, a table neither back nor arms; "
                f"got a {self.kind} with arms {self.arms} and back {self.back!r}"
            )
        if self.layers not in ((0,) if chair else (0, 1)):
            raise ValueError(
                f"FurnitureAttributes: a table has 0 or 1 layers, a chair 0; got a {self.kind} with {self.layers}"
            )


def all_combinations() -> tuple[FurnitureAttributes, ...]:
    """All 48 chairs and 24 tables that differ in words."""
    chairs = [
        FurnitureAttributes(kind="chair", top=top, legs=legs, thick=thick, arms=arms, back=back)
        for top, legs, thick, arms, back in product(TOPS, LEGS, (False, True), (False, True), BACKS)
    ]
    tables = [
        FurnitureAttributes(kind="table", top=top, legs=legs, thick=thick, layers=layers)
        for top, legs, thick, layers in product(TOPS, LEGS, (False, True), (0, 1))
    ]
    return (*chairs, *tables)


TOPS: tuple[Top, ...] = ("round", "square")
LEGS = (1, 3, 4)
BACKS: tuple[Back, ...] = ("solid", "slatted")

HELD_OUT = (("table", "square", 3, False), ("chair", "round", 4, True), ("chair", "square", 1, True))
"""(kind, top, legs, arms) that training does not see when combinations are held out: square tables on three legs, and
armchairs with a round seat on four legs or a square seat on a column."""


def held_out_combinations() -> tuple[FurnitureAttributes, ...]:
    """The 12 of 72 combinations (17 %) of `HELD_OUT`.

    Every attribute alone, and every pair of attributes that exists at all, also occurs among the others: only their
    conjunction is new.
    """
    return tuple(a for a in all_combinations() if (a.kind, a.top, a.legs, a.arms) in HELD_OUT)
