"""Arrays of one shape that are slow to make, kept on disk: each is made when it is first asked for."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from ddmi_modalities.datasets.array_cache import shared_bytes
from ddmi_modalities.said import say_once

Row = UInt8[np.ndarray, "..."]


class SharedRows:
    """Bytes of `count` arrays of one shape, in a file that is filled as they are asked for.

    Any number of processes may share the file: whoever finds a row missing makes it, and all write the same bytes.  A
    row counts only with its checksum, so that one which is half written, or was lost, is made again.

    Args:
        file: Whose name says all that the content depends on.
        count: Rows.
        shape: Of one of them.
    """

    def __init__(self, file: Path, count: int, shape: tuple[int, ...]) -> None:
        self.file, self.count, self.shape = file, count, shape
        self._sound: set[int] = set()
        self._away = False

    def ready(self) -> bool:
        """Whether the file is there, or can be made; where not, that is said once."""
        if not self._away:
            try:
                _ = self._mapped
            except (OSError, ValueError) as error:
                self._away = True
                say_once(self.file, f"{self.file} cannot be used: what it would keep is made each time ({error})")
        return not self._away

    def row(self, index: int, make: Callable[[], Row]) -> Row:
        """The row of this index, to be read only; made by `make` where it is not there."""
        rows, sums = self._mapped
        if index not in self._sound:
            if sums[index] == 0 or sums[index] != _checksum(rows[index]):
                rows[index] = make()
                sums[index] = _checksum(rows[index])
            self._sound.add(index)
        return rows[index]

    @property
    def bytes(self) -> int:
        """Of the file."""
        return self.count * (int(np.prod(self.shape)) + 4)

    def __getstate__(self) -> dict[str, object]:
        # workers map the file themselves: pickling a memory map would copy all of it
        return {name: value for name, value in self.__dict__.items() if name != "_mapped"}

    @cached_property
    def _mapped(self) -> tuple[UInt8[np.ndarray, "row ..."], np.ndarray]:
        """The rows and their checksums."""
        numbers = self.count * int(np.prod(self.shape))
        whole = shared_bytes(self.file, self.bytes)
        return whole[:numbers].reshape(self.count, *self.shape), whole[numbers:].view(np.uint32)


def _checksum(row: Row) -> int:
    """Never 0, which stands for a row that is not there."""
    return zlib.crc32(row.tobytes()) or 1
