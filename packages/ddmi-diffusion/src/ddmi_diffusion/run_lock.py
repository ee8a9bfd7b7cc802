"""One training in a folder at a time: a lock of the operating system, which ends when its process does, however."""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ddmi_diffusion.atomic_files import process_is_alive

LOCK, HOLDER = ".training.lock", ".training.json"
"""The lock, and who holds it."""
AFTERLIFE = 15.0
"""Seconds in which the workers of a killed process end: until then they hold its lock."""

logger = logging.getLogger("ddmi")


@contextmanager
def alone_in(directory: Path) -> Iterator[None]:
    """Nobody else trains in this folder, which is made, while the block runs.

    Raises ValueError that names the process which does.  Where the file system knows no locks that is said, and it
    runs unguarded.

    Examples:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder, alone_in(Path(folder, "run")):
        ...     Path(folder, "run").is_dir()
        True
    """
    directory.mkdir(parents=True, exist_ok=True)
    lock, holder = FileLock(directory / LOCK), directory / HOLDER
    try:
        lock.acquire(timeout=0 if _holds(holder) else AFTERLIFE)
    except Timeout:
        raise ValueError(
            f"{directory}: {_name(holder)} is training there; wait for it or stop it, or choose another directory"
        ) from None
    except (OSError, NotImplementedError) as error:
        if isinstance(error, PermissionError):
            raise
        logger.warning("%s: this file system has no locks (%s); do not train there twice at a time", directory, error)
    try:
        holder.write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}), encoding="utf-8")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _holds(holder: Path) -> bool:
    """Whether the process that said so is there still, as far as can be seen from here."""
    who = _read(holder)
    return who is None or who[1] != socket.gethostname() or process_is_alive(who[0])


def _name(holder: Path) -> str:
    who = _read(holder)
    return "another process" if who is None else f"process {who[0]} on {who[1]}"


def _read(holder: Path) -> tuple[int, str] | None:
    try:
        content = json.loads(holder.read_text(encoding="utf-8"))
        return int(content["pid"]), str(content["host"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
