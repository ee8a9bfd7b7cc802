"""Toy cars from boxes and cylinders: saloons, vans and pick-ups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ddmi_modalities.geometry.painted import Painted
from ddmi_modalities.geometry.solids import Box, Cylinder, Solid, Vector

Style = Literal["saloon", "van", "pick-up"]
STYLES: tuple[Style, ...] = ("saloon", "van", "pick-up")

Role = Literal["body", "roof", "glass", "tyre", "hub", "front lamp", "rear lamp", "bumper"]

STEP = 0.006
"""Lengths of the car between faces that would otherwise lie in one plane."""
UPRIGHT = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
"""Axes of the solids to the world's.  Cylinders stand on their y axis, but wheels turn about x: so cars are built lying
on their side, y being their width, -x up and z forward."""


@dataclass(frozen=True, kw_only=True)
class CarParameters:
    """One car in numbers; its length is 1, front to +z, and all lengths are in that unit."""

    style: Style
    width: float
    clearance: float
    """Of the body above the ground."""
    body_height: float
    cabin_height: float
    cabin_rear: float
    """z of the rear window; the front of the car is at 0.5."""
    cabin_front: float
    inset: float
    """Of the cabin from the side of the body."""
    wheel_radius: float
    wheel_width: float
    axle_front: float
    """Distance of the front axle from the middle, and of the rear axle."""
    axle_rear: float
    lamp_size: float
    body_colour: Vector
    """Albedo, RGB in [0, 1]."""
    roof_colour: Vector
    glass_colour: Vector
    hub_colour: Vector

    @property
    def caption(self) -> str:
        return "a saloon car" if self.style == "saloon" else f"a {self.style}"

    def painted(self) -> Painted:
        colours: dict[Role, Vector] = {
            "body": self.body_colour,
            "roof": self.roof_colour,
            "glass": self.glass_colour,
            "hub": self.hub_colour,
            "tyre": (0.12, 0.12, 0.13),
            "front lamp": (0.95, 0.90, 0.55),
            "rear lamp": (0.80, 0.08, 0.08),
            "bumper": (0.28, 0.28, 0.30),
        }
        roles, solids = zip(*_solids(self), strict=True)
        return Painted(solids, np.array([colours[role] for role in roles]), UPRIGHT)


def draw_car(rng: np.random.Generator) -> CarParameters:
    """Numbers for a car: a style of three, 12 lengths and 10 of colour."""
    u = iter(rng.random(23).tolist())

    def between(low: float, high: float) -> float:
        return low + (high - low) * next(u)

    style = STYLES[int(between(0.0, float(len(STYLES))))]
    rear, front, height = {
        "saloon": ((-0.36, -0.24), (0.10, 0.22), (0.16, 0.22)),
        "van": ((-0.48, -0.44), (0.18, 0.34), (0.22, 0.30)),
        "pick-up": ((-0.12, 0.0), (0.20, 0.30), (0.17, 0.23)),
    }[style]
    radius = between(0.095, 0.13)
    body = _brighter((between(0.08, 0.9), between(0.08, 0.9), between(0.08, 0.9)))
    light = between(-0.3, 0.3)
    blue = between(0.0, 0.1)
    grey = between(0.5, 0.85)
    return CarParameters(
        style=style,
        width=between(0.46, 0.56),
        clearance=radius * between(0.6, 0.9),
        body_height=between(0.17, 0.24),
        cabin_height=between(*height),
        cabin_rear=between(*rear),
        cabin_front=between(*front),
        inset=between(0.015, 0.05),
        wheel_radius=radius,
        wheel_width=between(0.07, 0.1),
        axle_front=between(0.27, 0.34),
        axle_rear=between(0.26, 0.34),
        lamp_size=between(0.06, 0.09),
        body_colour=body,
        roof_colour=_lighter(body, light),
        glass_colour=(0.16 + blue, 0.22 + blue, 0.30 + 2 * blue),
        hub_colour=(grey, grey, grey),
    )


def _brighter(colour: Vector) -> Vector:
    """With a largest channel of at least a half: windows and tyres are darker than any car."""
    r, g, b = (value * max(1.0, 0.5 / max(colour)) for value in colour)
    return r, g, b


def _lighter(colour: Vector, by: float) -> Vector:
    r, g, b = (min(max(value + by, 0.05), 0.9) for value in colour)
    return r, g, b


def _solids(p: CarParameters) -> Iterator[tuple[Role, Solid]]:
    side, floor = p.width / 2, p.clearance
    waist = floor + p.body_height
    roof = waist + p.cabin_height
    yield "body", _block((-side, side), (floor, waist), (-0.5, 0.5))
    yield from _cabin(p, side - p.inset, waist, roof)
    if p.style == "pick-up":  # the boards of its bed
        top, end = waist + 0.05, p.cabin_rear + STEP
        for x in (-side + STEP, side - STEP - 0.03):
            yield "body", _block((x, x + 0.03), (waist - STEP, top), (STEP - 0.5, end))
        yield "body", _block((0.03 - side, side - 0.03), (waist - STEP, top - STEP), (2 * STEP - 0.5, 0.03 - 0.5))
    for z in (p.axle_front, -p.axle_rear):
        for x in (-1, 1):
            at = x * (side + 0.015 - p.wheel_width / 2)
            yield "tyre", _wheel(at, z, p.wheel_radius, p.wheel_radius, p.wheel_width)
            yield "hub", _wheel(at, z, p.wheel_radius, 0.55 * p.wheel_radius, p.wheel_width + 2 * STEP)
    for end in (-1, 1):
        bumper = (floor + STEP, floor + 0.25 * p.body_height)
        yield "bumper", _block((STEP - side, side - STEP), bumper, _span(end, 0.02))
        lamp = floor + 0.62 * p.body_height
        for x in (-1, 1):
            middle = x * (side - STEP - 0.6 * p.lamp_size)
            across = (middle - p.lamp_size / 2, middle + p.lamp_size / 2)
            high = (lamp - p.lamp_size / 2.5, lamp + p.lamp_size / 2.5)
            yield ("front lamp" if end > 0 else "rear lamp"), _block(across, high, _span(end, 0.012))


def _cabin(p: CarParameters, side: float, waist: float, roof: float) -> Iterator[tuple[Role, Solid]]:
    """Glass all around, a roof on it, and pillars of the roof's colour at its corners; a van's side is closed."""
    post = 0.035
    rear, front = p.cabin_rear, p.cabin_front
    yield "glass", _block((-side, side), (waist - 0.01, roof), (rear, front))
    edge = side + 2 * STEP
    yield "roof", _block((-edge, edge), (roof - STEP, roof + 0.03), (rear - 2 * STEP, front + 2 * STEP))
    reach = side + STEP
    for x in (-reach, reach - post):
        for z in (rear - STEP, front + STEP - post):
            yield "roof", _block((x, x + post), (waist - 0.02, roof + 0.01), (z, z + post))
    if p.style == "van":
        closed = front - 0.22
        yield "roof", _block((-reach, reach), (waist - 0.02, roof + 0.01), (rear + post / 2, closed))
    else:
        middle = (rear + front) / 2
        for x in (-reach, reach - post):
            yield "roof", _block((x, x + post), (waist - 0.02, roof + 0.01), (middle - post / 2, middle + post / 2))


def _span(end: int, out: float) -> tuple[float, float]:
    """z of what sticks out of the front (1) or the rear (-1)."""
    return (0.45, 0.5 + out) if end > 0 else (-0.5 - out, -0.45)


def _block(x: tuple[float, float], y: tuple[float, float], z: tuple[float, float]) -> Box:
    """From the upright car's coordinates, y above the ground."""
    middle, half = ([(pair[1] + sign * pair[0]) / 2 for pair in (x, y, z)] for sign in (1, -1))
    return Box(centre=(-middle[1], middle[0], middle[2]), half=(half[1], half[0], half[2]))


def _wheel(x: float, z: float, height: float, radius: float, width: float) -> Cylinder:
    return Cylinder(centre=(-height, x, z), radius=radius, half_height=width / 2)
