"""Videos, as applications know them."""

from __future__ import annotations

from ddmi_modalities.spec import ModalitySpec

SPEC = ModalitySpec(
    name="video",
    modality="ddmi_modalities.video.modality:VideoModality",
    evaluations="ddmi_modalities.video.protocols:EVALUATIONS",
    report="ddmi_modalities.video.report:report_videos",
    exploration="ddmi_modalities.video.explore:EXPLORATION",
    preparation="ddmi_modalities.video.prepare:VideoPreparation",
    nodes={
        "encoder/space-time": "ddmi_modalities.video.networks.space_time_encoder:SpaceTimeEncoderConfig",
        "discriminator/clip": "ddmi_modalities.losses.configs:ClipDiscriminatorConfig",
    },
)
