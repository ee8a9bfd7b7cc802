"""From numbers to a chair or a table: which boxes and cylinders stand where.

Everything is built at its final size, so that the thickness of a part is what was drawn for it; neighbouring parts
overlap by about `JOINT`, so that their union is one solid, and no two of their faces lie in one plane.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import cos, pi, sin, sqrt, tan
from typing import Literal

import numpy as np

from ddmi_modalities.geometry.furniture_attributes import THICK, FurnitureAttributes
from ddmi_modalities.geometry.solids import Box, Cylinder, Solid, Union, Vector

Role = Literal["top", "leg", "back", "arm", "layer"]
ROLES: tuple[Role, ...] = ("top", "leg", "back", "arm", "layer")

THIN, THICKEST = 0.03, 0.10
"""World units: the range of thickness of legs, tops, seats and backs; other parts are 0.03 to 0.06."""
JOINT = 0.01
"""World units by which a part goes into its neighbour, half the neighbour's thickness at most."""
STEP = 0.004
"""World units between faces that would otherwise lie in one plane."""
GAP = 0.05
"""World units left free between two slats, at least: three cells of a grid of 64."""


@dataclass(frozen=True)
class Part:
    """One solid of a piece of furniture."""

    role: Role
    solid: Solid
    colour: Vector
    """RGB in [0, 1]."""


@dataclass(frozen=True, kw_only=True)
class FurnitureParameters:
    """One chair or table in numbers; lengths in world units, shares of 1.  What a kind lacks is drawn, but not used."""

    attributes: FurnitureAttributes
    size: Vector
    """Width (x), height (y), depth (z); a round top is as deep as wide.  A tilted back
    adds to the depth."""
    seat_height: float
    """Of the upper side of a chair's seat above the floor, as a share of the height."""
    top_thickness: float
    leg_thickness: float
    """Of a square leg's side or a round one's diameter."""
    leg_inset: float
    """From the edge of the top to the leg."""
    round_legs: bool
    foot: float
    """Radius of a pedestal's foot, as a share of half the top's smaller side."""
    foot_thickness: float
    back_thickness: float
    back_width: float
    """Share of the width that there is for it."""
    tilt: float
    """Radians by which the back leans backwards."""
    slats: int
    """Wished for; as many as leave gaps of `GAP` are built, at least one."""
    slat_width: float
    rail: float
    """Height of a slatted back's upper rail."""
    arm_height: float
    """Above the seat, as a share of the back's height."""
    arm_thickness: float
    arm_reach: float
    """Where the arm's support stands, as a share of half the depth before the middle."""
    layer_height: float
    """Of the shelf, as a share of the height below the top."""
    layer_thickness: float
    layer_width: float
    """Share of half the top, on a pedestal; else the shelf ends at the middle of the legs."""
    colours: tuple[Vector, ...]
    """RGB in [0, 1] of each of `ROLES`."""

    def parts(self) -> tuple[Part, ...]:
        """The solids, standing centred in the unit cube."""
        colours = dict(zip(ROLES, self.colours, strict=True))
        parts = [Part(role, solid, colours[role]) for role, solid in _solids(self)]
        (x, _, z), (x2, _, z2) = Union(tuple(part.solid for part in parts)).bounds
        shift = (-(x + x2) / 2, 0.0, -(z + z2) / 2)
        return tuple(replace(part, solid=part.solid.moved(shift)) for part in parts)


def draw_parameters(attributes: FurnitureAttributes, rng: np.random.Generator) -> FurnitureParameters:
    """Numbers for these words, 22 or 23 and 5 colours; the largest side of the bounding box is 0.8 to 1."""
    u = iter(rng.random(24 + 3 * len(ROLES)).tolist())

    def between(low: float, high: float) -> float:
        return low + (high - low) * next(u)

    largest = between(0.8, 1.0)
    is_round = attributes.top == "round"
    if attributes.kind == "chair":
        width, depth, height = between(0.6, 0.8), between(0.6, 0.8), 1.0
    else:
        width, height = between(0.7, 1.0), between(0.45, 1.1)
        depth = width * between(0.75, 1.0)
    depth = width if is_round else depth
    unit = largest / max(width, height, depth)
    return FurnitureParameters(
        attributes=attributes,
        size=(width * unit, height * unit, depth * unit),
        seat_height=between(0.42, 0.55),
        top_thickness=between(THIN, THICKEST),
        leg_thickness=between(THICK, THICKEST) if attributes.thick else between(THIN, THICK),
        leg_inset=between(0.005, 0.03),
        round_legs=between(0.0, 1.0) < 0.5,
        foot=between(0.55, 0.85),
        foot_thickness=between(0.03, 0.06),
        back_thickness=between(THIN, THICKEST),
        back_width=between(0.86, 0.98),
        tilt=between(0.0, 0.2),
        slats=1 + int(between(0.0, 3.0)),
        slat_width=between(0.03, 0.05),
        rail=between(0.05, 0.1),
        arm_height=between(0.35, 0.55),
        arm_thickness=between(0.035, 0.06),
        arm_reach=between(0.25, 0.5),
        layer_height=between(0.3, 0.6),
        layer_thickness=between(0.03, 0.06),
        layer_width=between(0.5, 0.8),
        colours=tuple((next(u), next(u), next(u)) for _ in ROLES),
    )


def _solids(p: FurnitureParameters) -> Iterator[tuple[Role, Solid]]:
    floor = -p.size[1] / 2
    chair = p.attributes.kind == "chair"
    upper = floor + p.size[1] * (p.seat_height if chair else 1.0)
    lower = upper - p.top_thickness
    half = (p.size[0] / 2, p.size[2] / 2)
    yield "top", _plate(p, (0.0, 0.0), half, lower, upper)
    leg_top = lower + min(JOINT, p.top_thickness / 2)
    feet, middle = _feet(p, half)
    if p.attributes.legs == 1:
        radius = p.foot * min(half)
        column = floor + min(JOINT, p.foot_thickness / 2)
        yield "leg", _upright(0.0, 0.0, floor, floor + p.foot_thickness, radius)
        yield "leg", _upright(0.0, 0.0, column, leg_top, p.leg_thickness / 2)
    for x, z in feet:
        if p.round_legs:
            yield "leg", _upright(x, z, floor, leg_top, p.leg_thickness / 2)
        else:
            yield "leg", _block((x, z), (p.leg_thickness / 2, p.leg_thickness / 2), floor, leg_top)
    if p.attributes.layers:
        bottom = floor + p.layer_height * (lower - floor) - p.layer_thickness / 2
        reach = middle if feet else (half[0] * p.layer_width, half[1] * p.layer_width)
        yield "layer", _plate(p, (0.0, 0.0), reach, bottom, bottom + p.layer_thickness)
    if chair:
        yield from _back_and_arms(p, upper, half)


def _feet(p: FurnitureParameters, half: tuple[float, float]) -> tuple[list[tuple[float, float]], tuple[float, float]]:
    """x and z of the legs' middles, and how far they reach from the centre."""
    if p.attributes.legs == 1:
        return [], (0.0, 0.0)
    edge = p.leg_inset + p.leg_thickness / 2
    if p.attributes.top == "round":
        ring = half[0] - p.leg_inset - p.leg_thickness * (0.5 if p.round_legs else sqrt(0.5))
        turns = (1 / 12, 5 / 12, 3 / 4) if p.attributes.legs == 3 else (1 / 8, 3 / 8, 5 / 8, 7 / 8)
        return [(ring * cos(2 * pi * turn), ring * sin(2 * pi * turn)) for turn in turns], (ring, ring)
    x, z = half[0] - edge, half[1] - edge
    rear = [(0.0, -z)] if p.attributes.legs == 3 else [(-x, -z), (x, -z)]
    return [(-x, z), (x, z), *rear], (x, z)


def _back_and_arms(p: FurnitureParameters, seat: float, half: tuple[float, float]) -> Iterator[tuple[Role, Solid]]:
    """`seat` is the height of its upper side, `half` half its width and depth."""
    thickness = p.back_thickness
    ceiling = p.size[1] / 2
    lean = thickness * sin(p.tilt)  # its rear edge is lower by this than its front edge
    deep = min(JOINT, (p.top_thickness - lean) / 2) + lean
    low, high = seat - deep, ceiling - lean  # of its rear edges
    length = (high - low) / cos(p.tilt)
    if p.attributes.top == "round":
        rear, room = -0.75 * half[1], sqrt(1 - 0.75**2) * half[0]
    else:
        rear, room = STEP - half[1], half[0]
    width = room * p.back_width
    foot = rear + deep * tan(p.tilt)  # z of its lower rear edge; within the seat it stays before `rear`

    def board(x: float, wide: float, start: float, stop: float, thick: float) -> Box:
        """From `start` to `stop` of its length, in the middle of its thickness."""
        along, across = (start + stop) / 2, thickness / 2
        y = low + along * cos(p.tilt) + across * sin(p.tilt)
        z = foot - along * sin(p.tilt) + across * cos(p.tilt)
        return Box(centre=(x, y, z), half=(wide / 2, (stop - start) / 2, thick / 2), angle=-p.tilt)

    post = min(p.arm_thickness, 0.05)
    if p.attributes.back == "solid":
        yield "back", board(0.0, 2 * width, 0.0, length, thickness)
    else:
        slim = THIN + 0.9 * (thickness - THIN)
        yield "back", board(0.0, 2 * width, length - p.rail, length, thickness)
        outer = width - STEP - post / 2
        inner = 2 * outer - post
        slats = max(1, min(p.slats, int((inner - GAP) / (p.slat_width + GAP))))
        free = (inner - slats * p.slat_width) / (slats + 1)
        places = [outer * side for side in (-1, 1)]
        yield from (("back", board(x, post, 0.0, length - p.rail / 2, slim)) for x in places)
        for i in range(slats):
            x = -inner / 2 + (i + 1) * free + (i + 0.5) * p.slat_width
            yield "back", board(x, p.slat_width, 0.0, length - p.rail / 2, slim)
    if p.attributes.arms:
        thick = p.arm_thickness
        bar = seat + p.arm_height * (ceiling - seat)  # the middle of its height
        end = foot + thickness / 2 * cos(p.tilt) - (bar - low) * tan(p.tilt)
        front = p.arm_reach * half[1]
        slim = thick - STEP
        for x in (post / 2 + STEP - width, width - post / 2 - STEP):
            yield (
                "arm",
                Box(
                    centre=(x, bar, (end + front + STEP + slim / 2) / 2),
                    half=(thick / 2, thick / 2, (front + STEP + slim / 2 - end) / 2),
                ),
            )
            yield "arm", _block((x, front), (slim / 2, slim / 2), seat - min(JOINT, p.top_thickness / 2), bar)


def _plate(
    p: FurnitureParameters, at: tuple[float, float], half: tuple[float, float], low: float, high: float
) -> Solid:
    """A top, seat or shelf from height `low` to `high`, in the outline of the top."""
    return _upright(*at, low, high, half[0]) if p.attributes.top == "round" else _block(at, half, low, high)


def _upright(x: float, z: float, low: float, high: float, radius: float) -> Cylinder:
    return Cylinder(centre=(x, (low + high) / 2, z), radius=radius, half_height=(high - low) / 2)


def _block(at: tuple[float, float], half: tuple[float, float], low: float, high: float) -> Box:
    return Box(centre=(at[0], (low + high) / 2, at[1]), half=(half[0], (high - low) / 2, half[1]))
