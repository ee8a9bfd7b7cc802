"""Checkpoints of a run: directories of safetensors and JSON that are complete or not there. Nothing is pickled."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ddmi_diffusion.atomic_files import (
    CheckpointError,
    atomic_write_text,
    explain_write,
    flush_directory,
    remove_directory,
    remove_stale,
    replacing,
    save_tensors,
    write_tensors,
    write_text,
)
from ddmi_diffusion.optimizer_state import flatten_optimizer, restore_optimizer

__all__ = [
    "STATE",
    "CheckpointError",
    "atomic_write_text",
    "checkpoint_directories",
    "checkpoint_step",
    "flatten_optimizer",
    "latest_checkpoint",
    "load_checkpoint",
    "restore_optimizer",
    "save_checkpoint",
    "save_tensors",
]

STATE = "state.json"
"""Written last: a directory without it is no checkpoint."""
CHECKSUM = "crc32"
"""Of all else in state.json."""
_NAME = re.compile(r"step-(\d+)")


def save_checkpoint(
    root: Path | str,
    step: int,
    tensors: Mapping[str, Mapping[str, Tensor]],
    meta: Mapping[str, Any],
    keep: int,
    spare: Path | None = None,
) -> Path:
    """Write `root`/step-00000123: one safetensors file for each entry of `tensors`, and `meta` in state.json.

    Keeps the `keep` newest checkpoints (at least the one just written) and `spare`, and removes what killed processes
    left.
    Raises CheckpointError when it cannot be written; then older checkpoints are untouched. `meta` must be JSON.

    Examples:
        >>> import torch
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as root:
        ...     save_checkpoint(root, 100, {"model": {"weight": torch.ones(2)}}, {"seed": 0}, keep=2).name
        'step-00000100'
    """
    root = Path(root)
    path = root / checkpoint_name(step)
    with explain_write(path):
        remove_stale(root)
        with replacing(path) as temporary:
            temporary.mkdir()
            files = {}
            for name, group in tensors.items():
                file = temporary / f"{name}.safetensors"
                write_tensors(file, group)
                files[file.name] = {"bytes": file.stat().st_size, "crc32": _crc32(file)}
            state = {"format": 1, "step": step, "files": files, "meta": dict(meta)}
            state[CHECKSUM] = _checksum(state)
            write_text(temporary / STATE, json.dumps(state, indent=1, allow_nan=False) + "\n")
            flush_directory(temporary)
        prune_checkpoints(root, newest=step, keep=keep, spare=spare)
    return path


def prune_checkpoints(root: Path, newest: int, keep: int, spare: Path | None = None) -> None:
    """Removes all but the `keep` newest checkpoints and `spare`.

    Directories of later steps, which a fall back to an older checkpoint leaves, are not this run's to remove.
    """
    done = [path for path in checkpoint_directories(root) if checkpoint_step(path) <= newest]
    for path in done[: -max(keep, 1)]:
        if path != spare:
            remove_directory(path)


def checkpoint_directories(root: Path | str) -> list[Path]:
    """All directories named as checkpoints under `root`, oldest first, valid or not."""
    root = Path(root)
    found = [p for p in root.iterdir() if _NAME.fullmatch(p.name) and p.is_dir()] if root.is_dir() else []
    return sorted(found, key=checkpoint_step)


def latest_checkpoint(root: Path | str) -> Path | None:
    """The newest complete checkpoint under `root`: its state.json parses and every file has the size listed there.

    Examples:
        >>> import torch
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as root:
        ...     first = save_checkpoint(root, 100, {"model": {"weight": torch.zeros(2)}}, {}, keep=2)
        ...     second = save_checkpoint(root, 200, {"model": {"weight": torch.ones(2)}}, {}, keep=2)
        ...     latest_checkpoint(root) == second
        True
    """
    for path in reversed(checkpoint_directories(root)):
        try:
            files = _read_state(path)["files"]
            if all((path / name).stat().st_size == entry["bytes"] for name, entry in files.items()):
                return path
        except (OSError, ValueError):
            continue
    return None


def load_checkpoint(path: Path | str) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """The tensors (on the CPU) and meta that `save_checkpoint` was given.

    Raises CheckpointError that names the file which is missing, truncated or corrupt.

    Examples:
        >>> import torch
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as root:
        ...     path = save_checkpoint(root, 100, {"model": {"weight": torch.ones(2)}}, {"seed": 0}, keep=2)
        ...     load_checkpoint(path)
        ({'model': {'weight': tensor([1., 1.])}}, {'seed': 0})
    """
    path = Path(path)
    state = _read_state(path)
    tensors = {}
    for name, entry in state["files"].items():
        file = path / name
        try:
            size = file.stat().st_size
            if size != entry["bytes"]:
                raise CheckpointError(_broken(file, f"it has {size} bytes instead of {entry['bytes']}"))
            if _crc32(file) != entry["crc32"]:
                raise CheckpointError(_broken(file, "its checksum is wrong"))
            tensors[file.stem] = load_file(file)
        except CheckpointError:
            raise
        except (OSError, SafetensorError) as error:
            raise CheckpointError(_broken(file, str(error))) from error
    return tensors, state["meta"]


def read_meta(path: Path) -> dict[str, Any]:
    """The meta that `save_checkpoint` was given.  Raises CheckpointError where state.json cannot be read."""
    return _read_state(path)["meta"]


def _read_state(path: Path) -> dict[str, Any]:
    file = path / STATE
    try:
        state = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(_broken(file, str(error))) from error
    if not isinstance(state, dict) or not _well_formed(state):
        raise CheckpointError(_broken(file, "it is not the state of a checkpoint of format 1"))
    if CHECKSUM in state and state[CHECKSUM] != _checksum(state):
        raise CheckpointError(_broken(file, "its checksum is wrong"))
    return state


def _well_formed(state: dict[str, Any]) -> bool:
    files = state.get("files")
    return (
        state.get("format") == 1
        and isinstance(state.get("meta"), dict)
        and isinstance(files, dict)
        and all(isinstance(entry, dict) and {"bytes", "crc32"} <= entry.keys() for entry in files.values())
        and all(Path(name).name == name for name in files)  # a name with a path could point anywhere
    )


def _checksum(state: Mapping[str, Any]) -> int:
    content = {name: value for name, value in state.items() if name != CHECKSUM}
    return zlib.crc32(json.dumps(content, sort_keys=True).encode())


def _broken(file: Path, reason: str) -> str:
    reason = " ".join(reason.split())
    return (
        f"cannot read {file}: {reason}; remove the directory {file.parent} to go on from the checkpoint before it, "
        "or restore it from a copy"
    )


def checkpoint_name(step: int) -> str:
    """Of the directory of a checkpoint after `step` steps."""
    return f"step-{step:08d}"


def checkpoint_step(path: Path) -> int:
    """Steps done when the checkpoint was written.

    Examples:
        >>> checkpoint_step(Path("run/checkpoints/step-00000123"))
        123
    """
    return int(path.name.removeprefix("step-"))


def _crc32(file: Path) -> int:
    checksum = 0
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            checksum = zlib.crc32(block, checksum)
    return checksum
