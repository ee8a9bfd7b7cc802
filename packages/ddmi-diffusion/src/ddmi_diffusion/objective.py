"""What the trainer trains: a module whose forward computes a loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import nn

from ddmi_diffusion.randomness import StepRandom


class Objective(nn.Module, ABC):
    """A loss together with the parameters that minimise it.

    The trainer wraps the objective, not the network inside it, so that distributed training sees this forward.

    Examples:
        >>> import torch
        >>> class Line(Objective):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.slope = torch.nn.Parameter(torch.zeros(()))
        ...     def forward(self, batch, *, step, rng):
        ...         x, y = batch
        ...         return {"loss": (self.slope * x - y).square().mean()}
        >>> Line()((torch.ones(2), torch.ones(2)), step=0, rng=None)["loss"].item()
        1.0
    """

    @abstractmethod
    def forward(self, batch: Any, *, step: int, rng: StepRandom) -> dict[str, Any]:
        """The loss of one (micro-)batch.

        `step` counts from 0 (schedules are functions of it); `rng` has one stream for each item of the batch.

        Keys of the result: "loss", a scalar tensor, is minimised; "aux" (anything, optional) goes to the second
        objective, if there is one, as `{"batch": batch, "aux": aux}`, its tensors detached; every other entry is a
        scalar (number or tensor of one element) to be logged. Losses are means over the batch: micro-batches and
        processes are averaged.
        """
