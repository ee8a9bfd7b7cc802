"""What an attack knows of a reader, and what counts as wrong content."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch


class WrongContent(Exception):
    """Something was read that is not finite, or not what it should be."""


@dataclass(frozen=True)
class Loader:
    """A reader, and what it reads."""

    name: str
    write: Callable[[Path], object]
    """Into a folder, which is there."""
    read: Callable[[Path], object]
    """Of that folder.  What it returns must be finite."""
    attacked: str = "*"
    """Names of the files that are damaged, as `Path.match` takes them."""

    def files(self, folder: Path) -> list[Path]:
        """Those that are damaged."""
        files = [file for file in sorted(folder.rglob("*")) if file.is_file() and not file.name.startswith(".training")]
        return [file for file in files if any(file.match(one) for one in self.attacked.split())]


def check_finite(value: Any, where: str = "the content") -> None:
    """Raises WrongContent for numbers that are none, anywhere in arrays, lists and dictionaries."""
    if isinstance(value, torch.Tensor):
        value = value.detach().numpy()
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "fiub":
            raise WrongContent(f"{where} is {value.dtype}")
        if not np.isfinite(value).all():
            raise WrongContent(f"{where} has numbers that are not finite")
    elif isinstance(value, float):
        if not np.isfinite(value):
            raise WrongContent(f"{where} is {value}")
    elif isinstance(value, dict):
        for name, one in value.items():
            check_finite(one, f"{where}: {name}")
    elif isinstance(value, list | tuple):
        for number, one in enumerate(value):
            check_finite(one, f"{where}[{number}]")


def check(sound: bool, what: str) -> None:
    if not sound:
        raise WrongContent(what)
