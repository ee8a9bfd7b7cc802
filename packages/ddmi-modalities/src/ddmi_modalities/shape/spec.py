"""3D shapes, as applications know them."""

from __future__ import annotations

from ddmi_modalities.spec import ModalitySpec

SPEC = ModalitySpec(
    name="shape",
    modality="ddmi_modalities.shape.modality:ShapeModality",
    evaluations="ddmi_modalities.shape.protocols:EVALUATIONS",
    report="ddmi_modalities.shape.report:report_shapes",
    exploration="ddmi_modalities.shape.explore:EXPLORATION",
    preparation="ddmi_modalities.shape.prepare:ShapePreparation",
    nodes={"encoder/points": "ddmi_modalities.networks.point_encoder:PointEncoderConfig"},
)
