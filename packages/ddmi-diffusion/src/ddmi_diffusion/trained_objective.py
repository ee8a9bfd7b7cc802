"""One objective with all that optimises it: wrapper, optimiser, gradients, state."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from accelerate import Accelerator
from torch import Tensor, nn

from ddmi_diffusion.device_transfer import detach
from ddmi_diffusion.muon import Muon, inner_matrices
from ddmi_diffusion.optimizer_state import flatten_optimizer, restore_optimizer
from ddmi_diffusion.randomness import StepRandom, mix_seed
from ddmi_diffusion.trainer_config import OptimizerConfig

MuonTakes = Callable[[str, nn.Parameter], bool]
"""Whether Muon serves the parameter of this name, or AdamW."""


@dataclass(frozen=True, kw_only=True)
class ParameterSettings:
    """How one parameter is trained, where that differs from the others.

    Examples:
        >>> def settings_of(name, parameter):  # for `Trainer(..., settings_of=settings_of)`
        ...     return ParameterSettings(rate=0.1) if name.endswith("bias") else ParameterSettings()
    """

    rate: float = 1.0
    """Factor of the learning rate."""
    weight_decay: float | None = None
    """Instead of the configuration's."""


SettingsOf = Callable[[str, nn.Parameter], ParameterSettings]
"""Those of the parameter of this name."""

_GLOBAL = 6  # kind of stream, beside those of randomness.py and data_order.py


@dataclass(frozen=True)
class Gradients:
    """What the backward passes of a step left behind; the gradients themselves are in the parameters."""

    scalars: dict[str, Tensor]
    """The objective's scalars, detached, whose mean over the processes is that of the batch."""
    aux: list[Any]
    """One entry for each micro-batch, detached."""
    norm: Tensor
    """Norm of the gradient of the whole batch, before clipping; the same in all processes."""


class TrainedObjective:
    """An objective, wrapped for distributed training, and the optimisers of its trainable parameters."""

    def __init__(
        self,
        objective: nn.Module,
        config: OptimizerConfig,
        steps: int,
        accelerator: Accelerator,
        muon_takes: MuonTakes | None = None,
        settings_of: SettingsOf | None = None,
    ) -> None:
        """Moves the objective to the accelerator's device. Raises ValueError when nothing in it is trainable."""
        named = {name: p for name, p in objective.named_parameters() if p.requires_grad}
        if not named:
            raise ValueError(f"{type(objective).__name__} has no trainable parameters; set requires_grad on some")
        self.objective = objective
        self.config = config
        self.rate = config.rate(steps)
        self.parameters = list(named.values())
        self._settings_of = settings_of or (lambda name, parameter: ParameterSettings())
        self._accelerator = accelerator
        self._wrapped = accelerator.prepare(objective)
        self._named = named
        self._optimizers: list[tuple[list[str], torch.optim.Optimizer]] = []
        inner = inner_matrices(objective)
        takes = muon_takes or (lambda name, _: name in inner)
        self._group({name for name, p in named.items() if config.optimizer == "muon" and takes(name, p)})

    def _group(self, by_muon: set[str]) -> None:
        """Makes the optimisers: Muon of the named parameters, AdamW of the others."""
        matrices = {name: p for name, p in self._named.items() if name in by_muon}
        others = {name: p for name, p in self._named.items() if name not in by_muon}
        rate: dict[str, Any] = dict(lr=self.config.learning_rate, weight_decay=self.config.weight_decay)
        self._optimizers.clear()
        processes = dist.group.WORLD if self._accelerator.num_processes > 1 else None
        if matrices:
            self._add(matrices, lambda of: Muon(of, processes=processes, **rate))
        if others:
            self._add(others, lambda of: torch.optim.AdamW(of, betas=self.config.betas, fused=True, **rate))

    def _add(
        self,
        parameters: Mapping[str, nn.Parameter],
        make: Callable[[list[nn.Parameter]], torch.optim.Optimizer],
    ) -> None:
        """An optimizer with a group for each of the settings that its parameters have."""
        groups: dict[ParameterSettings, list[str]] = {}
        for name, parameter in parameters.items():
            groups.setdefault(self._settings_of(name, parameter), []).append(name)
        made: torch.optim.Optimizer | None = None
        for settings, names in groups.items():
            members = [parameters[name] for name in names]
            if made is None:
                made = make(members)
            else:
                made.add_param_group({"params": members})
            group = made.param_groups[-1]
            group["rate"] = settings.rate
            if settings.weight_decay is not None:
                group["weight_decay"] = settings.weight_decay
        assert made is not None
        self._optimizers.append(([name for names in groups.values() for name in names], made))

    def backward(
        self,
        batches: Sequence[Any],
        randoms: Sequence[StepRandom],
        step: int,
        *,
        items: int,
        seed: int,
        stream: int,
        bf16: bool,
    ) -> Gradients:
        """Accumulate the gradient of the mean loss over the `items` of all processes' micro-batches, and clip it.

        torch's global generator is seeded before each forward: layers such as dropout draw from it.
        """
        for parameter in self.parameters:
            parameter.grad = None
        totals: dict[str, Tensor] = {}
        aux = []
        device = self._accelerator.device
        for micro, (batch, rng) in enumerate(zip(batches, randoms, strict=True)):
            torch.manual_seed(mix_seed(_GLOBAL, seed, step, stream, micro, self._accelerator.process_index))
            last = micro == len(batches) - 1
            # losses are means over a micro-batch, and processes are averaged afterwards
            weight = len(rng) * self._accelerator.num_processes / items
            with nullcontext() if last else self._accelerator.no_sync(self._wrapped):
                with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
                    result = self._wrapped(batch, step=step, rng=rng)
                loss = _checked_loss(result, type(self.objective).__name__)
                self._accelerator.backward(loss * weight)
            aux.append(detach(result.get("aux")))
            for name, value in result.items():
                if name != "aux":
                    scalar = torch.as_tensor(value).detach().float().to(device).reshape(()) * weight
                    totals[name] = totals[name] + scalar if name in totals else scalar
        limit = math.inf if self.config.grad_clip is None else self.config.grad_clip
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, limit)
        return Gradients(totals, aux, norm)

    def apply(self, step: int, *, bf16: bool) -> float:
        """Take the optimisers' step; returns the learning rate."""
        rate = self.rate(step)
        for _, optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate * group["rate"]
            with torch.autocast(self._accelerator.device.type, dtype=torch.bfloat16, enabled=bf16):
                optimizer.step()
        return rate

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Within the block the parameters take no gradient: another objective may look through them."""
        for parameter in self.parameters:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in self.parameters:
                parameter.requires_grad_(True)

    def weights(self) -> dict[str, Tensor]:
        """Every tensor of the objective's state, trainable or not."""
        return {name: value for name, value in self.objective.state_dict().items() if isinstance(value, Tensor)}

    def optimizer_state(self) -> dict[str, Tensor]:
        """The optimisers' state by parameter names."""
        state: dict[str, Tensor] = {}
        for names, optimizer in self._optimizers:
            state |= flatten_optimizer(optimizer, names)
        return state

    def load(self, weights: Mapping[str, Tensor], optimizer: Mapping[str, Tensor]) -> list[str]:
        """Take saved state over; returns what the user should know.

        Raises ValueError naming the first tensor that differs, before anything changes.
        """
        own = self.weights()
        for name in [*own, *(name for name in weights if name not in own)]:
            here = tuple(own[name].shape) if name in own else "absent"
            there = tuple(weights[name].shape) if name in weights else "absent"
            if here != there:
                raise ValueError(
                    f"{name!r} is {there} in the checkpoint and {here} in this model; use the settings of the "
                    "checkpoint's run, or start another run"
                )
        notes = self._regroup(optimizer)
        with torch.no_grad():
            for name, value in weights.items():
                own[name].copy_(value)
        for names, one in self._optimizers:
            restore_optimizer(one, names, {k: v for k, v in optimizer.items() if k.rpartition("/")[0] in names})
        return notes

    def _regroup(self, state: Mapping[str, Tensor]) -> list[str]:
        """A resumed run keeps the groups of its checkpoint: moments of one optimiser are nothing to the other."""
        saved = {key.rpartition("/")[0] for key in state} & self._named.keys()
        theirs = {key.rpartition("/")[0] for key in state if key.endswith("/momentum")} & saved
        ours = {name for names, one in self._optimizers if isinstance(one, Muon) for name in names}
        if (theirs and self.config.optimizer != "muon") or (saved and ours and not theirs):
            raise ValueError(
                f"the checkpoint was made by another optimizer than {self.config.optimizer!r}; resume with its own, or "
                "start another run"
            )
        wanted = theirs | (ours - saved)
        if wanted == ours:
            return []
        self._group(wanted)
        changed = ", ".join(sorted(wanted ^ ours))
        return [f"Muon and AdamW share the parameters as in the checkpoint, which differs from a new run in {changed}"]


def _checked_loss(result: Any, name: str) -> Tensor:
    loss = result.get("loss") if isinstance(result, Mapping) else None
    if not isinstance(loss, Tensor) or loss.numel() != 1 or not loss.requires_grad:
        raise ValueError(
            f"{name}.forward must return a dict whose 'loss' is a tensor of one element that depends on a trainable "
            f"parameter; got {type(result).__name__ if loss is None else loss}"
        )
    return loss.float().reshape(())
