"""Parquet and Arrow files by row: the column that is taken, what has no bytes, what is damaged."""

from __future__ import annotations

import importlib.util
import pickle
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from ddmi_modalities.files.readable import Readable
from ddmi_modalities.files.table_cells import TableCell, open_table

ROWS = [bytes([number]) * 3000 for number in range(1, 26)]
STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def column(kind: pa.DataType = STRUCT) -> pa.Array:
    values = [{"bytes": row, "path": f"{number}.jpg"} for number, row in enumerate(ROWS)]
    return pa.array(values if pa.types.is_struct(kind) else ROWS, kind)


def write_parquet(file: Path, table: pa.Table) -> Path:
    parquet.write_table(table, file, row_group_size=10)
    return file.with_suffix(".parquet")


def write_file(file: Path, table: pa.Table, **options: Any) -> Path:
    with pa.ipc.new_file(file, table.schema, **options) as writer:
        writer.write_table(table, max_chunksize=10)
    return file


def write_stream(file: Path, table: pa.Table, **options: Any) -> Path:
    """As `save_to_disk` of `datasets` does."""
    with pa.ipc.new_stream(file, table.schema, **options) as writer:
        writer.write_table(table, max_chunksize=10)
    return file


Write = Callable[[Path, pa.Table], Path]
WRITE = {"a.parquet": write_parquet, "file.arrow": write_file, "stream.arrow": write_stream}


@pytest.fixture(params=WRITE)
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[pa.Table], Path]:
    return lambda table: WRITE[request.param](tmp_path / request.param, table)


@pytest.mark.parametrize("kind", [STRUCT, pa.binary(), pa.large_binary()], ids=str)
def test_rows_in_any_order(written: Callable[[pa.Table], Path], kind: pa.DataType) -> None:
    file = written(pa.table({"label": range(25), "image": column(kind)}))
    assert len(open_table(file)) == 25
    for row in (24, 0, 9, 10, 3, 11):
        cell = TableCell(file, row)
        assert cell.open("rb").read() == ROWS[row]
        assert pickle.loads(pickle.dumps(cell)) == cell
    assert isinstance(cell, Readable)
    assert str(cell) == f"{file}, row 11"
    with pytest.raises(ValueError, match="has 25 rows and no row 25"):
        TableCell(file, 25).open("rb")


def test_which_column(written: Callable[[pa.Table], Path]) -> None:
    assert open_table(written(pa.table({"mask": column(), "img": column()}))).content(3) == ROWS[3]
    with pytest.raises(
        ValueError, match=r"2 of its columns hold bytes, of which none or several are called image or img"
    ):
        open_table(written(pa.table({"a": column(), "b": column()})))
    with pytest.raises(ValueError, match=r"0 of its columns hold bytes.*it has the columns: label \(int64\), url"):
        open_table(written(pa.table({"label": range(2), "url": ["http://a", "http://b"]})))


def test_paths_without_bytes(written: Callable[[pa.Table], Path]) -> None:
    values = [{"bytes": None, "path": "a.jpg"}, None, {"bytes": b"", "path": None}]
    file = written(pa.table({"image": pa.array(values, STRUCT)}))
    for row in range(3):
        with pytest.raises(ValueError, match=rf", row {row}: holds no bytes, perhaps the path of a file only; embed"):
            open_table(file).content(row)


def test_truncated_and_empty_files(written: Callable[[pa.Table], Path]) -> None:
    file = written(pa.table({"image": column()}))
    content = file.read_bytes()
    for length in (0, 3, len(content) // 2):
        file.write_bytes(content[:length])
        with pytest.raises(ValueError, match=rf"{file.name}': .*; copy it anew, or take it away"):
            open_table(file)
    file.unlink()
    with pytest.raises(ValueError, match=r"cannot be read \(No such file or directory\)"):
        open_table(file)


def test_a_damaged_part_is_named_when_it_is_read(tmp_path: Path) -> None:
    file = write_parquet(tmp_path / "a.parquet", pa.table({"image": column()}))
    content = bytearray(file.read_bytes())
    start = parquet.read_metadata(file).row_group(1).column(0).data_page_offset
    content[start : start + 40] = b"\xff" * 40
    file.write_bytes(content)
    assert open_table(file).content(3) == ROWS[3]
    with pytest.raises(ValueError, match=r"a\.parquet', row 12: is damaged"):
        open_table(file).content(12)


@pytest.mark.parametrize("write", [write_file, write_stream])
def test_compressed_arrow_files_are_refused(tmp_path: Path, write: Any) -> None:
    table = pa.table({"image": pa.array([bytes([number]) * 100_000 for number in range(20)])})
    file = write(tmp_path / "a.arrow", table, options=pa.ipc.IpcWriteOptions(compression="lz4"))
    with pytest.raises(ValueError, match=r"a\.arrow': is compressed, .*; write it without compression, or as Parquet"):
        open_table(file)


def test_a_file_that_changes_is_opened_anew(tmp_path: Path) -> None:
    file = write_stream(tmp_path / "a.arrow", pa.table({"image": column()}))
    open_table(file)
    write_stream(file, pa.table({"image": column().slice(5)}))
    assert open_table(file).content(0) == ROWS[5]


def _content(cell: TableCell) -> bytes:
    return cell.open("rb").read()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_processes_read_one_table_at_once(written: Callable[[pa.Table], Path]) -> None:
    file = written(pa.table({"image": column()}))
    cells = [TableCell(file, row) for row in range(25)]
    assert _content(cells[4]) == ROWS[4]  # what a parent has open, forks inherit
    with get_context("fork").Pool(2) as pool:
        assert pool.map_async(_content, cells, chunksize=2).get(60) == ROWS


def test_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr("ddmi_modalities.extras.find_spec", lambda name: None if name == "pyarrow" else find_spec(name))
    with pytest.raises(
        ModuleNotFoundError, match=r"a\.parquet needs 'pyarrow'; .* pip install 'ddmi-modalities\[parquet\]'"
    ):
        open_table(tmp_path / "a.parquet")
