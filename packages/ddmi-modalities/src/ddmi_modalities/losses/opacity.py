"""A term that holds the opacity of rays to the object's mask: without it fields may settle on fog of the right hue."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor


class OpacityTerm:
    """`(prediction, target, query, step) -> (batch,)`; the last channel of both is opacity."""

    def __init__(self, weight: float, steps: int) -> None:
        if weight < 0 or steps < 1:
            raise ValueError(f"opacity term: weight {weight} is not negative, steps {steps} count from 1")
        self.weight, self.steps = weight, steps

    def __call__(
        self, prediction: Float[Tensor, "batch ray 4"], target: Float[Tensor, "batch ray 4"], query: Any, step: int
    ) -> Float[Tensor, " batch"]:
        weight = self.weight * max(0.0, 1 - step / self.steps)
        return weight * (prediction[..., 3] - target[..., 3]).square().mean(-1)
