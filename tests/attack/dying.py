"""`ddmi` as a process that is killed, or meets a full disk, at one of its disk operations.

python -c "..." MODE N ARGUMENT...: MODE is `kill` (SIGKILL before operation N that makes, moves or removes files),
`full` (OSError at write N and all later ones) or `count` (neither).  The number of operations and of writes is left in
the file that DDMI_ATTACK_COUNTS names.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import pathlib
import shutil
import signal
import sys
from collections.abc import Callable
from typing import Any

OPERATIONS: tuple[tuple[Any, str], ...] = (
    *((os, name) for name in ("replace", "rename", "fsync", "unlink", "rmdir", "mkdir")),
    *((pathlib.Path, name) for name in ("unlink", "touch", "chmod")),
    (shutil, "rmtree"),
)
WRITES = ("write", "truncate")


class Counted:
    """How many operations and writes there were, and what happens at the wanted one."""

    def __init__(self, mode: str, at: int, root: str) -> None:
        self.mode, self.at, self.root = mode, at, root
        self.operations = self.writes = 0

    def operation(self) -> None:
        self.operations += 1
        if self.mode == "kill" and self.operations == self.at:
            os.kill(os.getpid(), signal.SIGKILL)

    def write(self, path: str) -> None:
        """Of a file of the run."""
        self.writes += 1
        if self.mode == "full" and self.writes >= self.at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    def is_ours(self, path: Any) -> bool:
        return isinstance(path, str | os.PathLike) and os.path.abspath(os.fspath(path)).startswith(self.root)


def watch(counted: Counted) -> None:
    """Patches what this process does to the disk."""
    for holder, name in OPERATIONS:
        setattr(holder, name, _counting(getattr(holder, name), counted))
    opened = io.open

    def open_(file: Any, mode: str = "r", *args: Any, **more: Any) -> Any:
        handle = opened(file, mode, *args, **more)
        if set(mode) & set("wax+") and counted.is_ours(file):
            return _Writing(handle, counted, os.fspath(file))
        return handle

    builtins.open = io.open = open_  # type: ignore[assignment]
    pathlib.io.open = open_  # type: ignore[attr-defined]
    import ddmi_diffusion.atomic_files as files

    save = files.save_file  # written by Rust, in one go

    def save_file(tensors: Any, path: Any, *args: Any, **more: Any) -> None:
        counted.write(str(path))
        save(tensors, path, *args, **more)

    files.save_file = save_file


def _counting(function: Callable[..., Any], counted: Counted) -> Callable[..., Any]:
    def call(*args: Any, **more: Any) -> Any:
        if os.getpid() == PID:
            counted.operation()
        return function(*args, **more)

    return call


class _Writing:
    """A file whose writes are counted."""

    def __init__(self, handle: Any, counted: Counted, path: str) -> None:
        self._handle, self._counted, self._path = handle, counted, path

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._handle, name)
        if name not in WRITES:
            return found

        def write(*args: Any) -> Any:
            self._counted.write(self._path)
            return found(*args)

        return write

    def __enter__(self) -> _Writing:
        self._handle.__enter__()
        return self

    def __exit__(self, *error: Any) -> Any:
        return self._handle.__exit__(*error)

    def __iter__(self) -> Any:
        return iter(self._handle)


PID = os.getpid()


def main() -> None:
    from ddmi.cli import main as ddmi

    mode, at, root, *arguments = sys.argv[1:]
    counted = Counted(mode, int(at), os.path.abspath(root))
    watch(counted)
    code = ddmi(arguments)
    if "DDMI_ATTACK_COUNTS" in os.environ:
        with open(os.environ["DDMI_ATTACK_COUNTS"], "w") as file:
            file.write(f"{counted.operations} {counted.writes}")
    sys.stdout.flush()
    os._exit(code)
