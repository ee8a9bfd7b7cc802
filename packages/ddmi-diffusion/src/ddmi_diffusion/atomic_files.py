"""Files that are either complete or not there: written under a temporary name, flushed, renamed."""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

_TEMPORARY = ".tmp-"
_ABANDONED = 24 * 3600  # seconds after which a temporary name of another machine is taken for a dead process's


class CheckpointError(OSError, ValueError):
    """A file of a run cannot be written or read. The message is one line: path, reason and remedy."""


def atomic_write_text(path: Path | str, text: str) -> None:
    """Write `text` in UTF-8 so that `path` holds the old or the new content, whatever happens meanwhile.

    Raises CheckpointError when it cannot be written; then the old content stands.

    Examples:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     atomic_write_text(f"{folder}/notes.txt", "done")
        ...     Path(folder, "notes.txt").read_text()
        'done'
    """
    path = Path(path)
    with explain_write(path), replacing(path) as temporary:
        write_text(temporary, text)


def save_tensors(path: Path | str, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write one safetensors file so that `path` holds the old or the new content, whatever happens meanwhile.

    Raises CheckpointError when it cannot be written; then the old content stands.

    Examples:
        >>> import torch
        >>> from safetensors.torch import load_file
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     save_tensors(f"{folder}/weights.safetensors", {"weight": torch.ones(2)})
        ...     load_file(f"{folder}/weights.safetensors")
        {'weight': tensor([1., 1.])}
    """
    path = Path(path)
    with explain_write(path), replacing(path) as temporary:
        write_tensors(temporary, tensors, metadata)


@contextmanager
def explain_write(path: Path) -> Iterator[None]:
    """Turn what goes wrong while writing into one CheckpointError that names `path`, the reason and the remedy."""
    try:
        yield
    except CheckpointError:
        raise
    except (OSError, SafetensorError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise CheckpointError(
            f"cannot write {path}: {reason}; free space or fix the permissions there, or choose another directory. "
            "What was saved before is untouched"
        ) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary sibling name; what the block puts there (a file or directory) takes the place of `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(path)
    remove(temporary)
    try:
        yield temporary
        if path.is_dir():  # a directory cannot be replaced by renaming unless it is empty
            remove_directory(path)
        os.replace(temporary, path)
        flush_directory(path.parent)
    except BaseException:
        with suppress(OSError):
            remove(temporary)
        raise


def temporary_name(path: Path) -> Path:
    """A hidden sibling of `path` that tells which process made it."""
    return path.with_name(f"{_TEMPORARY}{path.name}-{socket.gethostname()}-{os.getpid()}")


def remove_stale(directory: Path) -> None:
    """Remove temporary names in `directory` that killed processes left behind."""
    for path in directory.glob(f"{_TEMPORARY}*"):
        rest, _, pid = path.name.rpartition("-")
        with suppress(OSError):
            if rest.endswith(f"-{socket.gethostname()}") and pid.isdigit():
                abandoned = not process_is_alive(int(pid))
            else:
                abandoned = time.time() - path.stat().st_mtime > _ABANDONED
            if abandoned:
                remove(path)


def process_is_alive(pid: int) -> bool:
    """Whether a process of this number runs on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def remove(path: Path) -> None:
    """Remove a file or a directory with all it holds, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_directory(path: Path) -> None:
    """Remove a directory so that a reader never sees it half removed."""
    hidden = temporary_name(path.with_name(f"{path.name}.old"))
    remove(hidden)
    os.replace(path, hidden)
    remove(hidden)


def write_text(path: Path, text: str) -> None:
    """Write a file and flush it to the disk."""
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file and flush it to the disk; equal content gives equal bytes."""
    path.touch()
    mode = path.stat().st_mode  # as the user's umask has it; safetensors itself makes files only the owner can read
    save_file(_independent(tensors), path, dict(metadata) if metadata else None)
    path.chmod(mode)
    with path.open("r+b") as file:
        _sort_metadata(file)
        file.flush()
        os.fsync(file.fileno())


def _sort_metadata(file: BinaryIO) -> None:
    """safetensors writes the entries of the metadata in any order, and hashes of the file would say that it changed."""
    length = int.from_bytes(file.read(8), "little")
    header = json.loads(file.read(length))
    if "__metadata__" in header:
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        content = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        file.seek(8)
        file.write(content.ljust(length))  # as it was, but for the order


def _independent(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous CPU tensors, each with memory of its own: safetensors refuses tied weights and views."""
    result, seen = {}, set()
    for name, value in tensors.items():
        tensor = value.detach().cpu().contiguous()
        storage = tensor.untyped_storage()
        if storage.nbytes() != tensor.nbytes or storage.data_ptr() in seen:
            tensor = tensor.clone()
        seen.add(storage.data_ptr())
        result[name] = tensor
    return result


def flush_directory(path: Path) -> None:
    """Make the names in a directory survive a power failure, where the system can."""
    with suppress(PermissionError):  # Windows does not open directories
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
