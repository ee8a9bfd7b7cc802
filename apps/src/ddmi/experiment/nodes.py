"""The words by which saved configurations and the command line name types of settings that are of no kind of signal.

Kinds of signal bring their own (`ModalitySpec.nodes`).  A word is SLOT/NAME: the name chooses the type on the line.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

NODES: Mapping[str, str] = MappingProxyType(
    {
        "experiment": "ddmi.experiment.config:Experiment",
        "vae/d2c": "ddmi_vae.model:VAEConfig",
        "vae/weights": "ddmi.experiment.alternatives.generated_weights:WeightVAEConfig",
        "vae/pixels": "ddmi.experiment.alternatives.pixels:PixelVAEConfig",
        "encoder/planes": "ddmi_vae.planes:PlaneEncoderConfig",
        "decoder/planes": "ddmi_vae.planes:PlaneDecoderConfig",
        "read-out/coarse-to-fine": "ddmi_fields.read_out:CoarseToFineReadOutConfig",
        "read-out/concat": "ddmi_fields.read_out:ConcatReadOutConfig",
        "losses/plain": "ddmi_vae.losses:Losses",
        "gan": "ddmi.experiment.config:GANTraining",
        "diffusion": "ddmi.experiment.config:DiffusionConfig",
        "denoiser/unet": "ddmi_diffusion.unet:UNetConfig",
        "denoiser/dit": "ddmi_diffusion.dit:DiTConfig",
        "text/open-clip": "ddmi_modalities.text.encoder:TextEncoderConfig",
        "noise": "ddmi_diffusion.noise:NoiseConfig",
        "trainer": "ddmi_diffusion.trainer_config:TrainerConfig",
        "optimizer": "ddmi_diffusion.trainer_config:OptimizerConfig",
    }
)
