"""The shape modality: point clouds in, occupancy functions of the unit cube out."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ddmi_fields import ImplicitFunction, PlaneLayout
from ddmi_modalities.extent import Extent
from ddmi_modalities.modality import Batch, DataSet, FunctionSource
from ddmi_modalities.shape.items import ShapeItem
from ddmi_modalities.shape.prepare import ShapePreparation
from ddmi_modalities.shape.set_metrics import Normalisation
from ddmi_modalities.shape.sources import HoldOut, open_source, read_cloud
from ddmi_modalities.shape.view import ShapeArtefact, ShapeView
from ddmi_modalities.splits import Split
from ddmi_vae import Randomness, bernoulli_nll

PADDED_HALF = 0.55
"""Field coordinates [-1, 1] are world +-0.55: the unit cube with a margin of a tenth of its half side."""


@dataclass(frozen=True, kw_only=True)
class ShapeEvaluation:
    """How much of a model is measured, and with what."""

    count: int = 200
    """Shapes a side of distances between sets, and samples for each scale of guidance."""
    pairs: int = 100
    """Held-out shapes of IoU and of distances between surfaces."""
    normalisation: Normalisation = "none"
    """Units of the clouds of distances between sets: as they are, or as published scores were measured."""
    emd: int = 0
    """Shapes a side of the same scores with the exact earth mover's distance; 1.3 s a pair, so small sets only."""
    guidance: tuple[float, ...] = (0.0, 1.0, 3.0, 5.0)
    """Scales of classifier-free guidance to compare."""
    clip_weights: str | None = None
    """CLIP for CLIP-S: ARCHITECTURE:TAG, hf-hub:OWNER/NAME or a folder, as open_clip names them."""


@dataclass(frozen=True, kw_only=True)
class ShapeModality:
    """Configuration and behaviour of shapes; an implementation of `ddmi_modalities.Modality`.

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
    """Repair meshes that are not watertight instead of refusing them."""
    cloud: int = 3000
    """Points that the encoder sees."""
    noise: float = 0.005
    """Standard deviation of the noise on these points in training, in world units."""
    queries: int = 2048
    """Points at which occupancy is compared in a step."""
    near: float | None = 0.5
    """Fraction of the queries that lie near the surface, the others fill the volume; None: as stored (ShapeNet)."""
    align_corners: bool = False
    """True for imported models: planes have values at the border of the cube."""

    def __post_init__(self) -> None:
        if min(self.cloud, self.queries, self.items) < 1:
            raise ValueError(
                f"ShapeModality: cloud, queries and items count from 1, got {self.cloud}, {self.queries}, {self.items}"
            )
        if self.near is not None and not 0 <= self.near <= 1:
            raise ValueError(f"ShapeModality: near is a fraction of the queries, from 0 to 1, or None; got {self.near}")
        if self.noise < 0:
            raise ValueError(f"ShapeModality: noise is a standard deviation, got {self.noise}")

    @property
    def layout(self) -> PlaneLayout:
        return PlaneLayout.triplane(align_corners=self.align_corners)

    @property
    def View(self) -> type[ShapeView]:
        return ShapeView

    @cached_property
    def extent(self) -> Extent:
        """The map between world and field coordinates."""
        return Extent.cube(PADDED_HALF)

    @property
    def Evaluation(self) -> type[ShapeEvaluation]:
        return ShapeEvaluation

    @property
    def Preparation(self) -> type[ShapePreparation]:
        return ShapePreparation

    def dataset(self, split: Split) -> DataSet[ShapeItem]:
        """The split of `source`; ValueError where there is none."""
        return open_source(self, split)

    def captions(self, item: ShapeItem) -> tuple[str, ...]:
        return item.captions

    def inputs(self, items: Sequence[ShapeItem]) -> tuple[Float[Tensor, "batch point 3"]]:
        """Noiseless surface points of every item, in field coordinates; which ones, its name decides."""
        clouds = [item.surface(self.cloud, named_generator(item.name))[0] for item in items]
        return (self.extent.to_field(torch.from_numpy(np.stack(clouds))),)

    def collate(self, items: Sequence[ShapeItem], rng: Randomness) -> Batch[Tensor]:
        """Noisy surface points for the encoder; points near the surface and in the volume to compare at."""
        clouds, queries, targets = [], [], []
        for item, seed in zip(items, rng.integers(2**31, 1).flatten().tolist(), strict=True):
            draws = np.random.default_rng(seed)
            points, _ = item.surface(self.cloud, draws)
            clouds.append(points + draws.normal(0, self.noise, points.shape).astype(np.float32))
            at, occupied = item.points(self.queries, draws, self.near)
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

    @torch.no_grad()
    def render(self, function: ImplicitFunction, view: ShapeView) -> ShapeArtefact:
        """Meshes of the surfaces where occupancy is one half."""
        from ddmi_modalities.shape.extraction import extract_surface

        meshes = [
            extract_surface(one, extent=self.extent, resolution=view.mesh_resolution, refine=view.refine).mesh
            for one in function
        ]
        return ShapeArtefact(tuple(meshes), view)

    def truth(self, items: Sequence[ShapeItem], view: ShapeView) -> ShapeArtefact:
        """The meshes that the data are made of.  ValueError where only points are stored."""
        return ShapeArtefact(tuple(item.mesh() for item in items), view)

    def read(self, path: Path) -> tuple[Float[Tensor, "1 point 3"]]:
        """A point cloud or mesh as the encoder's input.  What leaves the unit cube is centred and scaled into it.

        Raises ValueError naming the file.
        """
        points = read_cloud(Path(path), self.cloud)
        return (self.extent.to_field(torch.from_numpy(points))[None],)

    def view_of(self, path: Path, view: ShapeView) -> ShapeView:
        return view

    def evaluate(
        self,
        model: FunctionSource,
        settings: ShapeEvaluation,
        *,
        seed: int = 0,
        note: Callable[[str], None] = lambda _: None,
    ) -> dict[str, float]:
        """IoU, Chamfer distance and more of reconstructions, and distances between sets: see `evaluation`.

        Of a model that takes prompts, also whether they are followed: see `prompt_evaluation`.
        """
        from ddmi_modalities.shape.evaluation import evaluate_shapes
        from ddmi_modalities.shape.prompt_evaluation import evaluate_prompts

        result = evaluate_shapes(self, model, settings, seed=seed, note=note)
        return result | evaluate_prompts(self, model, settings, seed=seed, note=note) if model.can_prompt else result

    def report(
        self,
        model: FunctionSource,
        directory: Path,
        *,
        seed: int = 0,
        note: Callable[[str], None] = lambda _: None,
    ) -> list[Path]:
        """Sheets of reconstructions and samples, one sample's meshes and its turntable: see `report_shapes`."""
        from ddmi_modalities.shape.report import report_shapes

        return report_shapes(self, model, directory, seed=seed, note=note)

    def metrics(self, made: ShapeArtefact, true: ShapeArtefact) -> dict[str, float]:
        """Means over the pairs: Chamfer-L1, F-score at 0.01 and normal consistency of 10,000 surface points a side."""
        from ddmi_modalities.shape.evaluation import compare_meshes

        return compare_meshes(made.meshes, true.meshes)


def named_generator(name: str) -> np.random.Generator:
    """Draws that depend on an item's name only."""
    return np.random.default_rng(zlib.crc32(name.encode()))
