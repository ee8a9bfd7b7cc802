"""The kinds of signal as the reference implementation sees them; what differs from ours is here."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from ddmi.reference.occupancy import OCCUPANCY_EXTENT
from ddmi.reference.radiance import PLANE_HALF
from ddmi.reference.settings import Domain, Settings
from ddmi_fields import ImplicitFunction
from ddmi_modalities.extent import Extent
from ddmi_modalities.image import ImageModality
from ddmi_modalities.nerf import RadianceModality
from ddmi_modalities.shape import ShapeModality
from ddmi_modalities.shape.view import ShapeArtefact, ShapeView
from ddmi_modalities.video import VideoModality

NO_DATA = "(the data of this model; name them with --data PATH)"
"""Source of a model whose configuration names no folder."""


@dataclass(frozen=True, kw_only=True)
class OccupancyModality(ShapeModality):
    """Shapes: the box of its planes is 1e-5 wider than ours, and its surface is not where occupancy is one half."""

    threshold: float = 0.5
    """Probability of occupancy at the surface."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.threshold < 1:
            raise ValueError(f"OccupancyModality: threshold is a probability within (0, 1), got {self.threshold}")

    @cached_property
    def extent(self) -> Extent:
        return OCCUPANCY_EXTENT

    @torch.no_grad()
    def render(self, function: ImplicitFunction, view: ShapeView) -> ShapeArtefact:
        """Meshes of the surfaces where occupancy is `threshold`."""
        from ddmi_modalities.shape.extraction import extract_surface

        level = math.log(self.threshold / (1 - self.threshold))
        settings: dict[str, Any] = dict(
            extent=self.extent, resolution=view.mesh_resolution, refine=view.refine, level=level
        )
        return ShapeArtefact(tuple(extract_surface(one, **settings).mesh for one in function), view)


Modality = ImageModality | OccupancyModality | RadianceModality | VideoModality


def modality(settings: Settings) -> Modality:
    """The modality of a configuration.  Raises ValueError that names the file."""
    make: dict[Domain, Callable[[Settings], Modality]] = {
        "image": _image, "occupancy": _occupancy, "video": _video, "nerf": _radiance
    }  # fmt: skip
    return make[settings.domain](settings)


def _source(section: Mapping[str, Any], name: str) -> str:
    return str(section.get(name) or NO_DATA)


def _image(settings: Settings) -> ImageModality:
    size = int(settings.autoencoder()["ddconfig"]["resolution"])
    source = _source(settings.data, "data_dir")
    return ImageModality(source=source, size=size, target_sizes=(size,), crop=size, flip=True)


def _video(settings: Settings) -> VideoModality:
    config = settings.autoencoder()
    size = int(config["ddconfig"]["resolution"])
    return VideoModality(
        source=_source(settings.data, "data_dir"), frames=int(config["frames"]), size=size, target_sizes=(size,),
        points=0, shown=int(config["frames"]), crop=size, align_corners=True,
    )  # fmt: skip


def _occupancy(settings: Settings) -> OccupancyModality:
    data, test = (settings.points.get(name) or {} for name in ("data", "test"))
    return OccupancyModality(
        source=_source(data, "path"),
        cloud=int(data.get("pointcloud_n", ShapeModality.cloud)),
        noise=float(data.get("pointcloud_noise", ShapeModality.noise)),
        queries=int(data.get("points_subsample", ShapeModality.queries)),
        near=None,
        threshold=float(test.get("threshold", OccupancyModality.threshold)),
        align_corners=True,
    )


def _radiance(settings: Settings) -> RadianceModality:
    data, model = (settings.points.get(name) or {} for name in ("data", "model"))
    rays = model.get("TN") or {}
    return RadianceModality(
        source=_source(data, "path"),
        half=PLANE_HALF,
        cloud=int(data.get("pointcloud_n", RadianceModality.cloud)),
        rays=5000,
        samples=int(rays.get("N_samples", RadianceModality.samples)),
        likelihood="laplace",
        background=(1.0, 1.0, 1.0) if rays.get("white_bkgd", True) else (0.0, 0.0, 0.0),
        align_corners=True,
    )
