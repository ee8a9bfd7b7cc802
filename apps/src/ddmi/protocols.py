"""Every named evaluation of every kind of signal: `ddmi evaluate RUN --protocol NAME`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch

from ddmi_modalities.image import ImageModality
from ddmi_modalities.image.protocol_evaluation import ImageProtocolSettings, Measured, measure
from ddmi_modalities.image.protocols import PROTOCOLS as IMAGE_PROTOCOLS
from ddmi_modalities.image.protocols import ImageProtocol
from ddmi_modalities.modality import FunctionSource
from ddmi_modalities.nerf import RadianceModality
from ddmi_modalities.nerf.modality import RadianceEvaluation
from ddmi_modalities.shape import ShapeModality
from ddmi_modalities.shape.modality import ShapeEvaluation
from ddmi_modalities.video import VideoModality
from ddmi_modalities.video.evaluation import fvd
from ddmi_modalities.video.evaluation_settings import VideoEvaluation

OFFLINE = "offline"
"""The modality's own evaluation, which needs no download: what is measured where no protocol is named."""


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """A way of measuring a model, and its settings."""

    settings: Any
    """The settings that make it this protocol; the command line changes single ones."""
    measure: Callable[..., Measured]
    """`measure(modality, model, settings, seed=, device=, note=)`."""
    citation: str
    """What its numbers may be compared with, in one line."""
    free: frozenset[str] = frozenset({"weights", "batch", "resolution", "lpips_weights", "clip_weights"})
    """Settings that may differ without making it another protocol."""

    def deviations(self, settings: Any) -> tuple[str, ...]:
        """In what other settings are not the protocol's; empty: in nothing."""
        values = {name: getattr(self.settings, name) for name in vars(self.settings) if name not in self.free}
        changed = {name: (own, getattr(settings, name)) for name, own in values.items()}
        return tuple(
            f"{name} is {given}" + ("" if own is None else f", not {own}")
            for name, (own, given) in changed.items()
            if own != given
        )


def protocols_of(modality: Any) -> dict[str, Protocol]:
    """All protocols that fit a kind of signal, by name, the modality's own evaluation first."""
    own = Protocol(
        settings=modality.Evaluation(),
        measure=_evaluate,
        citation="numbers of `ddmi evaluate` with the same data, counts and seed only",
    )
    named = next((_PROTOCOLS[kind] for kind in type(modality).__mro__ if kind in _PROTOCOLS), {})
    return {OFFLINE: own, **named}


def find_protocol(modality: Any, name: str) -> Protocol:
    """The protocol of this name.  Raises ValueError that lists those that fit the modality."""
    protocols = protocols_of(modality)
    if name not in protocols:
        raise ValueError(f"there is no protocol {name!r} for this kind of signal; choose one of {', '.join(protocols)}")
    return protocols[name]


def _evaluate(
    modality: Any, model: FunctionSource, settings: Any, *, seed: int, note: Callable[[str], None], **_: object
) -> Measured:
    return Measured(metrics=modality.evaluate(model, settings, seed=seed, note=note), conditions={})


def _of_images(protocol: ImageProtocol) -> Protocol:
    def run(
        modality: Any, model: FunctionSource, settings: Any, *, device: torch.device | str, **rest: Any
    ) -> Measured:
        return measure(modality, model, protocol, settings, device=device, **rest)

    return Protocol(settings=ImageProtocolSettings(), measure=run, citation=protocol.citation)


def _fvd(
    modality: Any,
    model: FunctionSource,
    settings: VideoEvaluation,
    *,
    seed: int,
    note: Callable[[str], None],
    **_: object,
) -> Measured:
    if settings.weights is None:
        raise ValueError("this protocol needs the weights of its network: give --weights FILE with I3D as TorchScript")
    metrics = fvd(modality, model, settings, seed, note)
    return Measured(metrics=metrics, conditions={"resolution": modality.size, "weights": str(settings.weights)})


def _video(kind: Any, citation: str) -> Protocol:
    settings = VideoEvaluation(fvd=kind)
    return Protocol(settings=settings, measure=_fvd, citation=citation)


def _prompts(
    modality: Any,
    model: FunctionSource,
    settings: ShapeEvaluation,
    *,
    seed: int,
    note: Callable[[str], None],
    **_: object,
) -> Measured:
    from ddmi_modalities.shape.prompt_evaluation import evaluate_prompts

    if not model.can_prompt:
        raise ValueError("protocol 'prompts' is of models that were trained with sentences; this run takes none")
    metrics = evaluate_prompts(modality, model, settings, seed=seed, note=note)
    return Measured(metrics=metrics, conditions={"guidance": list(settings.guidance)})


def _shape(normalisation: Any, how: str) -> Protocol:
    citation = f"MMD, COV and 1-NNA by Chamfer-L2 of 2,048 points, {how}: compare with sets normalised alike"
    return Protocol(settings=ShapeEvaluation(normalisation=normalisation), measure=_evaluate, citation=citation)


_PROTOCOLS: Mapping[type, Mapping[str, Protocol]] = MappingProxyType(
    {
        ImageModality: {name: _of_images(protocol) for name, protocol in IMAGE_PROTOCOLS.items()},
        VideoModality: {
            "fvd": _video(
                "stylegan-v",
                "FVD of 2,048 clips of 16 frames against one clip of each training video: StyleGAN-V (Skorokhodov et "
                "al. 2022)",
            ),
            "fvd-logits": _video(
                "logits", "FVD on I3D's logits against held-out clips, as the authors of DDMI evaluate their model"
            ),
        },
        ShapeModality: {
            "sets-dataset": _shape("dataset", "normalised by the reference set's mean and deviation (PointFlow)"),
            "sets-box": _shape("shape_box", "each cloud's bounding box from -1 to 1 (Luo and Hu 2021)"),
            "sets-sphere": _shape("unit_sphere", "each cloud in the unit sphere"),
            "sets-unit": _shape("shape_unit", "each cloud to standard deviation 1"),
            "prompts": Protocol(
                settings=ShapeEvaluation(count=2000),
                measure=_prompts,
                citation="accuracy of the class, CLIP-S (with --clip-weights) and TMD of samples of held-out "
                "sentences, the scores of Park et al. 2024; the classifier is trained here, so that its accuracy "
                "compares with numbers of this protocol only",
            ),
        },
        RadianceModality: {
            "ssdnerf": Protocol(
                settings=RadianceEvaluation(scenes=0, count=704, poses=251),
                measure=_evaluate,
                citation="FID and KID of 704 scenes from the 251 poses of the test scenes of SRN Cars, with --weights "
                "of Inception: Chen et al. 2023 (SSDNeRF)",
            ),
            "pixelnerf": Protocol(
                settings=RadianceEvaluation(scenes=704, count=0),
                measure=_evaluate,
                citation="PSNR, SSIM and LPIPS (with --lpips-weights) of all unseen views of held-out scenes, a "
                "scene's mean first: averaged as by Yu et al. 2021 (pixelNeRF), whose models see one or two views and "
                "no points",
            ),
        },
    }
)
