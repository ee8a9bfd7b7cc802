"""The kind of signal that a configuration of the reference implementation is about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ddmi.importing.settings import Settings
from ddmi.reference.nerf import PLANE_HALF
from ddmi.reference.occupancy_modality import OccupancyModality
from ddmi.reference.options import Domain
from ddmi_modalities.image import ImageModality
from ddmi_modalities.modality import Modality
from ddmi_modalities.nerf import NerfModality
from ddmi_modalities.shape import ShapeModality
from ddmi_modalities.video import VideoModality

NO_DATA = "(the data of this model; name them with --data PATH)"
"""Source of a model whose configuration names no folder."""


def modality(settings: Settings) -> Modality:
    """The modality of a configuration.  Raises ValueError that names the file."""
    make: dict[Domain, Callable[[Settings], Modality]] = {
        "image": _image, "occupancy": _occupancy, "video": _video, "nerf": _nerf
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
        num_queries=0, shown=int(config["frames"]), crop=size, align_corners=True,
    )  # fmt: skip


def _occupancy(settings: Settings) -> OccupancyModality:
    data, test = (settings.points.get(name) or {} for name in ("data", "test"))
    return OccupancyModality(
        source=_source(data, "path"),
        cloud=int(data.get("pointcloud_n", ShapeModality.cloud)),
        noise=float(data.get("pointcloud_noise", ShapeModality.noise)),
        num_queries=int(data.get("points_subsample", ShapeModality.num_queries)),
        near=None,
        threshold=float(test.get("threshold", OccupancyModality.threshold)),
        align_corners=True,
    )


def _nerf(settings: Settings) -> NerfModality:
    data, model = (settings.points.get(name) or {} for name in ("data", "model"))
    rays = model.get("TN") or {}
    return NerfModality(
        source=_source(data, "path"),
        half=PLANE_HALF,
        cloud=int(data.get("pointcloud_n", NerfModality.cloud)),
        num_queries=5000,
        samples=int(rays.get("N_samples", NerfModality.samples)),
        likelihood="laplace",
        background=(1.0, 1.0, 1.0) if rays.get("white_bkgd", True) else (0.0, 0.0, 0.0),
        align_corners=True,
    )
