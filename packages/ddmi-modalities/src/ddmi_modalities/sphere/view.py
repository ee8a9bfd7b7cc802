"""How a person wants functions on the sphere drawn and written, and the functions on a grid."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from ddmi_modalities.files.colour_scale import as_colours, colour_bar
from ddmi_modalities.files.pixels import to_picture
from ddmi_modalities.files.sheets import PAPER, picture_table
from ddmi_modalities.files.whole import save_picture, whole
from ddmi_modalities.geometry.sphere_grid import SphereGrid, globe
from ddmi_modalities.sphere.data.fields import Channel

if TYPE_CHECKING:
    import xarray

SphereFormat = Literal["nc", "png"]
FRAMES, FPS = 36, 12
"""Of a turn."""
SMALL = 72
"""Rows of a map among many."""


@dataclass(frozen=True, kw_only=True)
class SphereRenderOptions:
    """Values on any grid from the same function, as NetCDF and pictures."""

    rows: int = 90
    """Rows of the grid, from pole to pole; it has twice as many columns."""
    format: SphereFormat = "nc"
    """nc: a NetCDF file of each function, with its picture beside it; png: the picture only."""
    globe: int = 180
    """Pixels a side of the globes of the pictures; 0 for none."""
    latitude: float = 20.0
    """Of the middle of the globes, in degrees north."""
    longitude: float = 0.0
    """Likewise, in degrees east."""
    turn: bool = False
    """Write a GIF of the globes turning, too."""

    def __post_init__(self) -> None:
        if self.rows < 4 or (self.globe != 0 and self.globe < 16):
            raise ValueError(
                "SphereRenderOptions: a grid has at least 4 rows and a globe 16 pixels, or 0 for none; got "
                f"{self.rows} and {self.globe}"
            )
        if self.format not in get_args(SphereFormat):
            raise ValueError(f"SphereRenderOptions: format is nc or png, got {self.format!r}")
        if not -90 <= self.latitude <= 90 or not -360 <= self.longitude <= 360:
            raise ValueError(
                "SphereRenderOptions: latitude is from -90 to 90 and longitude from -360 to 360 degrees, got "
                f"{self.latitude} and {self.longitude}"
            )
        if self.turn and not self.globe:
            raise ValueError("SphereRenderOptions: a turn needs the size of its globes; give globe at least 16")


@dataclass(frozen=True, eq=False)
class SphereRendering:
    """A batch of functions on one grid, in the units of their channels."""

    values: Float[Tensor, "batch channel rows columns"]
    grid: SphereGrid
    channels: tuple[Channel, ...]
    ranges: tuple[tuple[float, float], ...]
    """Of each channel, the values that the ends of its colours stand for."""
    options: SphereRenderOptions
    credit: str | None = None

    def __len__(self) -> int:
        return len(self.values)

    def save(self, directory: Path, start: int = 0) -> list[Path]:
        """Writes 000.nc, 001.nc, ... (from `start`), 000.png beside each, and 000.gif for a turn.

        Returns one path for each function, of its NetCDF file where there is one.
        """
        from ddmi_modalities.files.clips import save_gif

        directory.mkdir(parents=True, exist_ok=True)
        paths = [directory / f"{start + index:03d}.{self.options.format}" for index in range(len(self))]
        for index, path in enumerate(paths):
            if self.options.format == "nc":
                with whole(path) as temporary:
                    self.dataset(index).to_netcdf(temporary, engine="scipy", format="NETCDF3_64BIT")
            save_picture(self.picture(index), path.with_suffix(".png"))
            if self.options.turn:
                save_gif(self.turning(index), path.with_suffix(".gif"), FPS)
        return paths

    def save_sheet(self, path: Path) -> None:
        """One function as its picture, several as small maps of their channels, some functions a line."""
        if len(self) == 1:
            save_picture(self.picture(0), path)
            return
        names = [channel.name for channel in self.channels]
        functions = [[_map(self.coloured(i, c), SMALL) for c in range(len(names))] for i in range(len(self))]
        fold = max(1, round((len(functions) / (2 * len(names))) ** 0.5))
        lines = [list(chain(*functions[start : start + fold])) for start in range(0, len(functions), fold)]
        save_picture(picture_table(lines, titles=names * min(fold, len(functions)), tile=96), path)

    def dataset(self, index: int) -> xarray.Dataset:
        """One function with coordinates and units, by the CF conventions."""
        import xarray

        axes = {
            name: (name, points, {"units": f"degrees_{to}", "standard_name": name})
            for name, to, points in (
                ("latitude", "north", self.grid.latitude),
                ("longitude", "east", self.grid.longitude),
            )
        }
        variables = {
            one.name: (tuple(axes), values.numpy(), {"units": one.units, "long_name": one.long_name or one.name})
            for one, values in zip(self.channels, self.values[index].float().cpu(), strict=True)
        }
        notes = {"Conventions": "CF-1.8", "source": "ddmi, a generative model: no observation"}
        return xarray.Dataset(variables, axes, notes | ({"references": self.credit} if self.credit else {}))

    def coloured(self, index: int, channel: int) -> UInt8[Tensor, "3 rows columns"]:
        """A channel of a function as an equirectangular map."""
        return as_colours(self.values[index, channel].double().cpu().numpy(), *self.ranges[channel])

    def on_globe(self, index: int, channel: int, turned: float = 0.0) -> UInt8[Tensor, "3 size size"]:
        """A channel of a function on a globe whose middle lies so many degrees further east."""
        options = self.options
        north, east = globe(options.globe, options.latitude, options.longitude + turned)
        values = self.values[index, channel].double().cpu()
        seen = self.grid.interpolate(values, np.nan_to_num(north), np.nan_to_num(east)).numpy()
        return as_colours(np.where(np.isnan(north), np.nan, seen), *self.ranges[channel])

    def picture(self, index: int) -> Image.Image:
        """Of each channel the map, a globe, and what the colours stand for."""
        height = self.options.globe or 180
        lines = []
        for number, channel in enumerate(self.channels):
            globes = [to_picture(self.on_globe(index, number))] if self.options.globe else []
            bar = colour_bar(f"{channel.name} [{channel.units}]", *self.ranges[number], max(96, height))
            lines.append([_beside([_map(self.coloured(index, number), height), *globes, bar], height // 12)])
        return picture_table(lines, tile=height)

    def turning(self, index: int) -> list[UInt8[Tensor, "3 size _"]]:
        """The globes of all channels side by side, once round as the earth turns."""
        return [
            torch.cat([self.on_globe(index, c, -360 * f / FRAMES) for c in range(len(self.channels))], dim=-1)
            for f in range(FRAMES)
        ]


def _map(pixels: UInt8[Tensor, "3 rows columns"], height: int) -> Image.Image:
    picture = to_picture(pixels)
    return picture.resize((round(height * picture.width / picture.height), height), Image.Resampling.BICUBIC)


def _beside(pictures: list[Image.Image], gap: int) -> Image.Image:
    sheet = Image.new("RGB", (sum(p.width + gap for p in pictures) - gap, max(p.height for p in pictures)), PAPER)
    left = 0
    for picture in pictures:
        sheet.paste(picture, (left, (sheet.height - picture.height) // 2))
        left += picture.width + gap
    return sheet
