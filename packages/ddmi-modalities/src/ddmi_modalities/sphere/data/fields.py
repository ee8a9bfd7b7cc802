"""Fields on the sphere from NetCDF files, checked: variables with units on times, latitudes and longitudes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32, Int64

from ddmi_modalities.geometry.sphere_grid import SphereGrid
from ddmi_modalities.memory import check_fits
from ddmi_modalities.sphere.data.axes import axis_of, ordered_latitudes, ordered_longitudes

if TYPE_CHECKING:
    import xarray

ENGINES = {b"CDF": "scipy", b"\x89HDF": "h5netcdf"}
"""What reads a file, by its first bytes: NetCDF 3, and NetCDF 4."""
SUFFIXES = (".nc", ".cdf", ".nc4", ".netcdf")
CREDITS = ("title", "institution", "source", "references", "license", "licence", "acknowledgement")
"""Attributes of a file that say whose it is."""


@dataclass(frozen=True)
class Channel:
    """One variable."""

    name: str
    units: str
    """As the file has them, such as m s-1."""
    long_name: str = ""


@dataclass(frozen=True, eq=False)
class Fields:
    """What a file holds."""

    channels: tuple[Channel, ...]
    grid: SphereGrid
    values: Float32[np.ndarray, "time channel rows columns"]
    """In the channels' units; none is missing."""
    times: tuple[str, ...]
    """A name each, such as 1982-01-16; numbers where the file's calendar is not the usual one, or it has no times."""
    months: tuple[int | None, ...]
    """1 to 12; None where that is not known."""
    credit: str | None
    """Whose the data are, where the file says so."""


def read_fields(path: Path | str, variables: Sequence[str] = ()) -> Fields:
    """The variables of a NetCDF file, or of the only one in a folder, at all its times.

    Args:
        path: The file or folder.
        variables: Their names in the file; none: all that are on latitudes and longitudes.

    Raises:
        ValueError: It cannot be read, a variable is not there, has no units, other axes, or values that are missing, or
            the grid does not go once round the sphere.  Names the file and what to do.
    """
    file = _file(Path(path))
    with _opened(file) as data:
        return _fields(str(file), data, variables)


@contextmanager
def _opened(file: Path) -> Iterator[xarray.Dataset]:
    import xarray

    engine: Any = _engine(file)
    with _sound(str(file)):
        data = xarray.open_dataset(file, engine=engine, decode_times=False, cache=False)
    with data:
        yield data


@contextmanager
def _sound(file: str) -> Iterator[None]:
    """What readers raise on damaged files, which is nearly anything, is a ValueError that names the file."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        raise ValueError(f"{file!r} cannot be read as NetCDF ({error}); write it again") from error


def _fields(file: str, data: xarray.Dataset, variables: Sequence[str]) -> Fields:
    latitude, longitude = axis_of(data, "latitude"), axis_of(data, "longitude")
    missing = [axis for axis, found in (("latitude", latitude), ("longitude", longitude)) if found is None]
    if missing or latitude is None or longitude is None:
        raise ValueError(
            f"{file!r} has no axis of {' and '.join(missing)}; wanted coordinates with the units degrees_north and "
            "degrees_east, such as `ncatted -a units,lat,c,c,degrees_north FILE` adds"
        )
    names = list(variables) or [
        str(name) for name, one in data.data_vars.items() if {latitude, longitude} <= {*one.dims}
    ]
    if unknown := [name for name in names if name not in data.data_vars]:
        known = ", ".join(map(str, data.data_vars))
        raise ValueError(f"{file!r} has no variable {unknown[0]!r}; it has {known or 'none'}")
    if not names:
        raise ValueError(f"{file!r} has no variable on its latitudes and longitudes; choose another file")
    arrays = [_on_axes(file, data[name], latitude, longitude) for name in names]
    times = {one.dims[0] for one in arrays}
    if len(times) > 1:
        raise ValueError(f"{file!r}: {', '.join(names)} are on several axes of time; name some of them")
    check_fits(12 * sum(one.size for one in arrays), f"reading {file!r}", "name fewer variables, or split the file")
    north, rows = ordered_latitudes(file, data[latitude].values)
    east, columns = ordered_longitudes(file, data[longitude].values)
    values = np.stack([_values(file, one, rows, columns) for one in arrays], axis=1)
    channels = tuple(
        Channel(name, _units(file, one), str(one.attrs.get("long_name", one.attrs.get("standard_name", ""))))
        for name, one in zip(names, arrays, strict=True)
    )
    labels, months = _times(file, data, str(times.pop()), len(values))
    return Fields(channels, SphereGrid(north, east), values, labels, months, _credit(data))


def _file(path: Path) -> Path:
    path = path.expanduser()
    if not path.is_dir():
        return path
    found = sorted(one for one in path.iterdir() if one.suffix.lower() in SUFFIXES)
    if len(found) != 1:
        raise ValueError(f"{str(path)!r} has {len(found)} NetCDF files; name one file, or a folder with one")
    return found[0]


def _engine(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            start = opened.read(4)
    except OSError as error:
        raise ValueError(f"cannot read {str(file)!r} ({error.strerror}); give a NetCDF file") from error
    for magic, engine in ENGINES.items():
        if start.startswith(magic):
            return engine
    raise ValueError(f"{str(file)!r} is no NetCDF file; convert GRIB and others, such as by `cdo -f nc copy IN OUT.nc`")


def _on_axes(file: str, array: xarray.DataArray, latitude: str, longitude: str) -> xarray.DataArray:
    """The variable on (time, latitude, longitude), a time being made up where there is none."""
    single = [axis for axis in array.dims if array.sizes[axis] == 1 and axis not in (latitude, longitude)]
    others = [axis for axis in array.dims if axis not in (latitude, longitude, *single)]
    if not {latitude, longitude} <= {*array.dims} or len(others) > 1:
        raise ValueError(
            f"{file!r}: {array.name!r} is on ({', '.join(map(str, array.dims))}); wanted (time, {latitude}, "
            f"{longitude}): choose one level, such as by `ncks -d LEVEL,0 IN OUT.nc`, or name other variables"
        )
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{file!r}: {array.name!r} holds {array.dtype}, wanted numbers; name other variables")
    if not others and single:
        others, single = single[:1], single[1:]
    array = array.isel(dict.fromkeys(single, 0), drop=True)
    array = array if others else array.expand_dims("time")
    return array.transpose(*(others or ["time"]), latitude, longitude)


def _values(
    file: str, array: xarray.DataArray, rows: Int64[np.ndarray, " rows"], columns: Int64[np.ndarray, " columns"]
) -> Float32[np.ndarray, "time rows columns"]:
    with _sound(file):
        values = array.values.astype(np.float32)[:, rows][:, :, columns]
    if wrong := int((~np.isfinite(values)).sum()):
        first = int(np.argmax((~np.isfinite(values)).any((1, 2))))
        raise ValueError(
            f"{file!r}: {wrong} of {values.size} values of {array.name!r} are missing or not finite, the first at time "
            f"{first}; fill them, such as by `cdo setmisstonn IN OUT.nc`, or name other variables"
        )
    return values


def _units(file: str, array: xarray.DataArray) -> str:
    units = str(array.attrs.get("units", "")).strip()
    if not units:
        raise ValueError(
            f"{file!r}: {array.name!r} has no units; say them, such as by `ncatted -a units,{array.name},c,c,'m s-1' "
            "FILE` (1 for pure numbers)"
        )
    return units


def _times(file: str, data: xarray.Dataset, axis: str, count: int) -> tuple[tuple[str, ...], tuple[int | None, ...]]:
    """Names of the times, and their months."""
    import xarray

    numbers = tuple(f"{index:05d}" for index in range(count)), (None,) * count
    if axis not in data.variables:
        return numbers
    if not np.all(np.diff(data[axis].values.astype(np.float64)) > 0):
        raise ValueError(f"{file!r}: its times, {axis!r}, do not ascend; sort them, such as by xarray's `sortby`")
    try:
        decoded = xarray.decode_cf(data[[axis]])[axis].values
    except (ValueError, ImportError, OverflowError, KeyError):  # a calendar that needs more than the usual one
        return numbers
    if decoded.dtype.kind != "M":
        return numbers
    days = decoded.astype("datetime64[D]")
    unique = len({*days.tolist()}) == len(days)
    names = days if unique else decoded.astype("datetime64[s]")
    months = (days.astype("datetime64[M]").astype(int) % 12 + 1).tolist()
    return tuple(str(one) for one in names), tuple(months)


def _credit(data: xarray.Dataset) -> str | None:
    parts = [str(data.attrs[key]).strip() for key in CREDITS if data.attrs.get(key)]
    return "; ".join(part for part in parts if part) or None
