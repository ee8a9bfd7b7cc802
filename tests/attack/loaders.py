"""All readers by name."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from .data_loaders import data_loaders
from .loader import Loader
from .model_loaders import model_loaders


def _quiet(read: Callable[[Path], object]) -> Callable[[Path], object]:
    def quietly(folder: Path) -> object:
        logging.getLogger("ddmi").setLevel(logging.CRITICAL)
        return read(folder)

    return quietly


LOADERS: dict[str, Loader] = {
    loader.name: Loader(loader.name, loader.write, _quiet(loader.read), loader.attacked)
    for loader in (*data_loaders(), *model_loaders())
}
