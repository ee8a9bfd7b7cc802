"""What a `source` names: a data set that comes with this package, or something on disk in one of several layouts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

Data = TypeVar("Data", covariant=True)


@dataclass(frozen=True)
class Layout(Generic[Data]):
    """How data lie on disk."""

    wanted: str
    """For the message where nothing fits."""
    fits: Callable[[Path], bool]
    open: Callable[[Path], Data]
    """ValueError where they cannot be used."""


def open_source(source: str, embedded: Mapping[str, Callable[[], Data]], layouts: Sequence[Layout[Data]]) -> Data:
    """The data of a source: those embedded under this name, or else of the first layout that fits.

    Raises ValueError where there is nothing of this name, or nothing that fits.
    """
    if source in embedded:
        return embedded[source]()
    root = Path(source).expanduser()
    for layout in layouts:
        if source and layout.fits(root):
            return layout.open(root)
    what = "holds none of what can be read" if source and root.exists() else "does not exist"
    known = [*map(repr, embedded), *(layout.wanted for layout in layouts)]
    raise ValueError(f"data: {source!r} {what}; give {', or '.join(known)}")
