"""The evaluations of videos: our own, and named ones, each as somebody's published numbers were measured."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

from ddmi_modalities.spec import OFFLINE, OFFLINE_CITATION, EvaluationProtocol
from ddmi_modalities.video.evaluation import VideoEvaluation, evaluate_videos
from ddmi_modalities.video.fvd import FVDSettings, measure_fvd

EVALUATIONS: Mapping[str, EvaluationProtocol] = MappingProxyType(
    {
        OFFLINE: EvaluationProtocol(settings=VideoEvaluation(), measure=evaluate_videos, citation=OFFLINE_CITATION),
        "fvd": EvaluationProtocol(
            settings=FVDSettings(),
            measure=partial(measure_fvd, how="stylegan-v"),
            citation="FVD of 2,048 clips of 16 frames against one clip of each training video: StyleGAN-V (Skorokhodov "
            "et al. 2022)",
        ),
        "fvd-logits": EvaluationProtocol(
            settings=FVDSettings(),
            measure=partial(measure_fvd, how="logits"),
            citation="FVD on I3D's logits against held-out clips, as the authors of DDMI evaluate their model",
        ),
    }
)
"""By the name that `ddmi evaluate --protocol` takes."""
