"""Whether generated shapes are what the prompt asks for, at several scales of guidance."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import torch
import trimesh
from jaxtyping import Bool, Float32

from ddmi_fields import ImplicitFunction
from ddmi_modalities.metrics.point_classifier import PointClassifier, train_classifier
from ddmi_modalities.metrics.point_sets import chamfer_matrix, tmd
from ddmi_modalities.modality import DataSet, FunctionSource
from ddmi_modalities.progress import progress
from ddmi_modalities.shape.data.furniture import Furniture, FurnitureItem
from ddmi_modalities.shape.evaluation import CHUNK, ShapeEvaluation, mesh_cloud, surface_cloud
from ddmi_modalities.shape.furniture_measure import measure
from ddmi_modalities.shape.items import ShapeItem
from ddmi_modalities.shape.modality import ShapeModality
from ddmi_modalities.shape.view import ShapeRenderOptions

logger = logging.getLogger("ddmi")

POINTS = 2048
MEASURED = 64
"""Cells a side of the volume of which attributes are measured."""
ATTRIBUTES = ("kind", "top", "legs", "arms", "back", "layers", "thick")
TMD_SHAPES = 10
LABELLED = 2000
"""Training shapes of the classifier."""
CHECKED = 200
"""Held-out shapes on which the classifier itself is checked."""


def evaluate_prompts(
    modality: ShapeModality,
    model: FunctionSource,
    settings: ShapeEvaluation,
    *,
    seed: int = 0,
) -> dict[str, float]:
    """For each scale w of guidance (0: the prompt is ignored), over `settings.count` samples of held-out prompts.

    `class/wW`: share of samples of the prompt's class, by a classifier trained on the data set's labels;
    `class/true` is that of held-out shapes themselves.  `top/wW`, `legs/wW`, ...: share whose attribute, measured in
    the volume, is the prompt's (Furniture only).  `tmd/wW`: total mutual difference of 10 shapes a prompt.
    `clip_s/wW`: CLIP-S of a shaded picture, with CLIP weights.
    """
    items = prompted_items(modality)
    # every prompt comes ten times in a row, for TMD
    prompts = -(-settings.count // TMD_SHAPES)
    asked = [items[i // TMD_SHAPES % len(items)] for i in range(min(settings.count, TMD_SHAPES * prompts))]
    classifier, result = _classifier(modality)
    for scale in settings.guidance_scales:
        logger.info("%d samples of %d prompts with guidance %g", len(asked), len(set(map(_prompt, asked))), scale)
        volumes, meshes = _generate(modality, model, asked, scale, seed)
        scores = _scores(asked, volumes, meshes, classifier)
        if settings.clip_weights is not None:
            scores["clip_s"] = _clip_score(meshes, [_prompt(item) for item in asked], settings.clip_weights)
        result |= {f"{name}/w{scale:g}": value for name, value in scores.items()}
    return result | {"count/prompted": len(asked)}


def prompted_items(modality: ShapeModality) -> DataSet[ShapeItem]:
    """Held-out items whose captions are asked for: of furniture, where training leaves combinations of attributes out,
    these combinations only."""
    if modality.source == "furniture" and modality.hold_out == "combinations":
        return Furniture("test", hold_out="combinations")
    return modality.dataset("test")


def _prompt(item: ShapeItem) -> str:
    """The fullest caption."""
    return item.captions[0] if item.captions else ""


def _classifier(modality: ShapeModality) -> tuple[PointClassifier | None, dict[str, float]]:
    """A classifier of the training labels and its own accuracy; none where the data have one class only."""
    training, held_out = modality.dataset("train"), modality.dataset("test")
    labelled = [training[i] for i in range(min(LABELLED, len(training)))]
    labels = [item.label or "" for item in labelled]
    if len(set(labels)) < 2:
        return None, {}
    classifier = train_classifier(np.stack([surface_cloud(item, POINTS) for item in labelled]), labels)
    checked = [held_out[i] for i in range(min(CHECKED, len(held_out)))]
    guessed = classifier.classify(np.stack([surface_cloud(item, POINTS) for item in checked]))
    return classifier, {"class/true": _share([a == b.label for a, b in zip(guessed, checked, strict=True)])}


@torch.no_grad()
def _generate(
    modality: ShapeModality, model: FunctionSource, asked: Sequence[ShapeItem], scale: float, seed: int
) -> tuple[list[Bool[np.ndarray, "z y x"]], list[trimesh.Trimesh]]:
    volumes: list[Bool[np.ndarray, "z y x"]] = []
    meshes: list[trimesh.Trimesh] = []
    for start in progress(range(0, len(asked), CHUNK), what=f"shapes of {len(asked)} sentences, scale {scale:g}"):
        prompts = [_prompt(item) for item in asked[start : start + CHUNK]]
        functions = model.sample(len(prompts), seed=seed, start=start, prompts=prompts, guidance_scale=scale)
        meshes += modality.render(functions, ShapeRenderOptions(mesh_resolution=MEASURED)).meshes
        volumes += [unit_cube_volume(modality, function, MEASURED) for function in functions]
    return volumes, meshes


def unit_cube_volume(modality: ShapeModality, function: ImplicitFunction, cells: int) -> Bool[np.ndarray, "z y x"]:
    """Occupancy at the centres of `cells`^3 cells of the unit cube."""
    line = torch.linspace(-0.5 + 0.5 / cells, 0.5 - 0.5 / cells, cells)
    z, y, x = torch.meshgrid(line, line, line, indexing="ij")
    coords = modality.extent.to_field(torch.stack([x, y, z], dim=-1).reshape(1, -1, 3)).to(function.basis.device)
    return (function(coords)[0, :, 0] > 0).reshape(cells, cells, cells).cpu().numpy()


def _scores(
    asked: Sequence[ShapeItem],
    volumes: Sequence[Bool[np.ndarray, "z y x"]],
    meshes: Sequence[trimesh.Trimesh],
    classifier: PointClassifier | None,
) -> dict[str, float]:
    clouds = np.stack([mesh_cloud(mesh, POINTS, i) for i, mesh in enumerate(meshes)])
    scores: dict[str, float] = {"empty": _share([not len(mesh.faces) for mesh in meshes])}
    if classifier is not None:
        guessed = classifier.classify(clouds)
        right = [len(mesh.faces) > 0 and a == b.label for a, b, mesh in zip(guessed, asked, meshes, strict=True)]
        scores["class"] = _share(right)
    agreed = [
        measure(volume).agreement(item.attributes)
        for volume, item in zip(volumes, asked, strict=True)
        if isinstance(item, FurnitureItem)
    ]
    if agreed:
        scores |= {name: _share([one[name] for one in agreed]) for name in ATTRIBUTES}
    groups = [clouds[i : i + TMD_SHAPES] for i in range(0, len(clouds) - TMD_SHAPES + 1, TMD_SHAPES)]
    return scores | ({"tmd": _mean_tmd(groups)} if groups else {})


def _mean_tmd(groups: Sequence[Float32[np.ndarray, "k point 3"]]) -> float:
    return float(np.mean([tmd(chamfer_matrix(group)) for group in groups]))


def _clip_score(meshes: Sequence[trimesh.Trimesh], prompts: Sequence[str], weights: str) -> float:
    from ddmi_modalities.geometry.shading import shade
    from ddmi_modalities.metrics.clip_score import ClipScore

    score = ClipScore(weights)
    values = [score(shade(mesh, 224)[None], [prompt]) for mesh, prompt in zip(meshes, prompts, strict=True)]
    return float(torch.cat(values).mean())


def _share(right: Sequence[bool]) -> float:
    return float(np.mean(right))
