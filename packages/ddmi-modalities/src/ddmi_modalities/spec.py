"""The record by which a kind of signal is known to applications, and what an application may ask of it.

A distribution announces its kinds under the entry-point group `ddmi.modalities`.  A spec names classes and functions as
"module:name", so that whoever lists kinds imports none of them.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic

from typing_extensions import TypeVar

if TYPE_CHECKING:
    from ddmi_modalities.datasets.preparation import Preparation
    from ddmi_modalities.exploration import Exploration
    from ddmi_modalities.files.album import Album
    from ddmi_modalities.modality import FunctionSource, Modality

Settings = TypeVar("Settings", default=Any)

OFFLINE = "offline"
"""The evaluation that every kind has, which needs no download: what is measured where none is named."""
OFFLINE_CITATION = "numbers of `ddmi evaluate` with the same data, counts and seed only"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The numbers of an evaluation, and under which conditions they were measured."""

    metrics: dict[str, float]
    conditions: dict[str, object] = field(default_factory=dict)
    """What a reader has to know: counts, resolution, network, sha256 of its weights and of the real images."""


@dataclass(frozen=True, kw_only=True)
class EvaluationProtocol(Generic[Settings]):
    """A way of measuring a model, and its settings."""

    settings: Settings
    """The frozen dataclass that makes it this protocol; the command line changes single fields."""
    measure: Callable[..., Measured]
    """`measure(modality, model, settings, *, seed, device)`, the device being that of feature networks."""
    citation: str
    """What its numbers may be compared with, in one line."""
    free: frozenset[str] = frozenset({"weights", "batch", "resolution", "lpips_weights", "clip_weights"})
    """Settings that may differ without making it another protocol."""

    def deviations(self, settings: Settings) -> tuple[str, ...]:
        """In what other settings are not the protocol's; empty: in nothing."""
        values = {name: getattr(self.settings, name) for name in vars(self.settings) if name not in self.free}
        changed = {name: (own, getattr(settings, name)) for name, own in values.items()}
        return tuple(
            f"{name} is {given}" + ("" if own is None else f", not {own}")
            for name, (own, given) in changed.items()
            if own != given
        )


Report = Callable[["Modality", "FunctionSource", "Album", int], None]
"""`report(modality, model, album, seed)` draws the pictures that show what a model has learnt."""


@dataclass(frozen=True, kw_only=True)
class ModalitySpec:
    """A kind of signal.  Everything but its name is "module:name", imported when it is asked for."""

    name: str
    """In saved configurations, as modality/NAME."""
    modality: str
    """The `Modality`."""
    evaluations: str
    """`EvaluationProtocol`s by name, one of them `OFFLINE`."""
    report: str
    """A `Report`."""
    preparation: str | None = None
    """A `Preparation`; None: data are always read as they are."""
    exploration: str = "ddmi_modalities.plain_exploration:EXPLORATION"
    """An `Exploration`, how one function is looked at in a browser; by default as the picture of its rendering."""
    nodes: Mapping[str, str] = field(default_factory=dict)
    """Settings of its own networks and losses, such as encoders, by their words in saved configurations.  A word is
    SLOT/NAME: the name chooses it on the command line where its class fits."""

    def modality_class(self) -> type[Modality]:
        return pkgutil.resolve_name(self.modality)

    def evaluation_protocols(self) -> Mapping[str, EvaluationProtocol]:
        return pkgutil.resolve_name(self.evaluations)

    def report_function(self) -> Report:
        return pkgutil.resolve_name(self.report)

    def exploration_of(self) -> Exploration:
        return pkgutil.resolve_name(self.exploration)

    def preparation_class(self) -> type[Preparation[Any]] | None:
        return None if self.preparation is None else pkgutil.resolve_name(self.preparation)
