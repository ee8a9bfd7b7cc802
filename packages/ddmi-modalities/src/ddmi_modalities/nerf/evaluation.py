"""How good a model of radiance fields is: views that nobody gave it, and distances between sets of scenes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from ddmi_fields import ImplicitFunction
from ddmi_modalities.image.evaluation import spread
from ddmi_modalities.image.features import EfficientNetLite0Features, FeatureNetwork, InceptionFeatures, extract
from ddmi_modalities.image.frechet import frechet_distance
from ddmi_modalities.image.metrics import bicubic, psnr, ssim
from ddmi_modalities.modality import DataSet, FunctionSource
from ddmi_modalities.nerf.modality import RadianceEvaluation, RadianceModality
from ddmi_modalities.nerf.rendering import render_views
from ddmi_modalities.nerf.scenes import SceneItem, Views
from ddmi_modalities.nerf.view import RadianceView

MEAN_OF = 100
"""Training scenes of the mean image."""
CHUNK = 10


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
    items = [held_out[i] for i in spread(len(held_out), settings.scenes)]
    result = view_quality(modality, model, items, training, settings, note)
    return result | set_distances(modality, model, held_out, training, settings, seed, note)


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
        made = _render(modality, function, unseen)
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
            row["psnr/2x"] = psnr(_render(modality, function, large), true).mean().item()
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

    `X` is "samples", "prior" (see `FunctionSource`), "reconstructions" and "real" (training scenes).  Where the data
    are photographs, their own views stand for pictures from the poses.
    """
    weights = settings.weights
    network: FeatureNetwork = InceptionFeatures(weights) if weights is not None else EfficientNetLite0Features()
    count = min(settings.count, len(held_out), len(training))
    view = RadianceView(views=settings.poses, resolution=modality.size)
    real = [held_out[i] for i in spread(len(held_out), count)]

    def functions(make: Callable[[int, int], ImplicitFunction]) -> Iterator[UInt8[Tensor, "_ 3 _ _"]]:
        for start in range(0, count, CHUNK):
            yield modality.render(make(start, min(CHUNK, count - start)), view).pictures.flatten(0, 1)

    def scenes(items: Sequence[SceneItem]) -> Iterator[UInt8[Tensor, "_ 3 _ _"]]:
        for item in items:
            yield _from_poses(modality, item, view)

    sides: dict[str, Callable[[], Iterator[Tensor]]] = {
        "real": lambda: scenes([training[i] for i in spread(len(training), count)]),
        "reconstructions": lambda: functions(lambda s, n: model.reconstruct(modality.inputs(real[s : s + n]))),
    }
    if model.can_sample:
        sides["samples"] = lambda: functions(lambda s, n: model.sample(n, seed=seed, start=s))
        sides["prior"] = lambda: functions(lambda s, n: model.prior(n, seed=seed, start=s))
    note(f"features of {count} held-out scenes ({network.name})")
    reference = extract(network, scenes(real))
    result = {"count/frechet": float(count), "poses/frechet": float(view.views)}
    for name, side in sides.items():
        note(f"features of {count} scenes: {name}")
        features = extract(network, side())
        result[f"fd/{name}"] = frechet_distance(features, reference)
        result[f"kd/{name}"] = kernel_distance(features, reference)
    return result


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


def _render(modality: RadianceModality, function: ImplicitFunction, views: Views) -> UInt8[Tensor, "view 3 rows cols"]:
    background = torch.tensor(modality.background)
    return render_views(function, views.cameras, modality.extent, background=background).colour


def _from_poses(modality: RadianceModality, item: SceneItem, view: RadianceView) -> UInt8[Tensor, "_ 3 rows columns"]:
    try:
        return modality.truth([item], view).pictures[0]
    except ValueError:
        views = item.views("all", modality.size)
        return _images(views[np.array(spread(len(views), view.views))])


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
