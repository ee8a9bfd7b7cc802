"""Networks in folders: config.json says how one is built, model.safetensors holds its weights."""

from __future__ import annotations

import dataclasses
import json
import os
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

CONFIG, WEIGHTS = "config.json", "model.safetensors"
KIND = "type"
"""In config.json, and in each of its objects: the name of a class."""
LARGEST = 2**16
"""Whole number in settings: a slip of a finger would keep the machine busy for hours."""

Network = TypeVar("Network", bound=nn.Module)
Settings = TypeVar("Settings")


def write_folder(folder: Path, kind: str, description: dict[str, Any], network: nn.Module) -> None:
    """Writes both files, each whole or not at all; other files of the folder stay.

    ValueError for a folder whose config.json is of another kind, and where it cannot be written.
    """
    if (folder / CONFIG).exists() and (there := _read(folder)).get(KIND) != kind:
        raise ValueError(
            f"{folder / CONFIG} is of type {_brief(there.get(KIND))} and would be lost; save the {kind} in another "
            "folder"
        )
    weights = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in network.state_dict().items()}
    text = json.dumps({KIND: kind, **description}, indent=2) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _replacing(folder / CONFIG) as config, _replacing(folder / WEIGHTS) as file:
            config.write_text(text, encoding="utf-8")  # neither is in its place before both are written
            save_file(weights, file)
    except (OSError, SafetensorError) as error:
        raise ValueError(
            f"cannot write {folder}: {error}; free space or fix the permissions there, or choose another folder"
        ) from error


def read_folder(folder: Path, kind: str, build: Callable[[dict[str, Any]], Network]) -> Network:
    """The network that `build` makes of the description, with the weights beside it, in evaluation mode.

    ValueError that names the file and the remedy: not there, damaged, of another network.
    """
    description = _read(folder)
    if (given := description.pop(KIND, None)) != kind:
        raise ValueError(
            f"{folder / CONFIG} is of type {_brief(given)}, not of a {kind}; load it with the class that saved it"
        )
    path = folder / WEIGHTS
    try:
        with safe_open(path, framework="pt") as file:
            theirs = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        weights = load_file(path)
    except FileNotFoundError:
        raise ValueError(f"{path} is not there; copy it beside {CONFIG}, or save the network again") from None
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{path}: damaged or no safetensors file ({error}); restore it, or save it again") from error
    with torch.device("meta"):  # settings that want other weights are refused before they are given memory
        ours = {name: tuple(one.shape) for name, one in _built(build, description, folder).state_dict().items()}
    if wrong := [name for name in [*ours, *theirs] if ours.get(name) != theirs.get(name)]:
        there, wanted = (shapes.get(wrong[0], "nothing of that name") for shapes in (theirs, ours))
        raise ValueError(
            f"{path}: weights of another configuration: {wrong[0]!r} is {there} in the file, the config wants "
            f"{wanted}; use the {CONFIG} that was saved with the weights"
        )
    for name, tensor in weights.items():
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{path}: {name!r} has numbers that are NaN or infinite; restore it, or save it again")
    network = _built(build, description, folder)
    network.load_state_dict(weights)
    return network.eval()


def _built(build: Callable[[dict[str, Any]], Network], description: dict[str, Any], folder: Path) -> Network:
    try:
        return build(description)
    except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0][:300]
        raise ValueError(f"{folder / CONFIG}: {reason}; compare with the folder that it was copied from") from error


def describe_settings(settings: Any) -> Any:
    """Dataclasses as JSON objects with the names of their types; numbers, words, and tuples of them as they are."""
    if dataclasses.is_dataclass(settings):
        fields = {
            field.name: describe_settings(getattr(settings, field.name)) for field in dataclasses.fields(settings)
        }
        return {KIND: type(settings).__name__, **fields}
    return list(settings) if isinstance(settings, tuple) else settings


def described_settings(description: dict[str, Any], base: type[Settings]) -> Settings:
    """The inverse, of `base` or a class that extends it.  Nothing is imported by a name from a file."""
    named = next((known for known in _extending(base) if known.__name__ == description[KIND]), None)
    if named is None:
        raise ValueError(
            f"{_brief(description[KIND])} is no {base.__name__} that is known here; import the module that defines it "
            "first"
        )
    for name, value in description.items():
        if isinstance(value, int) and abs(value) > LARGEST:
            raise ValueError(f"{name} is {value:.3g}, and whole numbers in settings go up to {LARGEST}")
    hints = typing.get_type_hints(named)
    values = {
        name: described_settings(value, hints[name]) if isinstance(value, dict) else value
        for name, value in description.items()
        if name != KIND
    }
    return named(**values)


def _extending(base: type[Settings]) -> Iterator[type[Settings]]:
    yield base
    for one in base.__subclasses__():
        yield from _extending(one)


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A temporary name that takes the place of `path` when all went well."""
    temporary = path.with_name(f".tmp-{path.name}-{os.getpid()}")
    try:
        yield temporary
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _read(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    try:
        description = _tuples(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise ValueError(f"{path} is not there; give a folder that save_pretrained has written") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read as JSON ({error}); restore it, or save the network again") from error
    if not isinstance(description, dict):
        raise ValueError(f"{path} describes no network; restore it, or save the network again")
    return description


def _brief(value: Any) -> str:
    return repr(str(value)[:60])


def _tuples(value: Any) -> Any:
    """Lists of JSON as the settings have them."""
    if isinstance(value, dict):
        return {name: _tuples(one) for name, one in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
