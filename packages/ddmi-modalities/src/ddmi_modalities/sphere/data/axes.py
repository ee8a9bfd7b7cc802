"""Which axes of a NetCDF file are latitudes and longitudes, checked, and put in the order of `SphereGrid`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64, Int64, Shaped

if TYPE_CHECKING:
    import xarray

DIRECTIONS = {"latitude": ("north", "n"), "longitude": ("east", "e")}
"""How units such as degrees_north or degree_E end, by the CF conventions."""
ROUNDING = 1e-6
"""Degrees; 180 E stays where it is, and does not become 180 W by a last digit."""
REMEDY = "put the data on such a grid, for instance by `cdo remapbil,r144x73 IN OUT.nc`"


def axis_of(data: xarray.Dataset, name: str) -> str | None:
    """The dimension whose coordinates say by their units or standard name that they are the latitude, or longitude."""
    for dimension in data.dims:
        if dimension in data.variables:
            attributes = data[dimension].attrs
            units = str(attributes.get("units", "")).lower().replace("_", "")
            known = {f"{degrees}{end}" for degrees in ("degree", "degrees") for end in DIRECTIONS[name]}
            if units in known or attributes.get("standard_name") == name:
                return str(dimension)
    return None


def ordered_latitudes(
    file: str, degrees: Shaped[np.ndarray, " _"]
) -> tuple[Float64[np.ndarray, " rows"], Int64[np.ndarray, " rows"]]:
    """Latitudes from north to south, and the places in the file that they are of.

    Raises ValueError unless they ascend or descend from pole to pole in about even steps.
    """
    found = degrees.astype(np.float64)
    steps = np.diff(found)
    if len(found) < 3 or not (np.all(steps > 0) or np.all(steps < 0)) or np.abs(found).max() > 90 + 1e-4:
        raise ValueError(
            f"{file!r}: {len(found)} latitudes from {found[0]:g} to {found[-1]:g}; wanted at least 3, ascending or "
            "descending degrees within -90 and 90; sort them, such as by xarray's `sortby`"
        )
    largest, least = np.abs(steps).max(), np.abs(steps).min()
    gap = 90 - min(found.max(), -found.min())
    if largest > 1.5 * least or gap > 1.5 * largest:
        raise ValueError(
            f"{file!r}: latitudes from {found.min():g} to {found.max():g} in steps of {least:g} to {largest:g}; wanted "
            f"about even ones from pole to pole; {REMEDY}"
        )
    places = np.argsort(-found)
    return np.clip(found[places], -90, 90), places


def ordered_longitudes(
    file: str, degrees: Shaped[np.ndarray, " _"]
) -> tuple[Float64[np.ndarray, " columns"], Int64[np.ndarray, " columns"]]:
    """Longitudes eastwards from about 180 W on, and the places in the file that they are of.

    A last one that is the first one again is left out.  Raises ValueError unless they go once round in even steps.
    """
    found = degrees.astype(np.float64)
    steps = np.diff(found)
    width = float(np.abs(steps).mean()) if len(steps) else 0.0
    even = len(steps) > 2 and (np.all(steps > 0) or np.all(steps < 0)) and np.ptp(steps) < 0.02 * width
    count = len(found)
    if even and abs(abs(found[-1] - found[0]) - 360) < 0.1 * width:
        count -= 1
    if not even or abs(count * width - 360) > 0.1 * width:
        raise ValueError(
            f"{file!r}: {len(found)} longitudes from {found[0]:g} to {found[-1]:g} do not go once round in even steps, "
            f"and functions on the sphere need values all round; {REMEDY}"
        )
    wrapped = np.mod(found[:count] + 180 + ROUNDING, 360.0) - 180 - ROUNDING
    places = np.argsort(wrapped)
    return wrapped[places[0]] + np.arange(count) * (360 / count), places
