"""Text files of any editor: UTF-8, or UTF-16 and UTF-32 with the mark that Windows' programs write."""

from __future__ import annotations

import codecs
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from ddmi_modalities.files.readable import Readable

WORD = 20
"""Digits, and a sign, of the whole numbers that 64 bits hold: times of files have nineteen."""
MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16's, which begins alike
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def read_text(file: Readable) -> str:
    """The content without its mark.  Raises ValueError that names the file, where it cannot be read or decoded."""
    try:
        with file.open("rb") as stream:
            content = stream.read()
    except FileNotFoundError:
        raise ValueError(f"{str(file)!r} does not exist") from None
    except OSError as error:
        raise ValueError(f"cannot read {str(file)!r} ({error.strerror})") from error
    encoding = next((name for mark, name in MARKS.items() if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"cannot read {str(file)!r} as text: {error.reason} at byte {error.start}; save it as UTF-8, for instance "
            "with iconv -f latin1 -t utf-8"
        ) from error
    if "\0" in text:
        raise ValueError(f"cannot read {str(file)!r} as text: it holds zero bytes; save it as UTF-8")
    return text


def read_json(file: Path, *, most: int = 2**26) -> Any:
    """The value that a JSON file holds, see `parse_json`.

    Raises ValueError that names the file, where it is no JSON, nested too deeply, or larger than `most` bytes.
    """
    with suppress(OSError):
        if file.stat().st_size > most:
            raise ValueError(f"{str(file)!r} has {file.stat().st_size} bytes, and at most {most} are read as JSON")
    text = read_text(file)
    try:
        return parse_json(text)
    except ValueError as error:
        raise ValueError(f"cannot read {str(file)!r} as JSON: {error}") from error


def parse_json(text: str) -> Any:
    """The value that JSON stands for; whole numbers that no computer word holds become floats, perhaps infinite.

    Raises ValueError, also for what is nested too deeply.
    """
    try:
        return json.loads(text, parse_int=lambda digits: int(digits) if len(digits) <= WORD else float(digits))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_lines(file: Readable) -> list[str]:
    """The lines that are not empty, without spaces around them; errors as of `read_text`."""
    return [line.strip() for line in read_text(file).splitlines() if line.strip()]


def printable(text: str) -> str:
    """The text with whatever a terminal would obey written out, such as the control characters in a file's name."""
    return "".join(one if one.isprintable() or one in "\n\t" else _escaped(one) for one in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def named_file(folder: Path, name: str, suffixes: tuple[str, ...] = ()) -> Path | None:
    """The file that a text names below a folder, None where there is none.

    The name is taken as it is, or with one of the suffixes, in capitals too; and with the backslashes of Windows read
    as slashes.
    """
    endings = ("", *suffixes, *(suffix.upper() for suffix in suffixes))
    written = dict.fromkeys([name, name.replace("\\", "/")])
    return next(
        (file for one in written for ending in endings if os.path.isfile(file := folder / f"{one}{ending}")), None
    )


def name_bytes(name: str) -> bytes:
    """A name of a file as the file system has it, which need not be UTF-8."""
    return os.fsencode(name)
