"""Tar archives read by index: headers once, then any member by its place."""

from __future__ import annotations

import io
import logging
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Literal

logger = logging.getLogger("ddmi")

REMEDY = "copy the shard anew, or take it away"
BLOCK = 512
COMPRESSED = {b"\x1f\x8b": "gunzip", b"BZh": "bunzip2", b"\xfd7zXZ": "unxz", b"\x28\xb5\x2f\xfd": "unzstd"}
"""How such files begin, and what unpacks them to a plain archive."""

Entry = tuple[str, int, int]
"""A member's name, where its bytes begin, and how many there are."""


@dataclass(frozen=True, slots=True)
class TarMember:
    """A file within an archive; `Readable`.

    The archive is opened for each reading: processes that were forked share nothing, and nothing stays open.
    """

    file: Path
    """The archive."""
    name: str
    offset: int
    size: int

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.name).suffix

    def open(self, mode: Literal["rb"], /) -> io.BytesIO:
        with self.file.open(mode) as archive:
            archive.seek(self.offset)
            content = archive.read(self.size)
        if len(content) < self.size:
            raise ValueError(f"{self}: the archive ends in the middle of it; {REMEDY}")
        return io.BytesIO(content)

    def __str__(self) -> str:
        return f"{self.file}/{self.name}"


def tar_entries(file: Path) -> list[Entry]:
    """All files in an archive, by name; of several of one name the last, as tar would unpack it.

    Links, devices, sparse files and names that lead out of the archive are left out, and counted aloud.  Only headers
    are read.

    Raises:
        ValueError: It is compressed, truncated or damaged, or no archive; names it and the last sound member.
    """
    try:
        with file.open("rb") as archive:
            _check_plain(file, archive)
            found = {name: (name, offset, size) for name, offset, size in _entries(file, archive)}
    except OSError as error:
        raise ValueError(f"{str(file)!r}: cannot be read ({error.strerror})") from error
    return [found[name] for name in sorted(found)]


def _check_plain(file: Path, archive: IO[bytes]) -> None:
    start = archive.read(8)
    archive.seek(0)
    for mark, command in COMPRESSED.items():
        if start.startswith(mark):
            raise ValueError(
                f"{str(file)!r}: is compressed, and its members cannot be read by index; unpack it to a plain archive "
                f"by `{command}` (pictures are compressed as they are)"
            )


def _entries(file: Path, archive: IO[bytes]) -> Iterator[Entry]:
    last, passed, left_out = "", 0, 0
    try:
        with tarfile.open(fileobj=archive, mode="r:") as headers:
            while (member := headers.next()) is not None:
                # hostile sizes lead backwards, and round in circles
                if headers.offset <= passed or member.size < 0:
                    raise ValueError(f"the size of {member.name!r} is not possible")
                last, passed = member.name, headers.offset
                name = PurePosixPath(member.name)
                if member.isreg() and not member.issparse() and not name.is_absolute() and ".." not in name.parts:
                    yield name.as_posix(), member.offset_data, member.size
                elif not member.isdir():
                    left_out += 1
            _check_end(archive, headers.offset)
    except OSError as error:
        if error.errno is not None:
            raise
        raise _damaged(file, last, error) from error
    except MemoryError:
        raise
    except Exception as error:  # tarfile raises nearly anything on damaged headers
        raise _damaged(file, last, error) from error
    if left_out:
        logger.warning(
            "%s: left out %d members that are links, devices or sparse, or lead out of the archive", file, left_out
        )


def _damaged(file: Path, last: str, error: Exception) -> ValueError:
    where = f"after its member {last!r}" if last else "at its beginning"
    return ValueError(f"{str(file)!r}: is truncated, damaged or no tar archive {where} ({error}); {REMEDY}")


def _check_end(archive: IO[bytes], offset: int) -> None:
    """Headers that cannot be read look like the end to tarfile; the true one is a block of zeros, and the last."""
    archive.seek(offset)
    end = archive.read(BLOCK)
    if len(end) < BLOCK:
        raise ValueError("the zeros that end an archive are missing")
    if any(end):
        raise ValueError("the next header is damaged")
    while rest := archive.read(2**20):
        if any(rest):
            raise ValueError("it goes on after its end, such as one archive behind another")
