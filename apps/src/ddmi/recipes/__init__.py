"""Recipes: functions from the name of a preset to an `Experiment`, announced as entry points `ddmi.recipes`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ddmi.experiment.config import Experiment

PRESETS = ("test", "demo", "evening", "small", "recommended", "paper")
"""All presets that there are."""


@dataclass(frozen=True)
class Recipe:
    """A function from one of its presets to an experiment, and what is listed of it."""

    make: Callable[[str], Experiment]
    presets: tuple[str, ...] = PRESETS
    """Those that it has."""
    needs_data: bool = False
    """Whether `--data PATH` must name the data."""
    settle: Callable[[Experiment], Experiment] | None = None
    """What of an experiment only its data tell, such as the number of values at a place: called when training starts,
    with what the line changed.  It leaves what is settled already as it is."""
    preparation: str | None = None
    """The `Preparation` of its data as "module:name", where not that of its kind of signal."""

    def __call__(self, preset: str) -> Experiment:
        return self.make(preset)

    @property
    def summary(self) -> str:
        """One line."""
        first = (self.make.__doc__ or "").strip().partition("\n")[0]
        return first + " (--data PATH)" * self.needs_data

    @classmethod
    def of(cls, function: Callable[[str], Experiment] | Recipe) -> Recipe:
        """A recipe, or a plain function as one with all presets."""
        return function if isinstance(function, Recipe) else cls(function)


def recipe(
    *,
    presets: Sequence[str] = PRESETS,
    without: Sequence[str] = (),
    needs_data: bool = False,
    settle: Callable[[Experiment], Experiment] | None = None,
    preparation: str | None = None,
) -> Callable[[Callable[[str], Experiment]], Recipe]:
    """Decorates a function from a preset to an experiment, whose docstring begins with its summary.

    Args:
        presets: Those that it has, without those named by `without`.
        needs_data: It has no data of its own; the function leaves its modality's `source` empty.
        settle, preparation: See `Recipe`.
    """
    chosen = tuple(preset for preset in presets if preset not in without)
    return lambda function: Recipe(function, chosen, needs_data, settle, preparation)
