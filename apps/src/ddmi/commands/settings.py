"""Which experiment a line is about: a recipe's or a saved one, with what its options change."""

from __future__ import annotations

import dataclasses
import difflib
import logging
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddmi.commands.line import PROGRAM, parse

if TYPE_CHECKING:
    from ddmi.experiment.config import Experiment

NONE = "none"
"""Stands for None on the line."""

logger = logging.getLogger("ddmi")


def named_experiment(recipe: str, preset: str, data: str | None, config: Path | None) -> Experiment:
    """That of a recipe, or of a configuration that was saved; with other data where they are named."""
    from ddmi.experiment.renamed import PRESETS
    from ddmi.registry import make_experiment
    from ddmi.serialization import read_experiment_file
    from ddmi_modalities.modality import with_source

    if config is None:
        if preset in PRESETS:
            logger.warning("preset %r is called %r now; the old name will go", preset, PRESETS[preset])
        return make_experiment(recipe, PRESETS.get(preset, preset), data)
    experiment = read_experiment_file(config)
    if data is None:
        return experiment
    return dataclasses.replace(experiment, modality=with_source(experiment.modality, data))


def with_text_weights(experiment: Experiment, source: str) -> Experiment:
    """The experiment with a pretrained, frozen text tower.  ValueError where it has no text, or no tower is there."""
    from ddmi_modalities.text.encoder import pretrained_text_encoder

    if experiment.diffusion.text is None:
        raise ValueError(f"recipe {experiment.recipe!r} has no text; see furniture-text and text2shape")
    text = pretrained_text_encoder(source).config
    return dataclasses.replace(experiment, diffusion=dataclasses.replace(experiment.diffusion, text=text))


def changed_experiment(
    experiment: Experiment, settings: Sequence[str], rest: Sequence[str], command: str
) -> Experiment:
    """The experiment with what `--set` and the further options of a line change."""
    for setting in settings:
        experiment = with_setting(experiment, setting)
    return parse(experiment, with_new_paths(experiment, rest), f"{PROGRAM} {command}")


def with_setting(experiment: Experiment, setting: str) -> Experiment:
    """The experiment with one setting changed.

    Args:
        experiment: As it was.
        setting: PATH=VALUE, such as `vae.read_out=concat`, `losses.perceptual=none` or `modality.size=32`.  Where types
            of settings can stand, VALUE is the name of one, or none; the new one keeps what both have under one name.

    Raises:
        ValueError: There is no such path, name or value; it lists those that there are.
    """
    path, equals, value = setting.partition("=")
    parts = path.strip().replace("-", "_").split(".")
    if not equals or not all(parts):
        raise ValueError(f"--set {setting!r}: wanted PATH=VALUE, such as vae.read_out=concat")
    where = f"--set {setting}"
    try:
        new: Experiment = _with(experiment, parts, value.strip(), where)
    except ValueError as error:
        raise ValueError(str(error) if str(error).startswith(where) else f"{where}: {error}") from error
    return new


def with_new_paths(experiment: Experiment, args: Sequence[str]) -> list[str]:
    """Options of settings under their new names; each old one is reported."""
    return [_with_new_path(experiment, arg) for arg in args]


def _with(node: Any, parts: Sequence[str], value: str, where: str) -> Any:
    name = parts[0]
    names = [field.name for field in dataclasses.fields(node) if field.init]
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(names)}"
        raise ValueError(f"{where}: {type(node).__name__} has no {name!r}; {hint}")
    old = getattr(node, name)
    if len(parts) == 1:
        new = _chosen(old, typing.get_type_hints(type(node))[name], value, where)
    elif dataclasses.is_dataclass(old):
        new = _with(old, parts[1:], value, where)
    else:
        remedy = "switch it on first" if old is None else "it has no settings of its own"
        raise ValueError(f"{where}: {name!r} is {old}; {remedy}")
    return dataclasses.replace(node, **{name: new})


def _chosen(old: Any, hint: Any, value: str, where: str) -> Any:
    """What a word, or a value as JSON has it, stands for where `hint` is wanted."""
    from ddmi.serialization import is_settings, read_value
    from ddmi_modalities.files.text import parse_json

    kinds = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    if value == NONE and type(None) in kinds:
        return None
    settings = [kind for kind in kinds if is_settings(kind)]
    if settings:
        return _new_node(old, settings, type(None) in kinds, value, where)
    try:
        data = parse_json(value)
    except ValueError:
        data = value
    return read_value(data, hint, where)


def _new_node(old: Any, kinds: Sequence[type], optional: bool, name: str, where: str) -> Any:
    from ddmi.registry import choices, node_type
    from ddmi.serialization import read_value, to_json

    known = {key: word for kind in kinds for key, word in choices(kind).items()}
    if name not in known:
        raise ValueError(f"{where}: choose one of {', '.join(sorted(known) + [NONE] * optional)}")
    new: Any = node_type(known[name])
    hints, kept = typing.get_type_hints(new), {}
    for field in dataclasses.fields(new):
        if hasattr(old, field.name):
            try:
                kept[field.name] = read_value(to_json(getattr(old, field.name)), hints[field.name], where)
            except (ValueError, TypeError):  # another thing of the same name
                continue
    return read_value({"type": known[name], **{key: to_json(one) for key, one in kept.items()}}, new, where)


def _with_new_path(experiment: Experiment, arg: str) -> str:
    from ddmi.experiment.renamed import FIELDS, MOVED, VALUES
    from ddmi.registry import word_of

    if not arg.startswith("--"):
        return arg
    given, equals, value = arg.removeprefix("--").partition("=")
    path = given.replace("-", "_")
    for old, new in MOVED.items():
        if path == old or path.startswith(f"{old}."):
            path = new + path.removeprefix(old)
    parts, node = path.split("."), experiment
    for i, part in enumerate(parts):
        if dataclasses.is_dataclass(node):
            kind, flag = word_of(type(node)), part.removeprefix("no_")
            parts[i] = FIELDS.get((kind, part), part)
            if (kind, flag) in VALUES:  # a flag, --NAME or --no-NAME
                parts[i], words = VALUES[kind, flag]
                equals, value = "=", words[flag == part]
        node = getattr(node, parts[i], None)  # type: ignore[assignment]
    path = ".".join(parts)
    if path == given.replace("-", "_"):
        return arg
    option = path.replace("_", "-")
    logger.warning("--%s is called --%s now; the old name will go with the next minor version", given, option)
    return f"--{option}{equals}{value}"
