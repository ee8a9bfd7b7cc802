"""How good a model of radiance fields is: views that nobody gave it, and distances between sets of scenes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from ddmi_fields import ImplicitFunction
from ddmi_modalities.datasets.splits import evenly_spaced
from ddmi_modalities.files.pixels import to_float
from ddmi_modalities.geometry.cameras import Cameras
from ddmi_modalities.metrics.features import feature_network
from ddmi_modalities.metrics.lpips import LPIPSLoss
from ddmi_modalities.metrics.pairs import bicubic, psnr, ssim
from ddmi_modalities.metrics.set_distances import FeatureSets, distances_to_held_out
from ddmi_modalities.metrics.sets import frechet_distance, kernel_distance
from ddmi_modalities.modality import DataSet, FunctionSource
from ddmi_modalities.nerf.items import NerfItem, Views
from ddmi_modalities.nerf.modality import NerfModality
from ddmi_modalities.nerf.render.views import render_views
from ddmi_modalities.nerf.view import NerfRenderOptions
from ddmi_modalities.progress import progress
from ddmi_modalities.spec import Measured

logger = logging.getLogger("ddmi")

MEAN_OF = 100
"""Training scenes of the mean image."""
CHUNK = 10
SAME_POSE = 1e-3
"""How far entries of two scenes' camera matrices may be apart where they are one: text files have few digits."""


@dataclass(frozen=True, kw_only=True)
class NerfEvaluation:
    """How much of a model is measured, and with what."""

    scenes: int = 32
    """Held-out scenes of PSNR and SSIM, from all of their held-out views; 0: these are not measured."""
    count: int = 100
    """Scenes a side of Frechet and kernel distances; 0: these are not measured."""
    poses: int = 4
    """Fixed cameras from which each of them is seen: those of the test scenes where these are photographs from the same
    poses and enough of them (SRN Cars: --count 704 --poses 251, SSDNeRF's protocol), otherwise on a circle."""
    weights: Path | None = None
    """Weights of Inception, for the usual FID and KID; without them, features of EfficientNet-Lite0."""
    lpips_weights: Path | None = None
    """Weights of VGG for LPIPS."""

    def __post_init__(self) -> None:
        if min(self.scenes, self.count) < 0 or max(self.scenes, self.count) == 0 or self.poses < 1:
            raise ValueError(
                f"NerfEvaluation: scenes {self.scenes} and count {self.count} must not be negative, nor both 0, "
                f"and poses {self.poses} must be positive"
            )


def evaluate_nerf(
    modality: NerfModality,
    model: FunctionSource,
    settings: NerfEvaluation,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Measured:
    """Quality of held-out views of held-out scenes, and Frechet distances of pictures from fixed poses.

    PixelNeRF's protocol: each metric is the mean over a scene's views, then over scenes.
    """
    held_out, training = modality.dataset("test"), modality.dataset("train")
    result: dict[str, float] = {}
    if settings.scenes:
        items = [held_out[i] for i in evenly_spaced(len(held_out), settings.scenes)]
        result |= view_quality(modality, model, items, training, settings, device)
    if settings.count:
        result |= set_distances(modality, model, held_out, training, settings, seed, device)
    return Measured(metrics=result)


def view_quality(
    modality: NerfModality,
    model: FunctionSource,
    items: Sequence[NerfItem],
    training: DataSet[NerfItem],
    settings: NerfEvaluation,
    device: torch.device | str = "cpu",
) -> dict[str, float]:
    """PSNR in dB and SSIM of held-out views, at the training size and at twice that, beside what needs no model.

    `psnr/mean_image` guesses the mean training view, `psnr/nearest_view` the given view of the scene whose camera is
    nearest in direction, `psnr_bicubic/2x` enlarges the model's own rendering.
    """
    lpips = None if settings.lpips_weights is None else LPIPSLoss(settings.lpips_weights).to(device)
    mean = _mean_image(training, modality.size)
    rows: list[dict[str, float]] = []
    for item in progress(items, what=f"unseen views of {len(items)} scenes"):
        (function,) = model.reconstruct(modality.inputs([item]))
        given, unseen = item.views("given", modality.size), item.views("held_out", modality.size)
        if not len(unseen):
            logger.warning("scene %r has no views that are held out, and is left out", item.name)
            continue
        true = _images(unseen)
        made = _render(modality, function, unseen.cameras)
        row = {
            "psnr/unseen_views": psnr(made, true).mean().item(),
            "ssim/unseen_views": ssim(made, true).mean().item(),
            "psnr/mean_image": psnr(mean.expand_as(true), true).mean().item(),
            "psnr/nearest_view": psnr(_images(given)[_nearest(given, unseen)], true).mean().item(),
        }
        if lpips is not None:
            row["lpips/unseen_views"] = lpips(to_float(made).to(device), to_float(true).to(device)).mean().item()
        try:
            large = item.views("held_out", 2 * modality.size)
        except ValueError:  # photographs have no more pixels than they have
            large = None
        if large is not None:
            true = _images(large)
            row["psnr/2x"] = psnr(_render(modality, function, large.cameras), true).mean().item()
            enlarged = bicubic(made, (2 * modality.size, 2 * modality.size))
            row["psnr_bicubic/2x"] = psnr(enlarged, true).mean().item()
        rows.append(row)
    names = rows[0] if rows else {}
    return {name: float(np.mean([row[name] for row in rows])) for name in names} | {"count/scenes": len(rows)}


def set_distances(
    modality: NerfModality,
    model: FunctionSource,
    held_out: DataSet[NerfItem],
    training: DataSet[NerfItem],
    settings: NerfEvaluation,
    seed: int,
    device: torch.device | str = "cpu",
) -> dict[str, float]:
    """Frechet and kernel distances of pictures from fixed poses, all to the same held-out scenes (SSDNeRF's protocol).

    `X` is "samples", "prior" (see `FunctionSource`), "reconstructions" and "real" (training scenes).  See
    `fixed_poses`; where the data are photographs, their own views stand for pictures from the poses.
    """
    poses, shared = fixed_poses(modality, held_out, settings.poses)
    logger.info("poses: %d %s", len(poses), "that the test scenes share" if shared else "on a circle")
    sets = FeatureSets(
        model=model,
        network=feature_network(settings.weights, device),
        inputs=modality.inputs,
        truth=lambda items: torch.cat([_from_poses(modality, item, poses) for item in items]),
        render=lambda functions, _: torch.cat([_render(modality, function, poses) for function in functions]),
        seed=seed,
        chunk=CHUNK,
    )
    seen_from = ("poses/frechet", "poses/of_test_scenes") if shared else ("poses/frechet",)
    return dict.fromkeys(seen_from, float(len(poses))) | distances_to_held_out(
        sets, held_out, training, settings.count, what="scenes",
        distances={"fd": frechet_distance, "kd": kernel_distance},
    )  # fmt: skip


def fixed_poses(modality: NerfModality, held_out: DataSet[NerfItem], count: int) -> tuple[Cameras, bool]:
    """`count` cameras from which all scenes are seen, and whether they are the test scenes' own.

    They are where the test scenes are photographs, all from the same poses and at least as many (SRN Cars: 251 on a
    spiral): those of the first scene in their order, evenly picked where there are more.  Otherwise a circle.
    """
    circle = NerfRenderOptions(views=count, resolution=modality.size).cameras(modality.half)
    first, last = held_out[0], held_out[len(held_out) - 1]
    try:
        first.pictures(circle[:1])
    except ValueError:  # photographs
        own, other = (item.views("all", modality.size).cameras for item in (first, last))
        if (
            len(own) >= count
            and own.to_world.shape == other.to_world.shape
            and np.allclose(own.to_world, other.to_world, atol=SAME_POSE)
        ):
            return own[np.array(evenly_spaced(len(own), count))], True
    return circle, False


def _images(views: Views) -> UInt8[Tensor, "view 3 rows columns"]:
    return torch.from_numpy(np.array(views.images)).permute(0, 3, 1, 2).contiguous()


def _render(modality: NerfModality, function: ImplicitFunction, cameras: Cameras) -> UInt8[Tensor, "_ 3 rows cols"]:
    return render_views(function, cameras, modality.extent, background=torch.tensor(modality.background)).colour


def _from_poses(modality: NerfModality, item: NerfItem, poses: Cameras) -> UInt8[Tensor, "_ 3 rows columns"]:
    try:
        return torch.from_numpy(item.pictures(poses))
    except ValueError:
        views = item.views("all", modality.size)
        return _images(views[np.array(evenly_spaced(len(views), len(poses)))])


def _mean_image(training: DataSet[NerfItem], size: int) -> UInt8[Tensor, "1 3 rows columns"]:
    scenes = (training[i].views("given", size).images for i in evenly_spaced(len(training), MEAN_OF))
    mean = torch.from_numpy(np.mean([images.astype(np.float32).mean(0) for images in scenes], axis=0))
    return mean.round().to(torch.uint8).permute(2, 0, 1)[None]


def _nearest(given: Views, unseen: Views) -> Int64[Tensor, " view"]:
    """For each unseen view, the given one whose camera looks in the most similar direction."""
    cosines = unseen.cameras.to_world[:, :3, 2] @ given.cameras.to_world[:, :3, 2].T
    return torch.from_numpy(cosines.argmax(1))
