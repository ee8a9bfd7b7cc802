"""What stage 1 minimises, as typed values: weights of eq. (9), and terms that build what the objective calls."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields

from torch import nn

from ddmi_vae.objective import AdversarialTerm, Ramp, Term


@dataclass(frozen=True, kw_only=True)
class TermConfig(ABC):
    """A term beside the likelihood."""

    weight: float = 1.0
    """In units of the likelihood; 0: none."""

    @abstractmethod
    def build(self) -> Term:
        """What the objective calls."""


@dataclass(frozen=True, kw_only=True)
class DiscriminatorConfig(ABC):
    """A discriminator, and the adversarial term that it gives to stage `vae-gan`."""

    @abstractmethod
    def build(self) -> tuple[AdversarialTerm, nn.Module]:
        """What the objective calls, and the second objective, which trains the discriminator."""


@dataclass(frozen=True, kw_only=True)
class Losses:
    """Weights of eq. (9), and a discriminator.  A kind of signal adds one optional field for each term of its own."""

    kl_weight: float = 1e-6
    """lambda_z at the end of its ramp."""
    kl_start: float = 0.0
    """lambda_z at the first step."""
    kl_ramp: float = 0.9
    """Part of the training over which lambda_z rises."""
    spectral_weight: float = 0.0
    """Final weight of the sum of largest singular values; 0: none."""
    spectral_start: float = 0.0
    """Its weight at the first step, from which it falls geometrically; 0: the same throughout."""
    discriminator: DiscriminatorConfig | None = None
    """Of stage `vae-gan`, which goes on from stage 1's weights; None: there is no such stage."""

    def terms(self) -> dict[str, Term]:
        """What is added to the objective, by name; a term of weight 0 is left out."""
        configs = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: one.build() for name, one in configs.items() if isinstance(one, TermConfig) and one.weight}

    def kl_schedule(self, steps: int) -> Ramp:
        """lambda_z as a function of the step of a training of `steps`."""
        return Ramp(start=self.kl_start, stop=self.kl_weight, steps=int(self.kl_ramp * steps))

    def spectral_schedule(self, steps: int) -> Callable[[int], float] | None:
        """The spectral weight likewise; None where there is none."""
        if not self.spectral_weight:
            return None
        start = math.log(self.spectral_start or self.spectral_weight)
        ramp = Ramp(start=start, stop=math.log(self.spectral_weight), steps=int(self.kl_ramp * steps))
        return lambda step: math.exp(ramp(step))
