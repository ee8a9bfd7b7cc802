"""How good a model of radiance fields is: views that nobody gave it, and distances between sets of scenes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from ddmi_fields import ImplicitFunction
from ddmi_modalities.image.features import EfficientNetLite0Features, FeatureNetwork, InceptionFeatures, extract
from ddmi_modalities.image.frechet import frechet_distance
from ddmi_modalities.image.metrics import bicubic, psnr, ssim
from ddmi_modalities.image.set_distances import distances_to_held_out, spread
from ddmi_modalities.modality import DataSet, FunctionSource
from ddmi_modalities.nerf.cameras import Cameras
from ddmi_modalities.nerf.modality import RadianceEvaluation, RadianceModality
from ddmi_modalities.nerf.rendering import render_views
from ddmi_modalities.nerf.scenes import SceneItem, Views
from ddmi_modalities.nerf.view import RadianceView

MEAN_OF = 100
"""Training scenes of the mean image."""
CHUNK = 10
SAME_POSE = 1e-3
"""How far entries of two scenes' camera matrices may be apart where they are one: text files have few digits."""


def evaluate_scenes(
    modality: RadianceModality,
    model: FunctionSource,
    settings: RadianceEvaluation,
    *,
    seed: int = 0,
    note: Callable[[str], None] = lambda _: None,
) -> dict[str, float]:
    """Quality of held-out views of held-out scenes, and Frechet distances of pictures from fixed poses.

    PixelNeRF's protocol: each metric is the mean over a scene's views, then over scenes.
    """
    held_out, training = modality.dataset("test"), modality.dataset("train")
    result: dict[str, float] = {}
    if settings.scenes:
        items = [held_out[i] for i in spread(len(held_out), settings.scenes)]
        result |= view_quality(modality, model, items, training, settings, note)
    if settings.count:
        result |= set_distances(modality, model, held_out, training, settings, seed, note)
    return result


def view_quality(
    modality: RadianceModality,
    model: FunctionSource,
    items: Sequence[SceneItem],
    training: DataSet[SceneItem],
    settings: RadianceEvaluation,
    note: Callable[[str], None] = lambda _: None,
) -> dict[str, float]:
    """PSNR in dB and SSIM of held-out views, at the training size and at twice that, beside what needs no model.

    `psnr/mean_image` guesses the mean training view, `psnr/nearest_view` the given view of the scene whose camera is
    nearest in direction, `psnr_bicubic/2x` enlarges the model's own rendering.
    """
    lpips = _lpips(settings)
    mean = _mean_image(training, modality.size)
    rows: list[dict[str, float]] = []
    for number, item in enumerate(items):
        note(f"unseen views of scene {number + 1} of {len(items)}")
        (function,) = model.reconstruct(modality.inputs([item]))
        given, unseen = item.views("given", modality.size), item.views("held_out", modality.size)
        true = _images(unseen)
        made = _render(modality, function, unseen.cameras)
        row = {
            "psnr/unseen_views": psnr(made, true).mean().item(),
            "ssim/unseen_views": ssim(made, true).mean().item(),
            "psnr/mean_image": psnr(mean.expand_as(true), true).mean().item(),
            "psnr/nearest_view": psnr(_images(given)[_nearest(given, unseen)], true).mean().item(),
        }
        if lpips is not None:
            row["lpips/unseen_views"] = lpips(made.float() / 127.5 - 1, true.float() / 127.5 - 1).mean().item()
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
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]} | {"count/scenes": len(rows)}


def set_distances(
    modality: RadianceModality,
    model: FunctionSource,
    held_out: DataSet[SceneItem],
    training: DataSet[SceneItem],
    settings: RadianceEvaluation,
    seed: int,
    note: Callable[[str], None] = lambda _: None,
) -> dict[str, float]:
    """Frechet and kernel distances of pictures from fixed poses, all to the same held-out scenes (SSDNeRF's protocol).

    `X` is "samples", "prior" (see `FunctionSource`), "reconstructions" and "real" (training scenes).  See
    `fixed_poses`; where the data are photographs, their own views stand for pictures from the poses.
    """
    weights = settings.weights
    network: FeatureNetwork = InceptionFeatures(weights) if weights is not None else EfficientNetLite0Features()
    poses, shared = fixed_poses(modality, held_out, settings.poses)
    note(f"poses: {len(poses)} " + ("that the test scenes share" if shared else "on a circle"))

    def truth(items: Sequence[SceneItem]) -> Tensor:
        return torch.cat([_from_poses(modality, item, poses) for item in items])

    def render(functions: ImplicitFunction) -> Tensor:
        return torch.cat([_render(modality, function, poses) for function in functions])

    seen_from = ("poses/frechet", "poses/of_test_scenes") if shared else ("poses/frechet",)
    return dict.fromkeys(seen_from, float(len(poses))) | distances_to_held_out(
        model,
        held_out,
        training,
        settings.count,
        inputs=modality.inputs,
        truth=truth,
        render=render,
        features=partial(extract, network),
        chunk=CHUNK,
        seed=seed,
        what=f"scenes ({network.name})",
        distances={"fd": frechet_distance, "kd": kernel_distance},
        note=note,
    )


def fixed_poses(modality: RadianceModality, held_out: DataSet[SceneItem], count: int) -> tuple[Cameras, bool]:
    """`count` cameras from which all scenes are seen, and whether they are the test scenes' own.

    They are where the test scenes are photographs, all from the same poses and at least as many (SRN Cars: 251 on a
    spiral): those of the first scene in their order, evenly picked where there are more.  Otherwise a circle.
    """
    circle = RadianceView(views=count, resolution=modality.size).cameras(modality.half)
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
            return own[np.array(spread(len(own), count))], True
    return circle, False


def kernel_distance(features_a: Tensor, features_b: Tensor) -> float:
    """Unbiased squared maximum mean discrepancy with the kernel `(x . y / d + 1)^3` (with Inception's features: KID).

    Binkowski et al. 2018, over all pairs instead of over random subsets of them.
    """
    a, b = features_a.double(), features_b.double()
    if min(len(a), len(b)) < 2 or a.shape[1] != b.shape[1]:
        raise ValueError(
            f"kernel distance: features of shapes {tuple(a.shape)} and {tuple(b.shape)}; wanted at least 2 images a "
            "side, from one network"
        )

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return (x @ y.T / x.shape[1] + 1) ** 3

    def without_diagonal(k: Tensor) -> Tensor:
        return (k.sum() - k.diagonal().sum()) / (len(k) * (len(k) - 1))

    mixed = kernel(a, b).mean()
    return (without_diagonal(kernel(a, a)) + without_diagonal(kernel(b, b)) - 2 * mixed).item()


def _images(views: Views) -> UInt8[Tensor, "view 3 rows columns"]:
    return torch.from_numpy(np.array(views.images)).permute(0, 3, 1, 2).contiguous()


def _render(modality: RadianceModality, function: ImplicitFunction, cameras: Cameras) -> UInt8[Tensor, "_ 3 rows cols"]:
    return render_views(function, cameras, modality.extent, background=torch.tensor(modality.background)).colour


def _from_poses(modality: RadianceModality, item: SceneItem, poses: Cameras) -> UInt8[Tensor, "_ 3 rows columns"]:
    try:
        return torch.from_numpy(item.pictures(poses))
    except ValueError:
        views = item.views("all", modality.size)
        return _images(views[np.array(spread(len(views), len(poses)))])


def _mean_image(training: DataSet[SceneItem], size: int) -> UInt8[Tensor, "1 3 rows columns"]:
    scenes = (training[i].views("given", size).images for i in spread(len(training), MEAN_OF))
    mean = torch.from_numpy(np.mean([images.astype(np.float32).mean(0) for images in scenes], axis=0))
    return mean.round().to(torch.uint8).permute(2, 0, 1)[None]


def _nearest(given: Views, unseen: Views) -> Int64[Tensor, " view"]:
    """For each unseen view, the given one whose camera looks in the most similar direction."""
    cosines = unseen.cameras.to_world[:, :3, 2] @ given.cameras.to_world[:, :3, 2].T
    return torch.from_numpy(cosines.argmax(1))


def _lpips(settings: RadianceEvaluation) -> Any:
    if settings.lpips_weights is None:
        return None
    from ddmi_modalities.image.lpips import LPIPSLoss

    return LPIPSLoss(settings.lpips_weights)
