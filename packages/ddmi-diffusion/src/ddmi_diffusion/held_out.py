"""Losses of items that are not trained on, measured while training goes on; where asked, they end it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from ddmi_diffusion.checkpoint import CheckpointError
from ddmi_diffusion.data_order import Collate, Items
from ddmi_diffusion.device_transfer import to_device
from ddmi_diffusion.randomness import StepRandom
from ddmi_diffusion.trainer_config import TrainerConfig

_DATA, _MODEL = 3, 4  # streams of StepRandom, beside those of the trainer


@dataclass(frozen=True)
class HeldOut:
    """Items that are not trained on, and what of the objective's result tells how well they are done.

    Examples:
        >>> HeldOut([0.1, 0.2, 0.3]).watch
        'loss'
    """

    items: Items
    watch: str = "loss"
    """The entry that has to fall, see `TrainerConfig.patience`."""
    most: int = 256
    """Items that are measured, spread evenly over all."""


class HeldOutCurve:
    """Means of the objective's scalars over held-out items.

    Batches, noise and times are the same at every measurement, so that two of them differ by the weights alone.
    """

    def __init__(self, held_out: HeldOut, collate: Collate, config: TrainerConfig, accelerator: Accelerator) -> None:
        """ValueError without items."""
        if not len(held_out.items):
            raise ValueError("held-out losses: there are no held-out items; give some, or validate_every=0")
        self._held_out, self._collate, self._config, self._accelerator = held_out, collate, config, accelerator
        self.lowest = math.inf
        self.step = 0
        """Steps done when it was lowest."""
        self.since = 0
        """Measurements after that."""

    @property
    def over(self) -> bool:
        """Whether as many measurements have passed without a lower one as `patience` allows."""
        return self._config.patience is not None and self.since >= self._config.patience

    def measure(self, objective: nn.Module, done: int, *, bf16: bool) -> dict[str, float]:
        """The means after `done` steps, by names "held_out/...", the same in every process.  All processes call it."""
        means = self._means(objective, done, bf16)
        watched = self._held_out.watch
        if watched not in means:
            raise ValueError(f"held-out losses: the objective reports no {watched!r}; it has {', '.join(means)}")
        if means[watched] < self.lowest:
            self.lowest, self.step, self.since = means[watched], done, 0
        else:
            self.since += 1
        return {f"held_out/{name}": value for name, value in means.items()}

    @torch.no_grad()
    def _means(self, objective: nn.Module, done: int, bf16: bool) -> dict[str, float]:
        """Of all processes' batches: each takes every n-th, and one that is left without reports zeros."""
        accelerator, size = self._accelerator, -(-self._config.batch_size // self._config.accumulate)
        count = min(len(self._held_out.items), self._held_out.most)
        batches = -(-count // size)
        mine = range(accelerator.process_index, batches, accelerator.num_processes)
        totals: dict[str, torch.Tensor] = {}
        for number in mine or (0,):
            positions = list(range(number * size, min((number + 1) * size, count)))
            with torch.autocast(accelerator.device.type, dtype=torch.bfloat16, enabled=bf16):
                result = self._result(objective, done, number, positions, count)
            for name, value in result.items():
                if name != "aux":
                    scalar = torch.as_tensor(value).detach().float().to(accelerator.device).reshape(())
                    totals[name] = totals.get(name, 0) + (len(positions) if mine else 0) * scalar
        names = sorted(totals)
        sums = accelerator.reduce(torch.stack([totals[name] for name in names]), reduction="sum")
        return dict(zip(names, (sums / count).tolist(), strict=True))

    def _result(
        self, objective: nn.Module, done: int, number: int, positions: list[int], count: int
    ) -> Mapping[str, Any]:
        items, seed = self._held_out.items, self._config.seed
        drawn = [items[i * len(items) // count] for i in positions]
        batch = self._collate(drawn, StepRandom(seed, number, positions, stream=_DATA))
        rng = StepRandom(seed, number, positions, stream=_MODEL)
        result: Mapping[str, Any] = objective(to_device(batch, self._accelerator.device), step=done - 1, rng=rng)
        return result

    def state(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"lowest": self.lowest if math.isfinite(self.lowest) else None, "step": self.step, "since": self.since}

    def load(self, state: Any, where: object) -> None:
        """What `state` gave; CheckpointError for anything else."""
        try:
            lowest, step, since = state["lowest"], int(state["step"]), int(state["since"])
            self.lowest, self.step, self.since = math.inf if lowest is None else float(lowest), step, since
        except (TypeError, KeyError, ValueError) as error:
            raise CheckpointError(
                f"resuming from {where}: it says of held-out losses {str(state)[:60]!r}; remove it to go on from the "
                "checkpoint before it, or restore it from a copy"
            ) from error
