"""Functions on the sphere, as applications know them."""

from __future__ import annotations

from ddmi_modalities.spec import ModalitySpec

SPEC = ModalitySpec(
    name="sphere",
    modality="ddmi_modalities.sphere.modality:SphereModality",
    evaluations="ddmi_modalities.sphere.evaluation:EVALUATIONS",
    report="ddmi_modalities.sphere.report:report_spheres",
    preparation="ddmi_modalities.sphere.prepare:SpherePreparation",
)
