"""Radiance fields, as applications know them."""

from __future__ import annotations

from ddmi_modalities.spec import ModalitySpec

SPEC = ModalitySpec(
    name="nerf",
    modality="ddmi_modalities.nerf.modality:NerfModality",
    evaluations="ddmi_modalities.nerf.protocols:EVALUATIONS",
    report="ddmi_modalities.nerf.report:report_nerf",
    exploration="ddmi_modalities.nerf.explore:EXPLORATION",
    preparation="ddmi_modalities.nerf.prepare:NerfPreparation",
    nodes={
        "encoder/points": "ddmi_modalities.networks.point_encoder:PointEncoderConfig",
        "read-out/nerf": "ddmi_modalities.nerf.read_out:NerfReadOutConfig",
        "losses/nerf": "ddmi_modalities.losses.configs:NerfLosses",
        "opacity/mask": "ddmi_modalities.losses.configs:OpacityConfig",
    },
)
