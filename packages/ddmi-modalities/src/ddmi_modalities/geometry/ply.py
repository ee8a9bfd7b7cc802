"""PLY files: tables of numbers and of lists, as text or in either order of bytes (Turk 1994)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

TYPES = {
    "char": "i1",
    "uchar": "u1",
    "short": "i2",
    "ushort": "u2",
    "int": "i4",
    "uint": "u4",
    "float": "f4",
    "int8": "i1",
    "uint8": "u1",
    "int16": "i2",
    "uint16": "u2",
    "int32": "i4",
    "uint32": "u4",
    "float32": "f4",
    "double": "f8",
    "float64": "f8",
}
ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">"}

Column = NDArray[Any] | list[NDArray[Any]]
"""A number of each row, or a list of each."""


@dataclass
class _Element:
    """What the header says of a table."""

    name: str
    count: int
    columns: list[tuple[str, str | None, str]] = field(default_factory=list)
    """Name, the type of the lists' lengths where it is one, and the type of its numbers."""


def read_ply(file: Path) -> dict[str, dict[str, Column]]:
    """The columns of each table by name.  Raises ValueError, without the file's name, for what is no sound PLY."""
    content = file.read_bytes()
    head = re.match(rb"ply\r?\n.*?\nend_header[ \t]*(\r\n|\n|\r)", content, re.DOTALL)
    if head is None:
        raise ValueError("has no PLY header")
    form, elements = _header(head[0].decode("ascii", "replace").splitlines()[1:-1])
    body = content[head.end() :]
    tables: dict[str, dict[str, Column]] = {}
    if form == "ascii":
        words = [line.split() for line in body.decode("ascii", "replace").splitlines() if line.strip()]
        for element in elements:
            _check(element, len(words) >= element.count, f"{len(words)} lines")
            with np.errstate(over="ignore"):  # whoever wants finite numbers says so
                tables[element.name] = _from_text(element, words[: element.count])
            words = words[element.count :]
        return tables
    at = 0
    for element in elements:
        tables[element.name], at = _from_bytes(element, ORDERS[form], body, at)
    return tables


def _header(lines: Sequence[str]) -> tuple[str, list[_Element]]:
    form, elements = "", list[_Element]()
    for line in lines:
        match line.split():
            case ["format", str(found), _]:
                form = found
            case ["element", name, count] if count.isdecimal() and len(count) < 15:
                elements.append(_Element(name, int(count)))
            case ["property", "list", length, number, name] if elements and {length, number} <= TYPES.keys():
                elements[-1].columns.append((name, TYPES[length], TYPES[number]))
            case ["property", number, name] if elements and number in TYPES:
                elements[-1].columns.append((name, None, TYPES[number]))
            case [] | ["comment", *_] | ["obj_info", *_]:
                pass
            case _:
                raise ValueError(f"its header says {line[:60]!r}, which PLY does not know")
    if form != "ascii" and form not in ORDERS:
        raise ValueError(f"its format is {form!r}; wanted ascii, {' or '.join(ORDERS)}")
    return form, elements


def _check(element: _Element, enough: bool, there: str) -> None:
    if not enough:
        raise ValueError(f"announces {element.count} of {element.name!r}, and holds {there} for them")


def _from_text(element: _Element, rows: Sequence[Sequence[str]]) -> dict[str, Column]:
    columns: dict[str, list[Any]] = {name: [] for name, _, _ in element.columns}
    for row in rows:
        at = 0
        for name, length, kind in element.columns:
            count = 1 if length is None else int(row[at])
            start = at if length is None else at + 1
            at = start + count
            if count < 0 or at > len(row):
                raise ValueError(f"a row of {element.name!r} ends early: {' '.join(row)[:60]!r}")
            values = np.array(row[start:at], kind)
            columns[name].append(values[0] if length is None else values)
    return {
        name: columns[name] if length is not None else np.array(columns[name], kind)
        for name, length, kind in element.columns
    }


def _from_bytes(element: _Element, order: str, body: bytes, at: int) -> tuple[dict[str, Column], int]:
    """The columns, and where the next table begins."""
    lengths = _first_lengths(element, order, body, at)
    whole = np.dtype(
        [
            part
            for name, length, kind in element.columns
            for part in (
                [(name, order + kind)]
                if length is None
                else [(f"{name} count", order + length), (name, order + kind, (lengths[name],))]
            )
        ]
    )
    if len(body) - at >= whole.itemsize * element.count:
        table = np.frombuffer(body, whole, element.count, at)
        if all((table[f"{name} count"] == lengths[name]).all() for name in lengths):  # all lists are as long
            columns: dict[str, Column] = {
                name: list(table[name]) if length is not None else table[name] for name, length, _ in element.columns
            }
            return columns, at + whole.itemsize * element.count
    _check(element, bool(lengths), f"{len(body) - at} bytes")
    return _row_by_row(element, order, body, at)


def _first_lengths(element: _Element, order: str, body: bytes, at: int) -> dict[str, int]:
    """How long the lists of the first row are."""
    lengths: dict[str, int] = {}
    for name, length, kind in element.columns if element.count else ():
        if length is not None:
            lengths[name] = int(_numbers(element, body, order + length, 1, at)[0])
            if lengths[name] < 0:
                raise ValueError(f"a list of {element.name!r} has {lengths[name]} numbers")
            at += np.dtype(length).itemsize
        at += np.dtype(kind).itemsize * lengths.get(name, 1)
    return lengths if element.count else {name: 0 for name, length, _ in element.columns if length is not None}


def _row_by_row(element: _Element, order: str, body: bytes, at: int) -> tuple[dict[str, Column], int]:
    columns: dict[str, list[Any]] = {name: [] for name, _, _ in element.columns}
    for _ in range(element.count):
        for name, length, kind in element.columns:
            count = 1
            if length is not None:
                count = int(_numbers(element, body, order + length, 1, at)[0])
                at += np.dtype(length).itemsize
            values = _numbers(element, body, order + kind, count, at)
            at += values.nbytes
            columns[name].append(values if length is not None else values[0])
    return {
        name: columns[name] if length is not None else np.array(columns[name]) for name, length, _ in element.columns
    }, at


def _numbers(element: _Element, body: bytes, kind: str, count: int, at: int) -> NDArray[Any]:
    if count < 0 or at + count * np.dtype(kind).itemsize > len(body):
        raise ValueError(f"announces {element.count} of {element.name!r}, and ends in one of them")
    return np.frombuffer(body, kind, count, at)
