"""Images, as applications know them."""

from __future__ import annotations

from ddmi_modalities.spec import ModalitySpec

_CONFIGS = "ddmi_modalities.losses.configs"

SPEC = ModalitySpec(
    name="image",
    modality="ddmi_modalities.image.modality:ImageModality",
    evaluations="ddmi_modalities.image.protocols:EVALUATIONS",
    report="ddmi_modalities.image.report:report_images",
    exploration="ddmi_modalities.image.explore:EXPLORATION",
    preparation="ddmi_modalities.image.prepare:ImagePreparation",
    nodes={
        "losses/pictures": f"{_CONFIGS}:PictureLosses",
        "perceptual/efficientnet-lite0": f"{_CONFIGS}:EfficientNetPerceptualConfig",
        "perceptual/lpips": f"{_CONFIGS}:LPIPSConfig",
        "discriminator/patch": f"{_CONFIGS}:PatchDiscriminatorConfig",
    },
)
