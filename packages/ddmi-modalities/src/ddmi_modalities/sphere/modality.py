"""The modality of functions on the sphere: values with places in, functions of unit vectors out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ddmi_fields import ImplicitFunction, PlaneLayout
from ddmi_modalities.datasets.splits import Split, check_split
from ddmi_modalities.geometry.sphere_grid import Degrees, SphereGrid, unit_vectors
from ddmi_modalities.grid_query import even_points
from ddmi_modalities.modality import Batch, Modality
from ddmi_modalities.sphere.data.fields import Channel, Fields, read_fields
from ddmi_modalities.sphere.data.times import SphereItem, SphereTimes
from ddmi_modalities.sphere.view import SphereRendering, SphereRenderOptions
from ddmi_vae import Randomness, gaussian_nll


@dataclass(frozen=True, kw_only=True)
class SphereModality(Modality[SphereItem, Tensor, SphereRenderOptions, SphereRendering]):
    """Configuration and behaviour of functions on the sphere.

    Field coordinates are unit vectors, so that no meridian and no pole is special.  Models see standardised values;
    what is handed out has the units of the file.
    """

    source: str = ""
    """A NetCDF file, or a folder with one."""
    variables: tuple[str, ...] = ()
    """Names in the file; none: all that are on latitudes and longitudes.  Found when training starts."""
    held_out: int = 24
    """Of the last times, so many are held out: two years of months."""
    gap: int = 1
    """Times before those that are in no split."""
    points: int = 4096
    """Points that the encoder sees."""
    fewer: float = 0.0
    """Share of the training steps in which the encoder sees fewer of them, a quarter or a sixteenth: for functions of
    which little is known."""
    num_queries: int = 4096
    """Points at which values are compared in a step."""
    turned: float = 0.0
    """Share of the items of a training step that are turned about the poles, by any angle: for data of few times.
    Latents are cached of items as they are."""
    units: tuple[str, ...] = ()
    """Of each variable.  These and the following are found in the data when training starts."""
    means: tuple[float, ...] = ()
    """Of each variable over the sphere and the training times, in its units."""
    stds: tuple[float, ...] = ()
    """The standard deviation likewise."""
    credit: str | None = None
    """Whose the data are, where their file says so and no ATTRIBUTION.txt beside it does."""

    def __post_init__(self) -> None:
        if min(self.points, self.num_queries) < 1 or min(self.held_out, self.gap) < 0:
            raise ValueError(
                "SphereModality: points and num_queries count from 1, held_out and gap from 0, got "
                f"{self.points}, {self.num_queries}, {self.held_out} and {self.gap}"
            )
        if not (0 <= self.turned <= 1 and 0 <= self.fewer <= 1):
            raise ValueError(
                f"SphereModality: turned is a share of the items and fewer one of the steps, from 0 to 1, got "
                f"{self.turned} and {self.fewer}"
            )
        counts = {len(found) for found in (self.units, self.means, self.stds)}
        if counts not in ({0}, {len(self.variables)}) or not all(std > 0 for std in self.stds):
            raise ValueError(
                f"SphereModality: wanted units, means and positive stds for each of the variables {self.variables}, "
                f"got {self.units}, {self.means} and {self.stds}; leave all three out to find them in the data"
            )

    @property
    def layout(self) -> PlaneLayout:
        return PlaneLayout.triplane()

    @property
    def attribution(self) -> str | None:
        return super().attribution or self.credit

    @property
    def RenderOptions(self) -> type[SphereRenderOptions]:
        return SphereRenderOptions

    @property
    def channels(self) -> tuple[Channel, ...]:
        """Names and units of what functions give.  ValueError before they are known."""
        if not self.units:
            raise ValueError(
                "SphereModality: units, means and stds are not known yet; take `modality.with_statistics()`, which "
                "reads the data"
            )
        return tuple(Channel(name, units) for name, units in zip(self.variables, self.units, strict=True))

    def with_statistics(self) -> SphereModality:
        """The same with what its data say of variables, units, means, deviations and credit; `self` where known."""
        if self.units:
            return self
        fields = read_fields(Path(self.source), self.variables)
        times = SphereTimes(fields, "train", self.held_out, self.gap).times
        areas = fields.grid.areas.double().numpy()
        values = fields.values[times.start : times.stop].astype(np.float64)
        means = (values.mean(0) * areas).sum((-2, -1))
        stds = np.sqrt((((values - means[:, None, None]) ** 2).mean(0) * areas).sum((-2, -1)))
        names = tuple(one.name for one in fields.channels)
        if constant := [name for name, std in zip(names, stds, strict=True) if not std > 0]:
            raise ValueError(f"{self.source!r}: {constant[0]!r} is constant; name other variables")
        return replace(
            self, variables=names, units=tuple(one.units for one in fields.channels),
            means=tuple(means.tolist()), stds=tuple(stds.tolist()), credit=self.credit or fields.credit,
        )  # fmt: skip

    def dataset(self, split: Split) -> SphereTimes:
        """The times of a split.  ValueError where there are none, or in other units than a model was trained in."""
        return SphereTimes(self._read(self.source), check_split(split), self.held_out, self.gap)

    def captions(self, item: SphereItem) -> tuple[str, ...]:
        return ()

    def inputs(self, items: Sequence[SphereItem]) -> tuple[Float[Tensor, "batch point _"]]:
        """Places and standardised values at the same points of every item, spread evenly by area."""
        places = even_points(torch.full((len(items), 2), 0.5), self.points)
        return (self._at(items, places),)

    def collate(self, items: Sequence[SphereItem], rng: Randomness) -> Batch[Tensor]:
        """Random points for the encoder, others to compare at.

        Both are uniform by area, so that the mean over the query is the likelihood weighted by the areas of cells.
        """
        draws = rng.uniform(6)
        angles = torch.where(draws[:, 4] < self.turned, 2 * torch.pi * draws[:, 5], 0.0)
        fold = (1, 4, 16)[rng.shared_choice([1 - self.fewer, self.fewer / 2, self.fewer / 2])]
        seen, both = (
            _turned(self._at(items, even_points(shifts, count)), angles)
            for shifts, count in ((draws[:, :2], max(1, self.points // fold)), (draws[:, 2:4], self.num_queries))
        )
        return Batch(inputs=(seen,), query=both[..., :3], target=both[..., 3:])

    def predict(
        self, function: ImplicitFunction, query: Float[Tensor, "batch query 3"]
    ) -> Float[Tensor, "batch query channel"]:
        """Standardised values at unit vectors."""
        return function(query)

    def nll(
        self, prediction: Float[Tensor, "batch query channel"], target: Float[Tensor, "batch query channel"]
    ) -> Float[Tensor, " batch"]:
        return gaussian_nll(prediction, target)

    @torch.no_grad()
    def values(
        self, function: ImplicitFunction, latitude: Degrees, longitude: Degrees
    ) -> Float[Tensor, "batch channel ..."]:
        """The functions at any places, in the units of the channels.

        Args:
            function: A batch of functions.
            latitude, longitude: In degrees, of shapes that broadcast.
        """
        places = unit_vectors(latitude, longitude)
        read = function(places.reshape(1, -1, 3).to(function.basis.device)).float().cpu()
        means, stds = torch.tensor(self.means), torch.tensor(self.stds)
        return (read * stds + means).transpose(1, 2).reshape(len(read), len(means), *places.shape[:-1])

    def on_grid(self, function: ImplicitFunction, grid: SphereGrid) -> Float[Tensor, "batch channel rows columns"]:
        """The functions on a grid, in the units of the channels."""
        return self.values(function, grid.latitude[:, None], grid.longitude[None, :])

    def memory(self, options: SphereRenderOptions, count: int) -> int:
        """Values and places of the grid, twice."""
        return 16 * count * options.rows**2 * (len(self.variables) + 3)

    def render(self, function: ImplicitFunction, options: SphereRenderOptions) -> SphereRendering:
        """Values on an even grid; pictures are drawn of them when they are saved."""
        self.check_memory(options, len(function))
        grid = SphereGrid.even(options.rows)
        return self.rendering(self.on_grid(function, grid), grid, options)

    def truth(self, items: Sequence[SphereItem], options: SphereRenderOptions) -> SphereRendering:
        """The data on the same grid, bilinear between their points."""
        grid = SphereGrid.even(options.rows)
        at = np.broadcast_arrays(grid.latitude[:, None], grid.longitude[None, :])
        return self.rendering(torch.stack([one.grid.interpolate(one.values, *at) for one in items]), grid, options)

    def rendering(
        self, values: Float[Tensor, "batch channel rows columns"], grid: SphereGrid, options: SphereRenderOptions
    ) -> SphereRendering:
        """Values in physical units as this kind of signal is shown: colours span 2.5 deviations about the mean."""
        ranges = tuple((mean - 2.5 * std, mean + 2.5 * std) for mean, std in zip(self.means, self.stds, strict=True))
        return SphereRendering(values, grid, self.channels, ranges, options, self.attribution)

    def read(self, path: Path) -> tuple[Float[Tensor, "1 point _"]]:
        """The first time of a NetCDF file as the encoder's input.  ValueError naming the file."""
        fields = self._read(str(path))
        first = SphereItem(fields.times[0], fields.grid, torch.from_numpy(fields.values[0]), fields.months[0])
        return self.inputs([first])

    def _read(self, source: str) -> Fields:
        fields = read_fields(Path(source), self.variables)
        for channel, units in zip(fields.channels, self.units, strict=bool(self.units)):
            if channel.units != units:
                raise ValueError(
                    f"{source!r}: {channel.name!r} is in {channel.units!r}, and the model was trained in {units!r}; "
                    "convert it, or correct its units"
                )
        return fields

    def _at(
        self, items: Sequence[SphereItem], places: Float[Tensor, "batch point 2"]
    ) -> Float[Tensor, "batch point _"]:
        """Standardised values of the cells there, after their unit vectors."""
        means, stds = (torch.tensor(found)[:, None] for found in (self.means, self.stds))
        self.channels  # noqa: B018  # raises where statistics are not known
        rows = []
        for item, at in zip(items, places, strict=True):
            row, column = item.grid.even_cells(at)
            values = (item.values[:, row, column] - means) / stds
            rows.append(torch.cat((item.grid.points[row, column], values.T), dim=-1))
        return torch.stack(rows).float()


def _turned(points: Float[Tensor, "batch point _"], angles: Float[Tensor, " batch"]) -> Float[Tensor, "batch point _"]:
    """Unit vectors, with the values after them, turned to the east by angles in radians; by none bit for bit."""
    x, y, rest = points[..., :1], points[..., 1:2], points[..., 2:]
    cosine, sine = angles.cos()[:, None, None], angles.sin()[:, None, None]
    return torch.cat((cosine * x - sine * y, sine * x + cosine * y, rest), dim=-1)
