"""Encoded pictures in tables: Parquet and Arrow files as Hugging Face's `datasets` writes them, read by row.

Needs the extra `ddmi-modalities[parquet]`; pyarrow is imported when a table is opened.
"""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

from ddmi_modalities.extras import require_extra

REMEDY = "copy it anew, or take it away"
NAMES = ("image", "img")
"""Columns that are taken where several hold bytes."""
GROUPS = 2
"""Parts of tables whose rows are kept by a process: as many as neighbouring rows that threads ask for may be in."""


@dataclass(frozen=True, slots=True)
class TableCell:
    """The bytes in one row of a table; `Readable`."""

    file: Path
    row: int

    @property
    def suffix(self) -> str:
        return ""

    def open(self, mode: Literal["rb"], /) -> io.BytesIO:
        return io.BytesIO(open_table(self.file).content(self.row))

    def __str__(self) -> str:
        return f"{self.file}, row {self.row}"


class Table:
    """The column of a file that holds encoded pictures.

    Args:
        file: For messages.
        lengths: Rows of each part of the file.
        part: Reads the column in one of them.
    """

    def __init__(self, file: Path, lengths: list[int], part: Callable[[int], Any]) -> None:
        self.file = file
        self._starts = list(accumulate(lengths, initial=0))
        self._part = part

    def __len__(self) -> int:
        return self._starts[-1]

    def content(self, row: int) -> bytes:
        """The encoded picture in a row.  Raises ValueError, which names the file and the row, where there is none."""
        if not 0 <= row < len(self):
            raise ValueError(f"{str(self.file)!r} has {len(self)} rows and no row {row}; {REMEDY}")
        number = bisect_right(self._starts, row) - 1
        try:
            value = _part(self, number)[row - self._starts[number]].as_py()
        except (ValueError, OSError) as error:  # all that pyarrow raises on damage
            raise ValueError(f"{str(self.file)!r}, row {row}: is damaged ({error}); {REMEDY}") from error
        content = value["bytes"] if isinstance(value, dict) else value
        if not content:
            raise ValueError(
                f"{str(self.file)!r}, row {row}: holds no bytes, perhaps the path of a file only; embed the files, as "
                "`Dataset.to_parquet` and `save_to_disk` do"
            )
        return bytes(content)

    def read(self, number: int) -> Any:
        return self._part(number)


@lru_cache(GROUPS)
def _part(table: Table, number: int) -> Any:
    return table.read(number)


def open_table(file: Path) -> Table:
    """A Parquet file, whose rows are read by groups, or an Arrow file or stream, which is memory-mapped.

    Raises:
        ValueError: It is damaged, has no column of encoded pictures, or several, or is an Arrow file that is
            compressed; names the file.
        ModuleNotFoundError: pyarrow is not installed.
    """
    require_extra("parquet", "pyarrow", needed_by=f"reading {file}")
    try:
        stat = file.stat()
        return _opened(file, stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise ValueError(f"{str(file)!r}: cannot be read ({error.strerror or error}); {REMEDY}") from error


@lru_cache(1024)
def _opened(file: Path, size: int, changed: int) -> Table:
    from pyarrow import ArrowInvalid

    try:
        return _parquet(file) if file.suffix.lower() == ".parquet" else _arrow(file)
    except ArrowInvalid as error:
        raise ValueError(f"{str(file)!r}: is truncated or damaged ({error}); {REMEDY}") from error


def _parquet(file: Path) -> Table:
    from pyarrow import parquet

    with parquet.ParquetFile(file, memory_map=True) as opened:
        metadata, column = opened.metadata, _column(file, opened.schema_arrow)

    def part(number: int) -> Any:
        with parquet.ParquetFile(file, metadata=metadata, memory_map=True) as opened:
            return opened.read_row_group(number, columns=[column], use_threads=False).column(0)

    return Table(file, [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)], part)


def _arrow(file: Path) -> Table:
    import pyarrow as pa

    with file.open("rb") as handle:
        is_file = handle.read(6) == b"ARROW1"  # and a stream otherwise
    mapped = pa.memory_map(str(file))
    before = pa.total_allocated_bytes()
    if is_file:
        reader = pa.ipc.open_file(mapped)
        batches = (reader.get_batch(number) for number in range(reader.num_record_batches))
    else:
        reader = pa.ipc.open_stream(mapped)
        batches = iter(reader)
    column = _column(file, reader.schema)
    parts = []
    for batch in batches:
        parts.append(batch.column(column))
        parts[-1].validate(full=True)  # offsets of a damaged file may lead anywhere
        if pa.total_allocated_bytes() - before > max(batch.nbytes // 2, 2**16):
            raise ValueError(
                f"{str(file)!r}: is compressed, and its rows cannot be read from the disk one by one; write it "
                "without compression, or as Parquet"
            )
    return Table(file, [len(one) for one in parts], parts.__getitem__)


def _column(file: Path, schema: Any) -> str:
    """The name of the column that holds encoded pictures."""
    fitting = [field.name for field in schema if _holds_bytes(field.type)]
    chosen = fitting if len(fitting) == 1 else [name for name in fitting if name in NAMES]
    if len(chosen) != 1:
        there = ", ".join(f"{field.name} ({field.type})" for field in schema) or "none"
        raise ValueError(
            f"{str(file)!r}: {len(fitting)} of its columns hold bytes, of which none or several are called "
            f"{' or '.join(NAMES)}; wanted one of encoded pictures, bytes or a struct with 'bytes', and it has the "
            f"columns: {there}"
        )
    return str(chosen[0])


def _holds_bytes(kind: Any) -> bool:
    from pyarrow import types

    if types.is_struct(kind):
        return any(field.name == "bytes" and _holds_bytes(field.type) for field in kind)
    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind))
