"""The evaluations of radiance fields: our own, and named ones, each as somebody's published numbers were measured."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ddmi_modalities.nerf.evaluation import NerfEvaluation, evaluate_nerf
from ddmi_modalities.spec import OFFLINE, OFFLINE_CITATION, EvaluationProtocol

EVALUATIONS: Mapping[str, EvaluationProtocol] = MappingProxyType(
    {
        OFFLINE: EvaluationProtocol(settings=NerfEvaluation(), measure=evaluate_nerf, citation=OFFLINE_CITATION),
        "ssdnerf": EvaluationProtocol(
            settings=NerfEvaluation(scenes=0, count=704, poses=251),
            measure=evaluate_nerf,
            citation="FID and KID of 704 scenes from the 251 poses of the test scenes of SRN Cars, with --weights of "
            "Inception: Chen et al. 2023 (SSDNeRF)",
        ),
        "pixelnerf": EvaluationProtocol(
            settings=NerfEvaluation(scenes=704, count=0),
            measure=evaluate_nerf,
            citation="PSNR, SSIM and LPIPS (with --lpips-weights) of all unseen views of held-out scenes, a scene's "
            "mean first: averaged as by Yu et al. 2021 (pixelNeRF), whose models see one or two views and no points",
        ),
    }
)
"""By the name that `ddmi evaluate --protocol` takes."""
