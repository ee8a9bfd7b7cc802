"""The adversarial term of video: two patch discriminators, of frames and of clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ddmi_modalities.video.adversary import AdversariesTogether, ObjectivesTogether


@dataclass(frozen=True, kw_only=True)
class ClipAdversaryConfig:
    """Patch discriminators of single frames and of clips, with hinge loss, adaptive weights and late start."""

    weight: float = 0.5
    """Factor of each of the two adaptively weighted terms."""
    start: int = 0
    """First step at which they count."""
    width: int = 64
    """Channels of the discriminators' first layers."""
    layers: int = 3
    """Layers of stride 2 of the discriminator of frames."""
    clip_layers: int = 2
    """Layers of stride 2, in space and time, of the discriminator of clips: with 2, windows need 16 frames."""
    frames: int = 16
    """Frames of a window: the modality's `shown`."""
    augment: bool = True
    """Differentiable augmentation of what the discriminators see, alike for all frames of a clip."""

    def build(self) -> tuple[AdversariesTogether, ObjectivesTogether]:
        """What stage 1 adds to its loss, and the second objective that trains the discriminators."""
        from ddmi_modalities.image.adversary import PatchAdversary, PatchDiscriminator, PatchObjective
        from ddmi_modalities.image.diff_augment import DiffAugment
        from ddmi_modalities.video.adversary import AdversariesTogether, ClipDiscriminator, ObjectivesTogether

        discriminators = {
            "frames": PatchDiscriminator(self.width, self.layers),
            "clips": ClipDiscriminator(self.frames, self.width, self.clip_layers),
        }
        augment = DiffAugment() if self.augment else None
        adversaries: Sequence[PatchAdversary] = [
            PatchAdversary(one, weight=self.weight, start=self.start, augment=augment)
            for one in discriminators.values()
        ]
        objectives = {
            name: PatchObjective(one, start=self.start, augment=augment) for name, one in discriminators.items()
        }
        return AdversariesTogether(adversaries), ObjectivesTogether(objectives)
