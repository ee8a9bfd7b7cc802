"""Typed configurations as JSON and back, through the types that the registry knows by words."""

from __future__ import annotations

import dataclasses
import inspect
import json
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from ddmi.experiment.config import Experiment
from ddmi.experiment.renamed import VERSION, upgraded
from ddmi.registry import choices, node_type, provider, word_of
from ddmi_modalities.files.text import read_json

T = TypeVar("T")


def to_json(value: Any) -> Any:
    """Dataclasses become objects with the word of their 'type', tuples lists; dictionaries stay as they are."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value) if f.init}
        return {"type": word_of(type(value)), **fields}
    if isinstance(value, tuple | list):
        return [to_json(one) for one in value]
    if isinstance(value, dict):
        return {name: to_json(one) for name, one in value.items()}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


def from_json(data: Any, wanted: type[T], where: str = "config.json") -> T:
    """The inverse of `to_json`.  Raises ValueError that names the field."""
    return typing.cast(T, read_value(data, wanted, where))


def experiment_text(experiment: Experiment) -> str:
    """The content of config.json: the version of its words, and which other distributions its types come from."""
    data = to_json(experiment)
    foreign = {word: name for word in sorted(set(_words(data))) if (name := provider(word)) is not None}
    head = {"version": VERSION, **({"distributions": foreign} if foreign else {})}
    return json.dumps({**head, **data}, indent=2) + "\n"


def read_experiment_file(path: Path) -> Experiment:
    """The experiment in a file.  Raises ValueError that names the file, the field, and what to install."""
    try:
        data = read_json(path)
    except ValueError as error:
        raise ValueError(f"{path}: cannot be read as JSON ({error}); restore it or train again") from error
    if not isinstance(data, dict):
        raise ValueError(f"{path}: wanted an object of type 'experiment', got {str(data)[:60]}")
    version, distributions = data.pop("version", 1), data.pop("distributions", {})
    if not isinstance(version, int) or version > VERSION:
        raise ValueError(
            f"{path}: version {version!r} of the words of configurations is newer than {VERSION}, which this ddmi "
            "knows; upgrade it"
        )
    if version < VERSION:
        try:
            data = upgraded(data, version)
        except (AttributeError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            raise ValueError(f"{path}: is no configuration of a run ({error!r}); restore it or train again") from error
    for word in dict.fromkeys(_words(data)):
        if node_type(word) is None:
            source = distributions.get(word) if isinstance(distributions, dict) else None
            remedy = (
                f"install it: pip install {source}"
                if source
                else "install the distribution that defines it, or mend it"
            )
            raise ValueError(f"{path}: the type {word!r} is not known here; {remedy}")
    return from_json(data, Experiment, str(path))


def _words(data: Any) -> Iterator[str]:
    """Of all types in it."""
    if isinstance(data, dict):
        if isinstance(data.get("type"), str):
            yield data["type"]
        for value in data.values():
            yield from _words(value)
    elif isinstance(data, list):
        for value in data:
            yield from _words(value)


def read_value(data: Any, wanted: Any, where: str) -> Any:
    """A value of JSON as an annotation wants it.  Raises ValueError that names the field."""
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if origin is typing.Union or origin is types.UnionType:
        return _read_union(data, arguments, where)
    if origin is typing.Literal:
        if data not in arguments:
            raise ValueError(f"{where}: {data!r} is not one of {', '.join(map(repr, arguments))}")
        return data
    if origin is tuple:
        if not isinstance(data, list):
            raise ValueError(f"{where}: wanted a list, got {data!r}")
        kinds = [arguments[0]] * len(data) if arguments[-1] is Ellipsis else list(arguments)
        if len(kinds) != len(data):
            raise ValueError(f"{where}: wanted {len(kinds)} values, got {data!r}")
        return tuple(
            read_value(one, kind, f"{where}[{i}]") for i, (one, kind) in enumerate(zip(data, kinds, strict=True))
        )
    if origin is dict:
        if not isinstance(data, dict):
            raise ValueError(f"{where}: wanted an object, got {data!r}")
        return data
    if is_settings(wanted):
        return _read_node(data, wanted, where)
    if wanted is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if isinstance(wanted, type) and issubclass(wanted, int | float | str):
        if not isinstance(data, wanted) or (isinstance(data, bool) and wanted is not bool):
            raise ValueError(f"{where}: wanted {wanted.__name__}, got {data!r}")
        return data
    if not isinstance(data, str):
        raise ValueError(f"{where}: wanted a text for {getattr(wanted, '__name__', wanted)}, got {data!r}")
    return wanted(data)


def is_settings(wanted: Any) -> bool:
    """Whether an annotation is a type of settings, or what several of them have in common."""
    return isinstance(wanted, type) and (dataclasses.is_dataclass(wanted) or inspect.isabstract(wanted))


def _read_union(data: Any, arguments: tuple[Any, ...], where: str) -> Any:
    if data is None and type(None) in arguments:
        return None
    wanted = [a for a in arguments if a is not type(None)]
    errors = []
    for one in wanted:
        try:
            return read_value(data, one, where)
        except (ValueError, TypeError) as error:
            errors.append(str(error))
    raise ValueError("; or ".join(errors))


def _read_node(data: Any, wanted: type, where: str) -> Any:
    if not isinstance(data, dict):
        raise ValueError(f"{where}: wanted an object of type {_listed(wanted)}, got {data!r}")
    given = data.get("type") if "type" in data or inspect.isabstract(wanted) else word_of(wanted)
    named = node_type(str(given))
    if named is None or not issubclass(named, wanted):
        raise ValueError(f"{where}: type {given!r} does not belong here, wanted {_listed(wanted)}")
    fields = {f.name: f for f in dataclasses.fields(typing.cast(Any, named)) if f.init}
    unknown = sorted(set(data) - set(fields) - {"type"})
    if unknown:
        raise ValueError(f"{where}: unknown field {unknown[0]!r} of {given!r}; it has {', '.join(sorted(fields))}")
    hints = typing.get_type_hints(named)
    values = {name: read_value(data[name], hints[name], f"{where}: {name}") for name in fields if name in data}
    missing = sorted(
        f.name
        for f in fields.values()
        if f.name not in data and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    )
    if missing:
        raise ValueError(f"{where}: field {missing[0]!r} of {given!r} is missing")
    try:
        return named(**values)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _listed(wanted: type) -> str:
    return " or ".join(repr(word) for word in choices(wanted).values()) or repr(wanted.__name__)
