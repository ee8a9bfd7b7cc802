"""What a recipe is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ddmi.experiment import Experiment

ALL = ("test", "demo", "small", "ours", "paper")
"""All presets that there are."""


@dataclass(frozen=True)
class Recipe:
    """What `ddmi recipes` lists."""

    make: Callable[[str, str], Experiment]
    """From the names of the recipe and of one of its presets."""
    summary: str
    presets: tuple[str, ...]
    """Those that it has."""
    needs_data: bool = False
    """Whether `--data PATH` must name the data."""
