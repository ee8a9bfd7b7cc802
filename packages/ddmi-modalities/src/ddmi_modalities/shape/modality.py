"""The shape modality: point clouds in, occupancy functions of the unit cube out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ddmi_fields import ImplicitFunction, PlaneLayout
from ddmi_modalities.datasets.named_draws import named_generator
from ddmi_modalities.datasets.splits import Split
from ddmi_modalities.extent import Extent
from ddmi_modalities.modality import OWN_DATA, Batch, DataSet, Modality
from ddmi_modalities.shape.data.furniture import HoldOut
from ddmi_modalities.shape.data.sources import open_shapes, read_cloud
from ddmi_modalities.shape.items import MOST_AMBIGUOUS, ShapeItem
from ddmi_modalities.shape.view import ShapeRendering, ShapeRenderOptions
from ddmi_vae import Randomness, bernoulli_nll


@dataclass(frozen=True, kw_only=True)
class ShapeModality(Modality[ShapeItem, Tensor, ShapeRenderOptions, ShapeRendering]):
    """Configuration and behaviour of shapes.

    World coordinates are those of the unit cube [-0.5, 0.5]^3, y up.
    """

    source: str = "furniture"
    """'furniture', a folder in the layout of occupancy networks' ShapeNet, or a folder of meshes."""
    classes: tuple[str, ...] = ()
    """Classes of ShapeNet, by name or number; empty: all."""
    captions_file: str | None = None
    """captions.tablechair.csv of Text2Shape, for ShapeNet."""
    items: int = 20_000
    """Training shapes of 'furniture', which is unlimited."""
    hold_out: HoldOut = "none"
    """'combinations': training sees some combinations of the attributes of 'furniture' never."""
    repair: bool = False
    """Repair meshes that are not watertight."""
    most_ambiguous: float = MOST_AMBIGUOUS
    """Of meshes that are not watertight, the largest share of the box in which the winding number may lie between 1/4
    and 3/4; others are refused."""
    cloud: int = 3000
    """Points that the encoder sees."""
    noise: float = 0.005
    """Standard deviation of the noise on these points in training, in world units."""
    num_queries: int = 2048
    """Points at which occupancy is compared in a step."""
    near: float | None = 0.5
    """Fraction of the queries that lie near the surface, the others fill the volume; None: as stored (ShapeNet)."""
    align_corners: bool = False
    """True for imported models: planes have values at the border of the cube."""

    def __post_init__(self) -> None:
        if min(self.cloud, self.num_queries, self.items) < 1:
            raise ValueError(
                f"ShapeModality: cloud, num_queries and items count from 1, got {self.cloud}, {self.num_queries} "
                f"and {self.items}"
            )
        if self.near is not None and not 0 <= self.near <= 1:
            raise ValueError(f"ShapeModality: near is a fraction of the queries, from 0 to 1, or None; got {self.near}")
        if not 0 <= self.most_ambiguous <= 1:
            raise ValueError(f"ShapeModality: most_ambiguous is a share, from 0 to 1; got {self.most_ambiguous}")
        if self.noise < 0:
            raise ValueError(f"ShapeModality: noise is a standard deviation, got {self.noise}")

    @property
    def layout(self) -> PlaneLayout:
        return PlaneLayout.triplane(align_corners=self.align_corners)

    @property
    def attribution(self) -> str | None:
        return OWN_DATA if self.source == "furniture" else super().attribution

    @property
    def RenderOptions(self) -> type[ShapeRenderOptions]:
        return ShapeRenderOptions

    @cached_property
    def extent(self) -> Extent:
        """The map between world and field coordinates."""
        return Extent.cube()

    def dataset(self, split: Split) -> DataSet[ShapeItem]:
        """The split of `source`; ValueError where there is none."""
        return open_shapes(
            self.source, split, classes=self.classes, captions_file=self.captions_file, items=self.items,
            hold_out=self.hold_out, repair=self.repair, most_ambiguous=self.most_ambiguous,
        )  # fmt: skip

    def captions(self, item: ShapeItem) -> tuple[str, ...]:
        return item.captions

    def inputs(self, items: Sequence[ShapeItem]) -> tuple[Float[Tensor, "batch point 3"]]:
        """Noiseless surface points of every item, in field coordinates; which ones, its name decides."""
        clouds = [item.cloud(self.cloud, named_generator(item.name)) for item in items]
        return (self.extent.to_field(torch.from_numpy(np.stack(clouds))),)

    def collate(self, items: Sequence[ShapeItem], rng: Randomness) -> Batch[Tensor]:
        """Noisy surface points for the encoder; points near the surface and in the volume to compare at."""
        clouds, queries, targets = [], [], []
        for item, seed in zip(items, rng.integers(2**31, 1).flatten().tolist(), strict=True):
            draws = np.random.default_rng(seed)
            points = item.cloud(self.cloud, draws)
            clouds.append(points + draws.normal(0, self.noise, points.shape).astype(np.float32))
            at, occupied = item.points(self.num_queries, draws, self.near)
            queries.append(at)
            targets.append(occupied)
        return Batch(
            inputs=(self.extent.to_field(torch.from_numpy(np.stack(clouds))),),
            query=self.extent.to_field(torch.from_numpy(np.stack(queries))),
            target=torch.from_numpy(np.stack(targets)).float()[..., None],
        )

    def predict(
        self, function: ImplicitFunction, query: Float[Tensor, "batch query 3"]
    ) -> Float[Tensor, "batch query 1"]:
        """Occupancy logits at field coordinates."""
        return function(query)

    def nll(
        self, prediction: Float[Tensor, "batch query 1"], target: Float[Tensor, "batch query 1"]
    ) -> Float[Tensor, " batch"]:
        return bernoulli_nll(prediction, target)

    def memory(self, options: ShapeRenderOptions, count: int) -> int:
        """The corners of one grid: values, and what is known of them at two levels."""
        return 8 * (options.mesh_resolution + 1) ** 3

    @torch.no_grad()
    def render(self, function: ImplicitFunction, options: ShapeRenderOptions) -> ShapeRendering:
        """Meshes of the surfaces where occupancy is one half."""
        self.check_memory(options, len(function))
        from ddmi_modalities.geometry.extraction import extract_surface

        meshes = [
            extract_surface(one, extent=self.extent, resolution=options.mesh_resolution, refine=options.refine).mesh
            for one in function
        ]
        return ShapeRendering(tuple(meshes), options)

    def truth(self, items: Sequence[ShapeItem], options: ShapeRenderOptions) -> ShapeRendering:
        """The meshes that the data are made of.  ValueError where only points are stored."""
        return ShapeRendering(tuple(item.mesh() for item in items), options)

    def read(self, path: Path) -> tuple[Float[Tensor, "1 point 3"]]:
        """A point cloud or mesh as the encoder's input.  What leaves the unit cube is centred and scaled into it.

        Raises ValueError naming the file.
        """
        points = read_cloud(Path(path), self.cloud)
        return (self.extent.to_field(torch.from_numpy(points))[None],)
