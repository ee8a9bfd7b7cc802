"""Reading a checkpoint that holds more than tensors, without running any code that it names.

The reference implementation saves its arguments (argparse, OmegaConf) beside its weights, and those are pickled objects
of classes that are not here.  torch's own restricted unpickler reads the file.  All it is told is that every class it
does not know is an inert stub, which takes state as data and refuses to be called.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from ddmi.importing.pickled_tuples import TooDeep, check_tuples


class RefusedCallError(Exception):
    """A file asked for a call of something that may not be called."""


class _Inert(type):
    """Classes that a pickle may make objects of, as data, and that nobody can call."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        name = f"{cls.__module__}.{cls.__qualname__}"
        raise RefusedCallError(name.encode("unicode_escape").decode())  # a terminal would obey its control characters


class Stub(metaclass=_Inert):
    """Stands for an object of an unknown class: what it was made with and its state, both as plain data."""

    args: tuple[Any, ...]
    state: Any

    def __new__(cls, *args: Any) -> Stub:
        stub = object.__new__(cls)
        stub.args, stub.state = args, None
        return stub

    def __setstate__(self, state: Any) -> None:
        self.state = state


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The dictionary that `torch.save` wrote, tensors on the CPU and mapped to the file, unknown objects as `Stub`.

    Raises:
        ValueError: names the file, and what it asked for where that was refused: it may be no checkpoint, damaged, or
            call something.  Nothing that it names is imported or called.
    """
    path = Path(path)
    if not path.is_file():
        what = "a directory" if path.is_dir() else "not there"
        raise ValueError(f"{path} is {what}; name a checkpoint, such as model-last.pt or ldm-last.pt")
    try:
        _check_pickle(path)
        stand_ins: list[Any] = [_stand_in(name) for name in get_unsafe_globals_in_checkpoint(path)]
        with safe_globals(stand_ins):
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except RefusedCallError as error:
        raise ValueError(
            f"{path}: refused, because it asks to call {error}, which no checkpoint of weights needs; no code of it "
            "has run. Get the file from its publisher again"
        ) from None
    except TooDeep as error:
        raise ValueError(
            f"{path}: refused, because {error}, which no checkpoint of weights needs; get the file from its publisher "
            "again"
        ) from None
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path}: refused by torch's reader of weights ({_reason(error)}); no code of it has run. Get the file "
            "from its publisher again"
        ) from None
    except Exception as error:  # torch's reader raises nearly anything on damaged files
        raise ValueError(
            f"{path}: no checkpoint that torch.save wrote since torch 1.6, or damaged ({_reason(error)}); copy it again"
        ) from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: holds a {type(content).__name__}, no dictionary of weights; name a checkpoint")
    return content


def _check_pickle(path: Path) -> None:
    """Before torch reads it: its archive is as it was written, and its pickle can be read in short time."""
    if not zipfile.is_zipfile(path):
        return  # torch says what it is
    with zipfile.ZipFile(path) as archive:
        if (damaged := archive.testzip()) is not None:
            raise ValueError(f"the checksum of {damaged} is wrong")
        for name in archive.namelist():
            if name.endswith("/data.pkl") or name == "data.pkl":
                check_tuples(archive.read(name))


def _stand_in(name: str) -> Callable[..., Any]:
    """What torch's reader takes for a global, which it knows by module and name."""
    if name == "collections.defaultdict":

        def defaultdict(*_: Any) -> dict[Any, Any]:
            return {}  # what would make its missing values is not kept

        defaultdict.__module__ = "collections"
        defaultdict.__qualname__ = "defaultdict"
        return defaultdict
    module, _, last = name.rpartition(".")
    return _Inert(last, (Stub,), {"__module__": module, "__qualname__": last})


def _reason(error: Exception) -> str:
    """The one sentence that says what was wrong, out of torch's advice before and after it."""
    lines = str(error).partition("Check the documentation")[0].strip().splitlines() or [type(error).__name__]
    return lines[-1].strip().removeprefix("WeightsUnpickler error: ").partition(". ")[0].removesuffix(".")
