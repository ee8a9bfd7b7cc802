"""A picture as it is stored: in a file of its own, or in one that holds many."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from ddmi_modalities.files.readable import Readable
from ddmi_modalities.files.table_cells import TableCell
from ddmi_modalities.files.tar_members import TarMember
from ddmi_modalities.files.text import named_file


@runtime_checkable
class EncodedPicture(Readable, Protocol):
    """Small, hashable, and read in any process."""

    @property
    def file(self) -> Path:
        """The file that holds it."""

    @property
    def sources(self) -> tuple[Path, ...]:
        """The files that it and its caption change with, its own first; others need not be there."""

    def text(self) -> Readable | None:
        """What its caption is in; None where there is nothing."""


Pictures: TypeAlias = dict[str, EncodedPicture]
"""By name, in the order of names."""


@dataclass(frozen=True, slots=True)
class PictureFile:
    """A file of its own, with the caption in a text file of the same name beside it (`cat.jpg`, `cat.txt`)."""

    file: Path

    @property
    def suffix(self) -> str:
        return self.file.suffix

    def open(self, mode: Literal["rb"], /) -> io.BufferedReader:
        return self.file.open(mode)

    @property
    def sources(self) -> tuple[Path, ...]:
        return self.file, self.text() or self.file.with_suffix(".txt")

    def text(self) -> Path | None:
        return named_file(self.file.parent, self.file.stem, (".txt",)) if self.suffix else None

    def __str__(self) -> str:
        return str(self.file)


@dataclass(frozen=True, slots=True)
class PictureMember(TarMember):
    """A member of a tar shard, with the caption in the text member of its key."""

    caption: TarMember | None = None

    @property
    def sources(self) -> tuple[Path, ...]:
        return (self.file,)

    def text(self) -> TarMember | None:
        return self.caption


@dataclass(frozen=True, slots=True)
class PictureCell(TableCell):
    """A row of a table."""

    @property
    def sources(self) -> tuple[Path, ...]:
        return (self.file,)

    def text(self) -> None:
        return None
