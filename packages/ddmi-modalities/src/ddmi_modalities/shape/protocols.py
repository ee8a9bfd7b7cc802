"""The evaluations of shapes: our own, and named ones, each as somebody's published numbers were measured."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ddmi_modalities.metrics.point_sets import Normalisation
from ddmi_modalities.modality import FunctionSource
from ddmi_modalities.shape.evaluation import ShapeEvaluation, evaluate_shapes
from ddmi_modalities.shape.modality import ShapeModality
from ddmi_modalities.shape.prompts import evaluate_prompts
from ddmi_modalities.spec import OFFLINE, OFFLINE_CITATION, EvaluationProtocol, Measured


def measure_shapes(
    modality: ShapeModality, model: FunctionSource, settings: ShapeEvaluation, *, seed: int = 0, **_: object
) -> Measured:
    """Reconstructions and distances between sets; of a model that takes prompts, also whether they are followed."""
    metrics = evaluate_shapes(modality, model, settings, seed=seed)
    if model.can_prompt:
        metrics |= evaluate_prompts(modality, model, settings, seed=seed)
    return Measured(metrics=metrics)


def measure_prompts(
    modality: ShapeModality, model: FunctionSource, settings: ShapeEvaluation, *, seed: int = 0, **_: object
) -> Measured:
    """Whether prompts are followed.  ValueError for a model that takes none."""
    if not model.can_prompt:
        raise ValueError("protocol 'prompts' is of models that were trained with sentences; this run takes none")
    metrics = evaluate_prompts(modality, model, settings, seed=seed)
    return Measured(metrics=metrics, conditions={"guidance_scales": list(settings.guidance_scales)})


def _sets(normalisation: Normalisation, how: str) -> EvaluationProtocol:
    citation = f"MMD, COV and 1-NNA by Chamfer-L2 of 2,048 points, {how}: compare with sets normalised alike"
    settings = ShapeEvaluation(normalisation=normalisation)
    return EvaluationProtocol(settings=settings, measure=measure_shapes, citation=citation)


EVALUATIONS: Mapping[str, EvaluationProtocol] = MappingProxyType(
    {
        OFFLINE: EvaluationProtocol(settings=ShapeEvaluation(), measure=measure_shapes, citation=OFFLINE_CITATION),
        "sets-dataset": _sets("dataset", "normalised by the reference set's mean and deviation (PointFlow)"),
        "sets-box": _sets("shape_box", "each cloud's bounding box from -1 to 1 (Luo and Hu 2021)"),
        "sets-sphere": _sets("unit_sphere", "each cloud in the unit sphere"),
        "sets-unit": _sets("shape_unit", "each cloud to standard deviation 1"),
        "prompts": EvaluationProtocol(
            settings=ShapeEvaluation(count=2000),
            measure=measure_prompts,
            citation="accuracy of the class, CLIP-S (with --clip-weights) and TMD of samples of held-out sentences, "
            "the scores of Park et al. 2024; the classifier is trained here: its accuracy compares with numbers of "
            "this protocol only",
        ),
    }
)
"""By the name that `ddmi evaluate --protocol` takes."""
