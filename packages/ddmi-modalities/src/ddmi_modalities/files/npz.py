"""NPZ files: several arrays by name, never pickles."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ddmi_modalities.memory import check_fits


def read_npz(
    file: Path, required: Sequence[str], optional: Sequence[str] = (), *, unread: Sequence[str] = (), remedy: str
) -> dict[str, NDArray[Any]]:
    """These arrays of a file, of the optional ones those that are there.

    Raises ValueError that names the file and what is missing, `unread` included, and ends with `remedy`.
    """
    try:
        with file.open("rb") as handle:  # numpy leaves a damaged archive open
            _check_size(file, handle, [*required, *optional])
            stored = np.load(handle, allow_pickle=False)
            held = list(stored) if isinstance(stored, np.lib.npyio.NpzFile) else []
            arrays = {key: stored[key] for key in (*required, *optional) if key in held}
    except TooLarge:
        raise
    except FileNotFoundError as error:
        raise ValueError(f"{file}: does not exist; {remedy}") from error
    except Exception as error:  # numpy's and zipfile's readers raise nearly anything on damaged files
        raise ValueError(f"{file}: is damaged, or no NPZ file ({error}); {remedy}") from error
    if lacking := [key for key in (*required, *unread) if key not in held]:
        raise ValueError(f"{file}: lacks {', '.join(lacking)} and has {', '.join(held) or 'no named arrays'}; {remedy}")
    return arrays


class TooLarge(ValueError):
    """More than memory holds."""


def _check_size(file: Path, handle: IO[bytes], names: Sequence[str]) -> None:
    """Before anything is unpacked: a small archive may hold any number of zeros."""
    if not zipfile.is_zipfile(handle):
        handle.seek(0)
        return
    with zipfile.ZipFile(handle) as archive:
        size = sum(one.file_size for one in archive.infolist() if one.filename.removesuffix(".npy") in names)
    handle.seek(0)
    try:
        check_fits(size, f"unpacking {file}", "give a smaller file")
    except ValueError as error:
        raise TooLarge(str(error)) from None


def npz_bytes(**arrays: Any) -> bytes:
    """The content of a file."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()
