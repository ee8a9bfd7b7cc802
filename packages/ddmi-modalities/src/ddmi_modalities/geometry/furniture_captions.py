"""Sentences about furniture, from templates."""

from __future__ import annotations

import numpy as np

from ddmi_modalities.geometry.furniture_attributes import FurnitureAttributes

NUMBERS = {3: "three", 4: "four"}


def prompt_of(attributes: FurnitureAttributes) -> str:
    """The caption that says everything, for evaluation: no two combinations share it.

    "a chair with a round seat, four thin legs, arms and a slatted back", "a square table on a thick pedestal with a
    shelf".  Arms and shelves are mentioned where there are any.
    """
    legs = _legs(attributes)
    if attributes.kind == "table":
        joined = f"on {legs}" if attributes.legs == 1 else f"with {legs}"
        shelf = (" with a shelf" if attributes.legs == 1 else " and a shelf") if attributes.layers else ""
        return f"a {attributes.top} table {joined}{shelf}"
    back = f"a {attributes.back} back"
    things = [f"a {attributes.top} seat", legs, *(["arms"] if attributes.arms else [])]
    return f"a chair with {', '.join(things)} and {back}"


def captions_of(attributes: FurnitureAttributes, rng: np.random.Generator) -> tuple[str, ...]:
    """One to three captions, all true, different from each other; the first is `prompt_of(attributes)`.

    The others say less: two of the attributes, or one.
    """
    briefs = _brief_tables(attributes) if attributes.kind == "table" else _brief_chairs(attributes)
    more = rng.permutation(len(briefs))[: rng.integers(0, 3)]
    return (prompt_of(attributes), *(briefs[i] for i in more))


def _legs(attributes: FurnitureAttributes) -> str:
    width = "thick" if attributes.thick else "thin"
    return f"a {width} pedestal" if attributes.legs == 1 else f"{NUMBERS[attributes.legs]} {width} legs"


def _bare_legs(attributes: FurnitureAttributes) -> str:
    return "a pedestal" if attributes.legs == 1 else f"{NUMBERS[attributes.legs]} legs"


def _brief_tables(a: FurnitureAttributes) -> list[str]:
    shelf = "with a shelf" if a.layers else "without a shelf"
    return [
        f"a {a.top} table",
        f"a table with {_legs(a)}",
        f"a {a.top} table with {_bare_legs(a)}",
        f"a {a.top} table {shelf}",
        f"a table {shelf}, standing on {_bare_legs(a)}",
    ]


def _brief_chairs(a: FurnitureAttributes) -> list[str]:
    arms = "with arms" if a.arms else "without arms"
    return [
        f"a chair with a {a.back} back",
        f"a chair with arms and a {a.back} back" if a.arms else f"a chair without arms, with a {a.back} back",
        f"a chair with {_legs(a)}",
        f"a {a.top} chair {arms}",
        f"a chair with a {a.top} seat on {_bare_legs(a)}",
    ]
