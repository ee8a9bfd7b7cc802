"""NetCDF files as people have them, written here: read alike, or refused with the file, the variable and a remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray

from ddmi_modalities.sphere import read_fields
from ddmi_modalities.sphere.data.times import SphereTimes

LATITUDE, LONGITUDE = np.linspace(-75, 75, 6), np.arange(0.0, 360, 45)


def fields(times: int = 4, **more: Any) -> xarray.Dataset:
    """Two variables that say where they are: 100 time + latitude, and longitude from -180 to 180."""
    north, east = np.meshgrid(LATITUDE, (LONGITUDE + 180) % 360 - 180, indexing="ij")
    u = np.stack([100 * t + north for t in range(times)]).astype(np.float32)
    v = np.stack([east] * times).astype(np.float32)
    axes: dict[str, Any] = {
        "time": ("time", np.arange(times) * 31.0, {"units": "days since 1999-12-16"}),
        "lat": ("lat", LATITUDE, {"units": "degrees_north"}),
        "lon": ("lon", LONGITUDE, {"units": "degrees_east"}),
    }
    variables = {
        "u": (("time", "lat", "lon"), u, {"units": "m s-1", "long_name": "eastward wind"}),
        "v": (("time", "lat", "lon"), v, {"units": "degree"}),
    }
    return xarray.Dataset(variables, axes, {"institution": "us", "license": "CC0"} | more)


def write(data: xarray.Dataset, path: Path, engine: Any = "scipy") -> Path:
    data.to_netcdf(path, engine=engine)
    return path


def check(path: Path, count: int = 4) -> None:
    """That what was read is where it should be."""
    found = read_fields(path, ("u", "v"))
    assert found.values.shape == (count, 2, 6, 8)
    assert found.grid.latitude.tolist() == LATITUDE[::-1].tolist()
    np.testing.assert_allclose(found.grid.longitude, -180 + 45 * np.arange(8), atol=1e-6)
    np.testing.assert_allclose(found.values[2, 0, :, 3], 200 + found.grid.latitude)
    np.testing.assert_allclose(found.values[1, 1, 2], found.grid.longitude, atol=1e-5)


@pytest.mark.parametrize("engine", ["scipy", "h5netcdf"])
def test_both_formats(tmp_path: Path, engine: str) -> None:
    path = write(fields(), tmp_path / "a.nc", engine)
    check(path)
    check(tmp_path)  # the only file of a folder
    found = read_fields(path)
    assert [(one.name, one.units, one.long_name) for one in found.channels] == [
        ("u", "m s-1", "eastward wind"),
        ("v", "degree", ""),
    ]
    assert found.times == ("1999-12-16", "2000-01-16", "2000-02-16", "2000-03-18")
    assert found.months == (12, 1, 2, 3)
    assert found.credit == "us; CC0"


def test_axes_in_other_orders_and_ranges(tmp_path: Path) -> None:
    data = fields()
    check(write(data.isel(lat=slice(None, None, -1)), tmp_path / "descending.nc"))
    check(
        write(
            data.assign_coords(lon=data.lon.copy(data=(LONGITUDE + 180) % 360 - 180)).sortby("lon"), tmp_path / "b.nc"
        )
    )
    check(write(data.transpose("lon", "lat", "time"), tmp_path / "turned.nc"))
    twice = xarray.concat([data, data.isel(lon=[0]).assign_coords(lon=data.lon[:1] + 360)], "lon")
    check(write(twice, tmp_path / "repeated.nc"))
    check(write(data.expand_dims(level=[10.0], axis=1), tmp_path / "level.nc"))
    renamed = data.rename(lat="Y", lon="X")
    renamed.Y.attrs, renamed.X.attrs = {"standard_name": "latitude"}, {"units": "Degree_East"}
    check(write(renamed, tmp_path / "names.nc"))


def test_packed_values_are_unpacked(tmp_path: Path) -> None:
    packed = {"dtype": "int16", "scale_factor": 0.5, "add_offset": 10.0, "_FillValue": -32768}
    fields().to_netcdf(tmp_path / "a.nc", engine="scipy", encoding={"u": packed})
    np.testing.assert_allclose(read_fields(tmp_path / "a.nc", ("u",)).values[0, 0, :, 0], LATITUDE[::-1], atol=0.25)


def test_times(tmp_path: Path) -> None:
    still = write(fields().isel(time=0, drop=True), tmp_path / "still.nc")
    assert read_fields(still).times == ("00000",)
    data = fields()
    data.time.attrs = {"units": "days since 0000-01-01", "calendar": "noleap"}
    found = read_fields(write(data, tmp_path / "model.nc"))
    assert len(found.times) == len({*found.times}) == 4
    data.time.attrs = {"units": "hours since 2000-01-01"}
    data = data.assign_coords(time=data.time.copy(data=np.arange(4.0)))
    assert read_fields(write(data, tmp_path / "hours.nc")).times[1] == "2000-01-01T01:00:00"
    with pytest.raises(ValueError, match="its times, 'time', do not ascend; sort them"):
        read_fields(write(data.isel(time=[0, 2, 1]), tmp_path / "mixed.nc"))


def broken(name: str) -> xarray.Dataset:
    """A data set with one thing wrong."""
    data = fields()
    north, east = data.lat, data.lon
    if name == "no units":
        del data.u.attrs["units"]
    elif name == "missing":
        data.u[1, 2, 3] = np.nan
    elif name == "level":
        data = data.expand_dims(level=[1.0, 2.0])
    elif name == "no latitudes":
        north.attrs = {}
    elif name == "unsorted":
        data = data.isel(lat=[0, 2, 1, 3, 4, 5])
    elif name == "uneven":
        data = data.assign_coords(lat=north.copy(data=[-75.0, -70, -15, 15, 45, 75]))
    elif name == "tropics":
        data = data.isel(lat=slice(2, 5))
    elif name == "radians":
        data = data.assign_coords(lat=north.copy(data=2 * LATITUDE))
    elif name == "half":
        data = data.isel(lon=slice(0, 4))
    elif name == "uneven longitudes":
        data = data.assign_coords(lon=east.copy(data=[0.0, 45, 95, 135, 180, 225, 270, 315]))
    elif name == "text":
        data["u"] = (data.u.dims, np.full(data.u.shape, b"x"), {"units": "1"})
    return data


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no units", r"a.nc': 'u' has no units; say them, such as by `ncatted -a units,u"),
        ("missing", r"a.nc': 1 of 192 values of 'u' are missing or not finite, the first at time 1; fill them"),
        ("level", r"a.nc': 'u' is on \(level, time, lat, lon\); wanted \(time, lat, lon\): choose one level"),
        ("no latitudes", r"a.nc' has no axis of latitude; wanted coordinates with the units degrees_north"),
        ("unsorted", r"6 latitudes from -75 to 75; wanted at least 3, ascending or descending degrees"),
        ("uneven", r"latitudes from -75 to 75 in steps of 5 to 55; wanted about even ones from pole to pole"),
        ("tropics", r"latitudes from -15 to 45 in steps of 30 to 30; wanted about even ones from pole to pole"),
        ("radians", r"latitudes from -150 to 150; wanted .* within -90 and 90"),
        ("half", r"4 longitudes from 0 to 135 do not go once round in even steps"),
        ("uneven longitudes", r"8 longitudes from 0 to 315 do not go once round in even steps"),
        ("text", r"'u' holds .*, wanted numbers"),
    ],
)
def test_what_is_refused(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_fields(write(broken(name), tmp_path / "a.nc", "h5netcdf"), ("u", "v"))


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a.nc' has no variable 'w'; it has u, v"):
        read_fields(write(fields(), tmp_path / "a.nc"), ("u", "w"))
    with pytest.raises(ValueError, match=r"none.nc' \(No such file or directory\); give a NetCDF file"):
        read_fields(tmp_path / "none.nc")
    (tmp_path / "grib.nc").write_bytes(b"GRIB....")
    with pytest.raises(ValueError, match="grib.nc' is no NetCDF file; convert GRIB"):
        read_fields(tmp_path / "grib.nc")
    with pytest.raises(ValueError, match="has 2 NetCDF files; name one file"):
        read_fields(tmp_path)
    for engine in ("scipy", "h5netcdf"):
        content = write(fields(), tmp_path / "whole.nc", engine).read_bytes()
        (tmp_path / "cut.nc").write_bytes(content[: len(content) // 2])
        with pytest.raises(ValueError, match="cut.nc"):
            read_fields(tmp_path / "cut.nc")


def test_the_last_times_are_held_out_as_a_block(tmp_path: Path) -> None:
    found = read_fields(write(fields(10), tmp_path / "a.nc"))
    train, held_out = SphereTimes(found, "train", 3, 1), SphereTimes(found, "test", 3, 1)
    assert [one.name for one in train] == list(found.times[:6])  # type: ignore[attr-defined]
    assert [held_out[i].name for i in range(3)] == list(found.times[7:])
    assert held_out[0].values[0, 0, 0] == 775
    assert train.describe().startswith("1999-12-16 to 2000-05-19 on 6 x 8 points, u in m s-1")
    with pytest.raises(ValueError, match=r"at least 1 time has to be held out .*, got 0"):
        SphereTimes(found, "test", 0, 1)
    with pytest.raises(ValueError, match=r"10 times are too few to hold the last 8 out, and 1 before them"):
        SphereTimes(found, "train", 8, 1)
