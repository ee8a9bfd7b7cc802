"""The functions that a page has been shown: their latents, the last of them decoded."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ddmi_fields import ImplicitFunction

MOST = 2000
"""Functions kept; the one that was not asked for longest goes first."""
DECODED = 8
"""Of them with basis fields."""


class UnknownName(LookupError):  # read by people as it stands
    """Nothing of this name is kept or known."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One function by its latent planes."""

    name: str
    """Among those of its model."""
    label: str
    """What it is, for people."""
    latent: tuple[Tensor, ...]
    """(1, channel, rows, columns) each, not whitened."""
    noise: tuple[int, int] | None = None
    """The seed and number of the noise that it grew from; None: it grew from none."""
    how: Mapping[str, Any] = field(default_factory=dict)
    """Other options of its sampling."""


class Samples:
    """Bounded; any thread may ask."""

    def __init__(self, decode: Callable[[tuple[Tensor, ...]], ImplicitFunction]) -> None:
        self.decode = decode
        self.known: OrderedDict[str, Sample] = OrderedDict()
        self.decoded: OrderedDict[str, ImplicitFunction] = OrderedDict()
        self.lock = threading.Lock()

    def add(self, sample: Sample) -> Sample:
        with self.lock:
            self.known[sample.name] = sample
            self.known.move_to_end(sample.name)
            self.decoded.pop(sample.name, None)
            while len(self.known) > MOST:
                self.known.popitem(last=False)
        return sample

    def __getitem__(self, name: str) -> Sample:
        """`UnknownName` with the remedy for one that is not kept any more."""
        with self.lock:
            if name not in self.known:
                raise UnknownName(f"there is no function {name!r} (any more): sample it again")
            self.known.move_to_end(name)
            return self.known[name]

    def function(self, name: str) -> ImplicitFunction:
        """Of the sample of this name, a batch of 1."""
        sample = self[name]
        with self.lock:
            found = self.decoded.pop(name, None)
        if found is None:
            found = self.decode(sample.latent)
        with self.lock:
            self.decoded[name] = found
            while len(self.decoded) > DECODED:
                self.decoded.popitem(last=False)
        return found
