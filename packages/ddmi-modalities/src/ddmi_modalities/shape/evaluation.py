"""How good a trained shape model is: reconstruction of single shapes, and distances between sets of shapes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import trimesh
from jaxtyping import Bool, Float32

from ddmi_fields import ImplicitFunction
from ddmi_modalities.datasets.named_draws import named_generator
from ddmi_modalities.metrics.point_sets import (
    Normalisation,
    chamfer_matrix,
    coverage,
    emd_matrix,
    mmd,
    normalise,
    one_nna,
)
from ddmi_modalities.metrics.set_distances import FEWEST
from ddmi_modalities.metrics.surfaces import chamfer_l1, f_score, normal_consistency, volumetric_iou
from ddmi_modalities.modality import DataSet, FunctionSource
from ddmi_modalities.progress import progress
from ddmi_modalities.shape.items import ShapeItem
from ddmi_modalities.shape.modality import ShapeModality
from ddmi_modalities.shape.view import ShapeRenderOptions

logger = logging.getLogger("ddmi")

IOU_POINTS = 100_000
SURFACE_POINTS = 10_000
"""Of a pair of surfaces that is compared."""
SET_POINTS = 2048
"""Of each cloud of a set."""
SEARCH_POINTS = 512
"""Of each cloud while the nearest training shape is looked for."""
NEAREST_OF = 2000
"""Training shapes, of which the nearest is what a data set alone can answer."""
RESOLUTION = 128
"""Of the meshes that are compared."""
CHUNK = 20


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
    guidance_scales: tuple[float, ...] = (0.0, 1.0, 3.0, 5.0)
    """Scales of classifier-free guidance to compare."""
    clip_weights: str | None = None
    """CLIP for CLIP-S: ARCHITECTURE:TAG, hf-hub:OWNER/NAME or a folder, as open_clip names them."""


def evaluate_shapes(
    modality: ShapeModality,
    model: FunctionSource,
    settings: ShapeEvaluation,
    *,
    seed: int = 0,
) -> dict[str, float]:
    """Metrics of held-out shapes' reconstructions, and between sets of shapes.

    `iou/nearest_train` is that of the nearest (by Chamfer distance) of 2,000 training shapes to each held-out one: what
    is reached without a model.  Sets: `mmd/X`, `cov/X`, `1nna/X` with the Chamfer distance of 2,048 points, X is
    "samples", "prior" (see `FunctionSource`) and "real" (training shapes), against the same held-out shapes.
    `one_piece/X`: share of meshes that are one connected surface, however small what lies apart; X is also
    "reconstructions", and not "real".
    """
    held_out, training = modality.dataset("test"), modality.dataset("train")
    items = [held_out[i] for i in range(min(settings.pairs, len(held_out)))]
    result = reconstruction_quality(modality, model, items)
    result["iou/nearest_train"] = nearest_training_iou(items, training)
    count = min(settings.count, len(held_out), len(training))
    if count < FEWEST:
        logger.warning(
            "distances between sets of shapes are left out: they need %d a side, and there are %d", FEWEST, count
        )
        return result | {"count/pairs": len(items), "count/sets": count}
    result |= {"count/pairs": len(items), "count/sets": count, "points/sets": SET_POINTS}
    true = np.stack([surface_cloud(held_out[i], SET_POINTS) for i in range(count)])
    clouds = {"real": np.stack([surface_cloud(training[i], SET_POINTS) for i in range(count)])}
    if model.can_sample:
        for name, make in (("samples", model.sample), ("prior", model.prior)):
            logger.info("meshes of %d shapes: %s", count, name)
            meshes = generated_meshes(modality, make, count, seed)
            clouds[name], counted = _clouds(meshes)
            result |= {f"{key}/{name}": value for key, value in counted.items()}
    within = chamfer_matrix(normalise(true, settings.normalisation, like=true))
    for name, made in clouds.items():
        logger.info("distances between sets of %d shapes: %s", count, name)
        scores = compare_sets(made, true, within, settings.normalisation)
        if settings.emd:
            logger.info("earth mover's distances between sets of %d shapes: %s", min(settings.emd, count), name)
            few = slice(0, min(settings.emd, count))
            scores |= compare_sets_by_emd(made[few], true[few], settings.normalisation)
        result |= {f"{metric}/{name}": value for metric, value in scores.items()}
    return result


def compare_sets(
    made: Float32[np.ndarray, "n point 3"],
    true: Float32[np.ndarray, "n point 3"],
    within: np.ndarray | None = None,
    normalisation: Normalisation = "none",
) -> dict[str, float]:
    """MMD, COV and 1-NNA of made against true clouds, by Chamfer-L2; `within` is the true clouds' own matrix."""
    a, b = (normalise(clouds, normalisation, like=true) for clouds in (made, true))
    across = chamfer_matrix(a, b)
    own = chamfer_matrix(b) if within is None else within
    return {"mmd": mmd(across), "cov": coverage(across), "1nna": one_nna(chamfer_matrix(a), across, own)}


def compare_sets_by_emd(
    made: Float32[np.ndarray, "n point 3"], true: Float32[np.ndarray, "n point 3"], normalisation: Normalisation
) -> dict[str, float]:
    """The same scores by the earth mover's distance."""
    a, b = (normalise(clouds, normalisation, like=true) for clouds in (made, true))
    across = emd_matrix(a, b)
    return {
        "mmd_emd": mmd(across),
        "cov_emd": coverage(across),
        "1nna_emd": one_nna(emd_matrix(a), across, emd_matrix(b)),
    }


@torch.no_grad()
def reconstruction_quality(
    modality: ShapeModality,
    model: FunctionSource,
    items: Sequence[ShapeItem],
) -> dict[str, float]:
    """IoU of 100,000 points of the unit cube; Chamfer-L1, F-score and normal consistency of 10,000 surface points."""
    scores: list[dict[str, float]] = []
    for start in progress(range(0, len(items), CHUNK), what=f"reconstructions of {len(items)} held-out shapes"):
        part = items[start : start + CHUNK]
        functions = model.reconstruct(modality.inputs(part))
        meshes = modality.render(functions, ShapeRenderOptions(mesh_resolution=RESOLUTION)).meshes
        for item, function, mesh in zip(part, functions, meshes, strict=True):
            points, inside = _uniform(item)
            made = occupied(modality, function, points)
            rng = named_generator(f"{item.name}/compared")
            scores.append(
                {"iou": volumetric_iou(made, inside), "one_piece/reconstructions": float(is_one_piece(mesh))}
                | _surface_scores(_mesh_surface(mesh, rng), item.surface(SURFACE_POINTS, rng))
            )
    return {name: float(np.mean([score[name] for score in scores])) for name in scores[0]}


@torch.no_grad()
def occupied(
    modality: ShapeModality, function: ImplicitFunction, points: Float32[np.ndarray, "point 3"]
) -> Bool[np.ndarray, " point"]:
    """Whether world points are inside a function of a batch of one."""
    device = function.basis.device
    coords = modality.extent.to_field(torch.from_numpy(points))[None].to(device)
    return (function(coords)[0, :, 0] > 0).cpu().numpy()


def nearest_training_iou(items: Sequence[ShapeItem], training: DataSet[ShapeItem]) -> float:
    """Mean IoU of every item with the nearest of (at most) 2,000 training shapes.

    NaN where the training shapes store points only, and cannot be asked at those of another shape.
    """
    count = min(NEAREST_OF, len(training))
    logger.info("the nearest of %d training shapes to each of %d", count, len(items))
    shapes = [training[i] for i in range(count)]
    if not all(hasattr(shape, "inside") for shape in shapes):
        return float("nan")
    distances = chamfer_matrix(
        np.stack([surface_cloud(item, SEARCH_POINTS) for item in items]),
        np.stack([surface_cloud(shape, SEARCH_POINTS) for shape in shapes]),
    )
    ious = []
    for item, nearest in zip(items, distances.argmin(1), strict=True):
        points, inside = _uniform(item)
        ious.append(volumetric_iou(shapes[nearest].inside(points), inside))
    return float(np.mean(ious))


def surface_cloud(item: ShapeItem, count: int) -> Float32[np.ndarray, "count 3"]:
    return item.cloud(count, named_generator(f"{item.name}/cloud"))


def mesh_cloud(mesh: trimesh.Trimesh, count: int, seed: int = 0) -> Float32[np.ndarray, "count 3"]:
    """Points spread evenly over a surface; of an empty mesh `count` times the origin."""
    if not len(mesh.faces):
        return np.zeros((count, 3), np.float32)
    return trimesh.sample.sample_surface(mesh, count, seed=seed)[0].astype(np.float32)


def _clouds(meshes: Iterable[trimesh.Trimesh]) -> tuple[Float32[np.ndarray, "count point 3"], dict[str, float | int]]:
    """Clouds of generated shapes, how many are empty, and the share that is one piece."""
    clouds: list[np.ndarray] = []
    empty = whole = 0
    for mesh in meshes:
        empty += not len(mesh.faces)
        whole += is_one_piece(mesh)
        clouds.append(mesh_cloud(mesh, SET_POINTS, len(clouds)))
    return np.stack(clouds), {"empty": empty, "one_piece": whole / len(clouds)}


def is_one_piece(mesh: trimesh.Trimesh) -> bool:
    """Whether all of its surface hangs together; of an empty mesh, nothing does."""
    return len(mesh.faces) > 0 and mesh.body_count == 1


def generated_meshes(
    modality: ShapeModality, make: Callable[..., ImplicitFunction], count: int, seed: int
) -> Iterator[trimesh.Trimesh]:
    view = ShapeRenderOptions(mesh_resolution=RESOLUTION)
    for start in progress(range(0, count, CHUNK), what=f"meshes of {count} shapes"):
        yield from modality.render(make(min(CHUNK, count - start), seed=seed, start=start), view).meshes


def _uniform(item: ShapeItem) -> tuple[Float32[np.ndarray, "point 3"], Bool[np.ndarray, " point"]]:
    return item.points(IOU_POINTS, named_generator(f"{item.name}/iou"), None)


Surface = tuple[Float32[np.ndarray, "point 3"], Float32[np.ndarray, "point 3"]]


def _mesh_surface(mesh: trimesh.Trimesh, rng: np.random.Generator) -> Surface:
    if not len(mesh.faces):
        return np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32)
    points, faces = trimesh.sample.sample_surface(mesh, SURFACE_POINTS, seed=int(rng.integers(2**31)))
    return points.astype(np.float32), mesh.face_normals[faces].astype(np.float32)


def _surface_scores(made: Surface, true: Surface) -> dict[str, float]:
    return {
        "chamfer_l1": chamfer_l1(made[0], true[0]),
        "f_score": f_score(made[0], true[0]),
        "normal_consistency": normal_consistency(*made, *true),
    }
