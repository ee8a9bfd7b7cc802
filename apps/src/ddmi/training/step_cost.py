"""Time and memory of one training step, measured on the objective itself."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from ddmi_diffusion import OptimizerConfig, StepRandom, TrainerConfig
from ddmi_diffusion.data_order import BatchShare
from ddmi_diffusion.device_transfer import to_device
from ddmi_diffusion.precision import choose_precision
from ddmi_diffusion.trained_objective import TrainedObjective

PATIENCE = 60.0
"""Seconds that a measured step may take; of slower ones fewer items are measured."""

Batches = Callable[[int, StepRandom], Any]
"""From a number of items to a batch of so many."""


@dataclass(frozen=True, kw_only=True)
class StepCost:
    """What a step of a process costs."""

    seconds: float
    """A whole step, with the data and all of its micro-batches."""
    data_seconds: float
    """Part of it that the data take."""
    micro: int
    """Items of a micro-batch."""
    measured: int
    """So many of them were measured at once; the time is scaled where these are less."""
    state: int
    """Bytes of weights, gradients, the optimiser's moments and the average."""
    activations: int
    """Bytes kept for the backward pass of a micro-batch, scaled from two items."""
    precision: str

    def __str__(self) -> str:
        scaled = "" if self.measured == self.micro else f", scaled from {self.measured} of a micro-batch's {self.micro}"
        return (
            f"{_seconds(self.seconds)} a step in {self.precision} ({_seconds(self.data_seconds)} of it data{scaled}); "
            f"memory at least {_bytes(self.state + self.activations)}, {_bytes(self.state)} of it for weights and "
            f"optimiser, {_bytes(self.activations)} for {self.micro} items at once"
        )


def measure_step(
    objective: nn.Module,
    batches: Batches,
    config: TrainerConfig,
    judge: tuple[nn.Module, OptimizerConfig] | None = None,
) -> StepCost:
    """Takes steps of one and of two items, and one of a micro-batch, or of as much as memory and `PATIENCE` allow.

    Args:
        objective: As the trainer takes it; its weights change.
        batches: Makes the batches.
        config: Of the training.
        judge: The discriminator's objective and optimiser, whose step follows.
    """
    accelerator = Accelerator(cpu=config.cpu, mixed_precision="no")
    precision = choose_precision(config.precision, accelerator.device)
    bf16 = precision == "bf16"
    trained = TrainedObjective(objective, config, config.steps, accelerator)
    second = TrainedObjective(judge[0], judge[1], config.steps, accelerator) if judge else None
    both = [one for one in (trained, second) if one is not None]

    def step(count: int) -> tuple[float, float, float]:
        """Seconds of the data, of the passes and of the update."""
        times = [_now(accelerator.device)]
        rng = [StepRandom(config.seed, 0, range(count), stream=1)]
        batch = to_device(batches(count, StepRandom(config.seed, 0, range(count))), accelerator.device)
        times.append(_now(accelerator.device))
        items = count * accelerator.num_processes
        shared: dict[str, Any] = dict(items=items, seed=config.seed, stream=1, bf16=bf16)
        gradients = trained.backward([batch], rng, 0, **shared)
        if second is not None:
            second.backward([{"batch": batch, "aux": gradients.aux[0]}], rng, 0, **shared)
        times.append(_now(accelerator.device))
        for one in both:
            one.apply(0, bf16=bf16)
        times.append(_now(accelerator.device))
        return times[1] - times[0], times[2] - times[1], times[3] - times[2]

    share = BatchShare.of_process(config.batch_size, config.accumulate, accelerator.num_processes, 0)
    micro = -(-config.batch_size // (share.accumulate * accelerator.num_processes))
    counted, once = [0], 0.0
    for count in (1, 2)[:micro]:
        kept = _Kept(both)
        with kept:
            once = sum(step(count)) / count
        counted.append(kept.bytes)
    each = counted[-1] - counted[-2]  # with two items, an item's own; the rest is casts of the weights
    fixed = counted[1] - each
    allowed = int(min(PATIENCE / once, (_free(accelerator.device) - fixed) / max(1, each)))
    measured = max(1, min(micro, allowed))
    data, passes, update = step(measured)
    times = micro / measured * share.accumulate
    return StepCost(
        seconds=times * (data + passes) + update,
        data_seconds=times * data,
        micro=micro,
        measured=measured,
        state=sum(map(_state, both)) + (_weights(trained) if config.ema_decay else 0),
        activations=fixed + each * micro,
        precision=precision,
    )


class _Kept(torch.autograd.graph.saved_tensors_hooks):
    """Counts what autograd keeps for the backward pass, but for the weights themselves."""

    def __init__(self, trained: list[TrainedObjective]) -> None:
        self.bytes = 0
        self._seen = {_address(weight) for one in trained for weight in one.parameters}
        super().__init__(self._count, lambda tensor: tensor)

    def _count(self, tensor: Tensor) -> Tensor:
        if _address(tensor) not in self._seen:
            self._seen.add(_address(tensor))
            self.bytes += tensor.untyped_storage().nbytes()
        return tensor.detach()  # the tensor itself would keep its graph alive


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _weights(trained: TrainedObjective) -> int:
    return sum(weight.numel() * 4 for weight in trained.parameters)


def _state(trained: TrainedObjective) -> int:
    """Weights, gradients and moments."""
    moments = sum(tensor.numel() * tensor.element_size() for tensor in trained.optimizer_state().values())
    return 2 * _weights(trained) + moments


def _now(device: torch.device) -> float:
    if device.type != "cpu":
        torch.accelerator.synchronize()
    return time.perf_counter()


def _free(device: torch.device) -> float:
    """Bytes that are free where the step is computed, as far as that is known."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return float("inf")


def _seconds(value: float) -> str:
    return f"{value:.2g} s" if value < 100 else f"{value:.0f} s"


def _bytes(value: int) -> str:
    return f"{value / 2**30:.1f} GiB" if value >= 2**29 else f"{value / 2**20:.0f} MiB"
