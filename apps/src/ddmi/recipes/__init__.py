"""Recipes: functions from the name of a preset to an `Experiment`, announced as entry points `ddmi.recipes`."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ddmi.experiment.config import Experiment

    RECIPES: Mapping[str, Recipe]
    """All that installed distributions announce, by name."""

PRESETS = ("test", "demo", "small", "recommended", "paper")
"""All presets that there are."""


@dataclass(frozen=True)
class Recipe:
    """A function from one of its presets to an experiment, and what is listed of it."""

    make: Callable[[str], Experiment]
    presets: tuple[str, ...] = PRESETS
    """Those that it has."""
    needs_data: bool = False
    """Whether `--data PATH` must name the data."""

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
    *, presets: Sequence[str] = PRESETS, without: Sequence[str] = (), needs_data: bool = False
) -> Callable[[Callable[[str], Experiment]], Recipe]:
    """Decorates a function from a preset to an experiment, whose docstring begins with its summary.

    Args:
        presets: Those that it has, without those named by `without`.
        needs_data: It has no data of its own; the function leaves its modality's `source` empty.
    """
    chosen = tuple(preset for preset in presets if preset not in without)
    return lambda function: Recipe(function, chosen, needs_data)


def make_experiment(name: str, preset: str, data: str | None = None) -> Experiment:
    """The experiment of a recipe and preset; `data` replaces where its data come from.

    Raises ValueError for an unknown recipe or preset, and where `data` is needed.
    """
    from ddmi.registry import recipes

    known = recipes()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"known: {', '.join(sorted(known))}"
        raise ValueError(f"unknown recipe {name!r}; {hint} (`ddmi recipes` lists them)")
    found = known[name]
    if preset not in found.presets:
        raise ValueError(f"recipe {name!r} has no preset {preset!r}; choose one of {', '.join(found.presets)}")
    if found.needs_data and data is None:
        raise ValueError(f"recipe {name!r} has no data of its own; name them with --data PATH")
    experiment = replace(found(preset), recipe=name, preset=preset)
    if data is None:
        return experiment
    from ddmi_modalities.modality import with_source

    return replace(experiment, modality=with_source(experiment.modality, data))


def with_text_weights(experiment: Experiment, source: str) -> Experiment:
    """The experiment with a pretrained, frozen text tower.  ValueError where it has no text, or no tower is there."""
    from ddmi_modalities.text.encoder import pretrained_text_encoder

    if experiment.diffusion.text is None:
        raise ValueError(f"recipe {experiment.recipe!r} has no text; see furniture-text and text2shape")
    return replace(experiment, diffusion=replace(experiment.diffusion, text=pretrained_text_encoder(source).config))


def __getattr__(name: str) -> object:
    if name == "RECIPES":
        from ddmi.registry import recipes

        return recipes()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
