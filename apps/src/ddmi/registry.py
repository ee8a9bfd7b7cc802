"""What is installed: kinds of signal, recipes, models, and types of settings by the words that name them.

Distributions announce the first two by entry points, this one too: `ddmi.modalities` holds `ModalitySpec`s, and
`ddmi.recipes` functions from a preset to an `Experiment`.  `ddmi.models` holds directories of trained models.  Nothing
is imported before it is asked for.
"""

from __future__ import annotations

import difflib
import inspect
import logging
import pkgutil
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddmi.experiment.nodes import NODES
from ddmi.recipes import Recipe

if TYPE_CHECKING:
    from ddmi.experiment.config import Experiment
    from ddmi_modalities.modality import Modality
    from ddmi_modalities.spec import ModalitySpec

MODALITY_GROUP, RECIPE_GROUP, MODEL_GROUP = "ddmi.modalities", "ddmi.recipes", "ddmi.models"
"""Groups of entry points."""

if TYPE_CHECKING:
    RECIPES: Mapping[str, Recipe]
    """`recipes()`."""

logger = logging.getLogger("ddmi")


@cache
def announced(group: str) -> Mapping[str, EntryPoint]:
    """The entry points of a group by name.  ValueError where two distributions announce one name."""
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=group):
        other = found.setdefault(entry.name, entry)
        if other.value != entry.value:
            raise ValueError(
                f"{entry.name!r} is announced in {group} by {_distribution(other)} and by {_distribution(entry)}; "
                "uninstall one"
            )
    return found


@cache
def recipes() -> Mapping[str, Recipe]:
    """All recipes by name."""
    return {name: made for name, found in _loaded(RECIPE_GROUP).items() for made in [Recipe.of(found)]}


def make_experiment(name: str, preset: str, data: str | None = None) -> Experiment:
    """The experiment of a recipe and preset; `data` replaces where its data come from.

    Raises ValueError for an unknown recipe or preset, and where `data` is needed.
    """
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


def settled(experiment: Experiment) -> Experiment:
    """The experiment with what its data tell, see `Recipe.settle`.  ValueError where they cannot be read."""
    found = recipes().get(experiment.recipe)
    return experiment if found is None or found.settle is None else found.settle(experiment)


@cache
def installed_models() -> Mapping[str, Path]:
    """The directories of installed models by name."""
    return {name: Path(found) for name, found in _loaded(MODEL_GROUP).items()}


@cache
def modality_specs() -> Mapping[str, ModalitySpec]:
    """All kinds of signal by name."""
    return {spec.name: spec for spec in _loaded(MODALITY_GROUP).values()}


def spec_of(modality: Modality) -> ModalitySpec:
    """That of a modality's class.  ValueError where nobody announces it."""
    word = word_of(type(modality))
    return modality_specs()[word.removeprefix("modality/")]


@cache
def addresses() -> Mapping[str, str]:
    """Where each type of settings is, as "module:name", by its word.  ValueError where a word names two."""
    found = dict(NODES)
    for spec in modality_specs().values():
        for word, address in {f"modality/{spec.name}": spec.modality, **spec.nodes}.items():
            if found.setdefault(word, address) != address:
                raise ValueError(f"settings {word!r} are both {found[word]} and {address}; uninstall one of the two")
    return found


def node_type(word: str) -> type | None:
    """The type that a word names; None of an unknown word.  Nothing else is ever imported by a name from a file."""
    address = addresses().get(word)
    found: type | None = None if address is None else pkgutil.resolve_name(address)
    return found


def word_of(node: type) -> str:
    """The word of a type.  ValueError where nobody announces it."""
    address = f"{node.__module__}:{node.__qualname__}"
    for word, known in addresses().items():
        if known == address:
            return word
    for word in addresses():  # an address may be that of a package's face
        if node_type(word) is node:
            return word
    raise ValueError(
        f"{address} is in no `ModalitySpec.nodes` that an installed distribution announces under {MODALITY_GROUP}: see "
        "docs/how-to/modality.md"
    )


def choices(base: type) -> dict[str, str]:
    """The words of all types that may stand where `base` is asked for, by their names on the command line.

    Of a type that can itself be built, these are those of its own slot: a trainer's settings hold an optimizer's, but
    are no optimizer.
    """
    found: dict[str, str] = {}
    slot = "" if inspect.isabstract(base) else f"{word_of(base).rpartition('/')[0]}/"
    for word in addresses():
        if slot and word_of(base) != word and not word.startswith(slot):
            continue
        try:
            node = node_type(word)
        except ImportError:  # a kind of signal whose own libraries are not installed
            continue
        if node is not None and issubclass(node, base):
            found[word.rpartition("/")[2]] = word
    return found


def provider(word: str) -> str | None:
    """The distribution that a type's word comes from; None of our own."""
    for name, entry in announced(MODALITY_GROUP).items():
        spec = modality_specs().get(name)
        if spec is not None and (word == f"modality/{spec.name}" or word in spec.nodes):
            distribution = _distribution(entry)
            return None if distribution in ("ddmi", "ddmi-modalities") else distribution
    return None


def _loaded(group: str) -> dict[str, Any]:
    """What the entry points name; those that cannot be imported are reported and left out."""
    found = {}
    for name, entry in sorted(announced(group).items()):
        try:
            found[name] = entry.load()
        except Exception as error:  # somebody else's module may raise anything
            logger.warning(
                "%r of %s cannot be loaded (%s: %s)", name, _distribution(entry), type(error).__name__, error
            )
    return found


def _distribution(entry: EntryPoint) -> str:
    return "an unknown distribution" if entry.dist is None else entry.dist.name


def __getattr__(name: str) -> object:
    if name == "RECIPES":  # made when it is first asked for
        return recipes()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
