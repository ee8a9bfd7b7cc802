"""What has the content of a file: a file itself, or a part of one that holds many."""

from __future__ import annotations

import io
from typing import Literal, Protocol, runtime_checkable


@runtime_checkable
class Readable(Protocol):
    """As much of a `Path` as reading needs.  As a string it says where it is."""

    @property
    def suffix(self) -> str:
        """The last part of its name, from the dot; empty where it has none."""

    def open(self, mode: Literal["rb"], /) -> io.BytesIO | io.BufferedReader:
        """Its bytes.  Raises OSError, or ValueError that names it, where they cannot be had."""
