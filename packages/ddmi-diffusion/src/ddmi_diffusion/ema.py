"""Exponential moving average of a module's weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class ExponentialMovingAverage:
    """A float32 average of a module's trainable parameters, with a copy of the floating-point buffers saved with it.

    Buffers are taken as they are: they are statistics or vectors of unit norm as often as weights.  All are looked up
    by name at each update, as a module may assign new ones.  Frozen parameters do not move: they are not stored.

    Examples:
        >>> layer = nn.Linear(2, 1)
        >>> average = ExponentialMovingAverage(layer, decay=0.9)
        >>> average.update()  # after every step of the optimiser
        >>> with average.applied(layer):
        ...     made = layer(torch.ones(1, 2))
    """

    def __init__(self, module: nn.Module, decay: float = 0.999, every: int = 1) -> None:
        """Starts from the module's present weights. `every`: steps between two updates.

        Raises ValueError for a decay outside [0, 1) or `every` < 1.
        """
        if not 0 <= decay < 1:
            raise ValueError(f"ExponentialMovingAverage: decay must lie in [0, 1), got {decay}; 0.999 is usual")
        if every < 1:
            raise ValueError(f"ExponentialMovingAverage: every must be at least 1 step, got {every}")
        self.decay, self.every = decay, every
        self._done = 0
        self._module = module
        # What is not saved with the module is no weight: a causal mask of -inf, say, whose average would be NaN.
        self._saved = frozenset(module.state_dict())
        self._average = {k: v.detach().to(torch.float32, copy=True) for k, v in self._averaged(module).items()}

    @torch.no_grad()
    def update(self, step: int | None = None) -> None:
        """Take the weights in after `step` steps have been done; does nothing unless `every` divides `step`.

        Without `step` calls are counted; a training that is resumed gives it, as the decay follows from it: the n-th
        update has decay min(decay, (1 + n) / (10 + n)), so that the initial weights are forgotten quickly.
        ValueError for a negative one.
        """
        step = self._done + 1 if step is None else step
        if step < 0:
            raise ValueError(
                f"updating a moving average: wants the number of steps done, got {step}; call update(step + 1) after "
                "step number `step`, counted from 0, or update() after every step"
            )
        self._done = step
        if step % self.every:
            return
        n = step // self.every
        decay = min(self.decay, (1 + n) / (10 + n))
        own = self._averaged(self._module)
        weights = [name for name in self._average if isinstance(own[name], nn.Parameter)]
        if weights:  # a launch for all of them
            values = [own[name].to(torch.float32) for name in weights]
            torch._foreach_lerp_([self._average[name] for name in weights], values, 1 - decay)
        for name in self._average.keys() - weights:
            self._average[name].copy_(own[name])

    def state_dict(self) -> dict[str, Tensor]:
        """The averages by the names they have in the module. Not copies."""
        return dict(self._average)

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over saved averages. Raises ValueError where names or shapes differ, before anything is changed."""
        for name in sorted(self._average.keys() | state.keys()):
            here = tuple(self._average[name].shape) if name in self._average else "absent"
            there = tuple(state[name].shape) if name in state else "absent"
            if here != there:
                raise ValueError(
                    f"loading a moving average: {name!r} is {there} in the saved state and {here} in this module; "
                    "build the module with the settings it was saved with"
                )
        for name, average in self._average.items():
            average.copy_(state[name])
        self._done = self.every * 10**6  # calls are counted on from where nothing is to be forgotten quickly

    @torch.no_grad()
    def copy_to(self, module: nn.Module) -> None:
        """Overwrite the weights of a module of the same structure with the averages."""
        targets = self._averaged(module)
        for name, average in self._average.items():
            targets[name].copy_(average)

    @contextmanager
    def applied(self, module: nn.Module) -> Iterator[None]:
        """Within the block `module` holds the averages; afterwards it has its own weights again."""
        own = {name: tensor.detach().clone() for name, tensor in self._averaged(module).items()}
        self.copy_to(module)
        try:
            yield
        finally:
            with torch.no_grad():
                for name, tensor in self._averaged(module).items():
                    tensor.copy_(own[name])

    def _averaged(self, module: nn.Module) -> dict[str, Tensor]:
        tensors: dict[str, Tensor] = {name: p for name, p in module.named_parameters() if p.requires_grad}
        buffers = module.named_buffers()
        tensors.update((name, b) for name, b in buffers if name in self._saved and b.is_floating_point())
        return tensors
