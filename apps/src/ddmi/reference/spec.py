"""Shapes of the reference implementation, as applications know them; its images, videos and scenes are as ours."""

from __future__ import annotations

from ddmi_modalities.spec import ModalitySpec

SPEC = ModalitySpec(
    name="reference-shape",
    modality="ddmi.reference.occupancy_modality:OccupancyModality",
    evaluations="ddmi_modalities.shape.protocols:EVALUATIONS",
    report="ddmi_modalities.shape.report:report_shapes",
    preparation="ddmi_modalities.shape.prepare:ShapePreparation",
    nodes={
        "vae/reference": "ddmi.reference.vae_config:ReferenceVAEConfig",
        "denoiser/reference-row": "ddmi.reference.latent_config:RowUNetConfig",
    },
)
