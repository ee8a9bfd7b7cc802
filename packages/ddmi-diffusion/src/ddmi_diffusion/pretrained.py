"""Networks in folders: config.json says how one is built, model.safetensors holds its weights."""

from __future__ import annotations

import dataclasses
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from ddmi_diffusion.atomic_files import explain_write, replacing, write_tensors, write_text
from ddmi_diffusion.weights_files import load_network

CONFIG, WEIGHTS = "config.json", "model.safetensors"
KIND = "type"
"""In config.json, and in each of its objects: the name of a class."""
LARGEST = 2**16
"""Whole number in settings: a slip of a finger would keep the machine busy for hours."""

Known = TypeVar("Known")
Built = TypeVar("Built", bound="Pretrained")


class Pretrained(nn.Module, ABC):
    """A network that folders can hold; a subclass says how it is described and built again."""

    @abstractmethod
    def described(self) -> dict[str, Any]:
        """What `build_described` needs, as JSON has it."""

    @classmethod
    @abstractmethod
    def build_described(cls: type[Built], description: dict[str, Any]) -> Built:
        """The network, randomly initialised; what makes no sense may raise anything."""

    def save_pretrained(self, folder: Path | str) -> None:
        """Writes config.json and model.safetensors, each whole or not at all; other files of the folder stay.

        ValueError for a folder whose config.json is of something else; CheckpointError where it cannot be written.
        """
        folder = Path(folder)
        name = type(self).__name__
        if (folder / CONFIG).exists() and (there := _read(folder)).get(KIND) != name:
            raise ValueError(
                f"{folder / CONFIG} is of type {_brief(there.get(KIND))} and would be lost; save the {name} in another "
                "folder"
            )
        text = json.dumps({KIND: name, **self.described()}, indent=2) + "\n"
        with explain_write(folder), replacing(folder / CONFIG) as config, replacing(folder / WEIGHTS) as weights:
            write_text(config, text)  # neither is in its place before both are written
            write_tensors(weights, self.state_dict())

    @classmethod
    def from_pretrained(cls: type[Built], folder: Path | str) -> Built:
        """The network that `save_pretrained` wrote, on the CPU and in evaluation mode.

        ValueError that names the file and the remedy: not there, damaged, of another network.
        """
        return cls._read_folder(Path(folder), cls.build_described)

    @classmethod
    def _read_folder(cls: type[Built], folder: Path, build: Callable[[dict[str, Any]], Built]) -> Built:
        description = _read(folder)
        if (kind := description.pop(KIND, None)) != cls.__name__:
            raise ValueError(
                f"{folder / CONFIG} is of type {_brief(kind)}, not of a {cls.__name__}; load it with the class that "
                "saved it"
            )
        hint = f"write it with {cls.__name__}.save_pretrained, or copy it beside {CONFIG}"
        return load_network(lambda: build(description), folder / WEIGHTS, folder / CONFIG, hint=hint).eval()


def describe_settings(settings: Any) -> dict[str, Any]:
    """A dataclass of numbers, words and tuples of them, as JSON has it."""
    return {KIND: type(settings).__name__, **dataclasses.asdict(settings)}


def described_settings(description: dict[str, Any], base: type[Known]) -> Known:
    """The inverse, with lists as tuples, of `base` or a class that extends it."""
    values = {name: value for name, value in description.items() if name != KIND}
    for name, value in values.items():
        if isinstance(value, int) and abs(value) > LARGEST:
            raise ValueError(f"{name} is {value:.3g}, and whole numbers in settings go up to {LARGEST}")
    return known_class(description[KIND], base)(**values)


def known_class(name: str, base: type[Known]) -> type[Known]:
    """The class of this name among `base` and what extends it.  Nothing is imported by a name from a file."""
    for found in _extending(base):
        if found.__name__ == name:
            return found
    raise ValueError(
        f"{str(name)[:60]!r} is no {base.__name__} that is known here; import the module that defines it first"
    )


def _extending(base: type[Known]) -> Iterator[type[Known]]:
    yield base
    for one in base.__subclasses__():
        yield from _extending(one)


def _brief(value: Any) -> str:
    return repr(str(value)[:60])


def _tuples(value: Any) -> Any:
    """Lists of JSON as the settings have them."""
    if isinstance(value, dict):
        return {name: _tuples(one) for name, one in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _read(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    try:
        description = _tuples(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise ValueError(f"{path} is not there; give a folder that save_pretrained has written") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} cannot be read as JSON ({error}); restore it from a copy, or save it again"
        ) from error
    if not isinstance(description, dict):
        raise ValueError(f"{path} describes no network; restore it from a copy, or save it again")
    return description
