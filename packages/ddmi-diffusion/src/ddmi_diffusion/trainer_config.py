"""Settings of a training run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal, get_args

import torch

from ddmi_diffusion.learning_rate import Constant, WarmupCosine
from ddmi_diffusion.trackers import TrackerName


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """AdamW (Loshchilov and Hutter, 2019) or Muon, and the learning rate as a function of the step.

    Examples:
        >>> rate = OptimizerConfig(learning_rate=1e-3, warmup=100).rate(1000)
        >>> f"{rate(0):.0e} {rate(100):.0e} {rate(999):.0e}"
        '1e-05 1e-03 1e-06'
    """

    optimizer: Literal["adamw", "muon"] = "adamw"
    """"muon": matrices and convolutions take `Muon`, which needs fewer steps, and AdamW the other parameters:
    embeddings, positions, norms, biases, and the first and last layer of a network."""
    learning_rate: float = 1e-4
    """The largest learning rate."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """What follows the warm-up: half a cosine down to `floor` at the last step, or nothing."""
    warmup: int = 100
    """Steps of linear warm-up."""
    floor: float = 1e-6
    """Last learning rate of the cosine."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay of AdamW's two moments."""
    weight_decay: float = 0.0
    """Decoupled weight decay, on every parameter."""
    grad_clip: float | None = 1.0
    """Largest norm of the gradient; None: not clipped."""

    def __post_init__(self) -> None:
        self.rate(1)
        if self.optimizer not in ("adamw", "muon"):
            raise ValueError(f"optimizer {self.optimizer!r} is not known; choose 'adamw' or 'muon'")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas must be two numbers in [0, 1), got {self.betas}; (0.9, 0.999) is usual")
        if self.weight_decay < 0:
            raise ValueError(f"weight_decay must be >= 0, got {self.weight_decay}; 0 switches it off")
        if self.grad_clip is not None and self.grad_clip <= 0:
            raise ValueError(f"grad_clip must be > 0, got {self.grad_clip}; None switches it off")

    def rate(self, steps: int) -> WarmupCosine | Constant:
        """The learning rate of a run of `steps` steps. Raises ValueError for rates that make no sense."""
        if self.schedule == "cosine":
            return WarmupCosine(self.learning_rate, self.warmup, steps, self.floor)
        if self.schedule == "constant":
            return Constant(self.learning_rate, self.warmup)
        raise ValueError(f"schedule {self.schedule!r} is not known; choose 'cosine' or 'constant'")


@dataclass(frozen=True, kw_only=True)
class TrainerConfig(OptimizerConfig):
    """A run: how long, in which batches, and what it writes. Presets count steps, never seconds.

    Examples:
        >>> TrainerConfig(steps=1000, batch_size=32, learning_rate=2e-3).ema_decay
        0.999
    """

    steps: int
    """Optimiser steps of the whole run."""
    batch_size: int
    """Items of a step, over all processes and accumulation steps."""
    accumulate: int = 1
    """Parts that a batch is split into so that one fits a device.  Processes share them: 5 parts are 2 micro-batches
    for each of 4 processes, and one for each of 8."""
    ema_decay: float = 0.999
    """Decay of the moving average of the weights; 0: none is kept."""
    ema_every: int = 1
    """Steps between two updates of the average."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Autocast. "auto" measures once, and the run stays with it when it is resumed."""
    device: Literal["auto", "cpu"] = "auto"
    """"auto" takes an accelerator where there is one."""
    seed: int = 0
    """Of data order, noise and augmentation."""
    save_every: int = 1000
    """Steps between two checkpoints; 0: only when the run ends or is stopped."""
    keep: int = 2
    """Newest checkpoints to keep."""
    log_every: int = 10
    """Steps between two lines of metrics."""
    preview_every: int = 0
    """Steps between two calls of `on_preview`, which is also called after the last step; 0: never."""
    validate_every: int = 0
    """Steps between two measurements of the losses of held-out items, where there are some; 0: never."""
    patience: int | None = None
    """End after so many measurements without a lower loss of held-out items, and keep the weights of the lowest; None:
    all steps, and the last weights."""
    non_finite_steps: int = 1
    """Steps in a row whose loss or gradient is not finite that end the training; one that does not changes nothing."""
    num_workers: int | None = None
    """Processes that prepare batches ahead, for each training process; 0: it does so itself; None: up to 8 where there
    is a GPU to be fed, else 0."""
    tracker: TrackerName = "auto"
    """What is told the metrics, beside metrics.jsonl; "auto": TensorBoard, in the run, where it is installed."""
    gradient_checkpointing: bool = False
    """Compute what blocks do again in the backward pass instead of keeping it: less memory, a quarter more time."""
    compile: bool = False
    """torch.compile the networks; the first step takes minutes.  For GPUs: a CPU gains little."""
    find_unused_parameters: bool = False
    """For several processes: the objective has trainable parameters that some steps do not use. Costs time."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("steps", 1), ("batch_size", 1), ("accumulate", 1), ("ema_every", 1), ("keep", 1)):
            self._at_least(name, least)
        for name, least in (("log_every", 1), ("save_every", 0), ("preview_every", 0), ("seed", 0)):
            self._at_least(name, least)
        if self.num_workers is not None:
            self._at_least("num_workers", 0)
        self._at_least("validate_every", 0)
        self._at_least("non_finite_steps", 1)
        if self.patience is not None and (self.patience < 1 or not self.validate_every):
            raise ValueError(
                f"patience {self.patience} counts measurements from 1 and needs validate_every; None: all steps"
            )
        if self.batch_size < self.accumulate:
            raise ValueError(
                f"batch_size {self.batch_size} cannot be split into accumulate {self.accumulate} micro-batches; make "
                f"it {self.accumulate} or more"
            )
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"ema_decay must lie in [0, 1), got {self.ema_decay}; 0 switches the average off")
        if self.precision not in ("auto", "fp32", "bf16"):
            raise ValueError(f"precision {self.precision!r} is not known; choose 'auto', 'fp32' or 'bf16'")
        if self.tracker not in get_args(TrackerName):
            raise ValueError(f"tracker {self.tracker!r} is not known; choose one of {', '.join(get_args(TrackerName))}")

    @property
    def cpu(self) -> bool:
        """What accelerate is told: without a GPU, it makes several processes know of each other only so."""
        return self.device == "cpu" or ("LOCAL_RANK" in os.environ and not torch.cuda.is_available())

    def _at_least(self, name: str, least: int) -> None:
        if getattr(self, name) < least:
            raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
