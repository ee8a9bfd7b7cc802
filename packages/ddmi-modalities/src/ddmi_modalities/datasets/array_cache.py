"""Slow work done once: arrays on disk, memory-mapped, safe for processes that want the same one at the same time."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import DTypeLike, NDArray

from ddmi_modalities.progress import progress

logger = logging.getLogger("ddmi")

BUILDING = ".building"
"""How the names of files end that are being written."""

Fill = Callable[[NDArray[Any], Callable[[int], object]], None]
"""Writes all of the array it is given, and says from time to time how many more rows are done."""


def default_cache() -> Path:
    """`$XDG_CACHE_HOME/ddmi`, or `~/.cache/ddmi`."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "ddmi"


def free_bytes(folder: Path) -> int:
    """Of the disk that a folder is on, or will be."""
    return shutil.disk_usage(next(one for one in (folder, *folder.absolute().parents) if one.exists())).free


def cached_array(file: Path, shape: tuple[int, ...], dtype: DTypeLike, fill: Fill, doing: str) -> NDArray[Any]:
    """The array in `file`, read-only and memory-mapped.

    `file` is built by `fill` first where it is absent or damaged (not an array of this shape and type), into a
    temporary name and then renamed: a reader never sees half of it.  Of several processes one builds and the others
    wait for it.  The caller puts everything that the content depends on into the name of the file.  `doing` is what is
    said of the progress.
    """
    array = _open(file, shape, np.dtype(dtype))
    if array is not None:
        return array
    with _alone(file):
        array = _open(file, shape, np.dtype(dtype))  # another process may have built it while we waited
        if array is None:
            if file.exists():
                logger.warning("%s is damaged: building it again", file)
            _build(file, shape, np.dtype(dtype), fill, doing)
            array = _open(file, shape, np.dtype(dtype))
    if array is None:
        raise RuntimeError(f"array cache: {file} cannot be read back right after it was written; is the disk full?")
    return array


def _open(file: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any] | None:
    try:
        # numpy refuses a file that is shorter than its header says
        array: NDArray[Any] = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError):
        return None
    return array if array.shape == shape and array.dtype == dtype else None


def _build(file: Path, shape: tuple[int, ...], dtype: np.dtype[Any], fill: Fill, doing: str) -> None:
    with _whole(file) as temporary:
        target = np.lib.format.open_memmap(temporary, "w+", dtype, shape)
        _allocate(temporary, temporary.stat().st_size)
        with progress(what=doing, total=shape[0]) as bar:
            fill(target, bar.update)
        target.flush()
        del target


def shared_bytes(file: Path, length: int) -> NDArray[np.uint8]:
    """A file of bytes that any process may read and write, memory-mapped; new ones are 0.

    It is made where it is absent or of another length: a process that still has the one before fills that in vain.
    """
    if not _is_of(file, length):
        with _alone(file):
            if not _is_of(file, length):  # another process may have made it while we waited
                with _whole(file) as temporary:
                    _allocate(temporary, length)
    return np.memmap(file, np.uint8, "r+", shape=(length,))


def _is_of(file: Path, length: int) -> bool:
    return file.exists() and file.stat().st_size == length


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Nobody else makes `file` meanwhile; what processes that were killed left of it goes."""
    with _writable(file.parent), FileLock(file.with_suffix(".lock")):
        for stale in file.parent.glob(f"{file.stem}.*{BUILDING}"):
            stale.unlink(missing_ok=True)
        yield


@contextmanager
def _writable(folder: Path) -> Iterator[None]:
    """A folder of the cache, which is made; ValueError that says how to have it elsewhere, where it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        raise ValueError(
            f"the cache {str(folder)!r} cannot be written ({error.strerror or error}); fix its permissions, or set "
            "XDG_CACHE_HOME to another folder"
        ) from error


@contextmanager
def _whole(file: Path) -> Iterator[Path]:
    """A temporary name beside `file`, which becomes `file` when all went well."""
    descriptor, name = tempfile.mkstemp(prefix=file.stem + ".", suffix=BUILDING, dir=file.parent)
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)


def _allocate(file: Path, length: int) -> None:
    """A full disk is an OSError here, and a crash at the first write to a map otherwise."""
    with file.open("r+b") as handle:
        handle.truncate(length)
        if hasattr(os, "posix_fallocate") and length:
            os.posix_fallocate(handle.fileno(), 0, length)
