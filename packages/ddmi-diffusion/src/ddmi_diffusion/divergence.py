"""Trainings that explode: what of them may be saved, and where one can go on from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ddmi_diffusion.atomic_files import CheckpointError, atomic_write_text, remove_directory
from ddmi_diffusion.checkpoint import checkpoint_directories, read_meta

EXPLODED = "exploded"
"""A file in a checkpoint whose weights gave an exploded loss at the next step."""
MARK = "diverged"
"""A file of a run that stopped at a number that is not finite, until it is gone on with."""


class NonFiniteLossError(RuntimeError):
    """A loss, gradient or weight became infinite or not-a-number. The state before it is kept."""


def exploded(loss: float, first: float) -> bool:
    """Whether a loss tells that the weights are of no use: far above that of the first step, or not finite."""
    return not loss <= first + 2 * abs(first)


def check_finite(groups: Mapping[str, Mapping[str, Tensor]], doing: str) -> None:
    """NonFiniteLossError that names the first tensor with a number that is NaN or infinite."""
    for group, tensors in groups.items():
        for name, tensor in tensors.items():
            if not torch.isfinite(tensor).all():
                raise NonFiniteLossError(f"{doing}: {group} has numbers that are NaN or infinite in {name!r}")


def is_sound(path: Path) -> bool:
    """Whether a checkpoint is complete and was written before its training exploded.

    The loss that it holds is that of the weights before the last step; what those after it gave, `EXPLODED` says.
    """
    try:
        if (path / EXPLODED).exists():
            return False
        meta: dict[str, Any] = read_meta(path)
        loss, first = meta.get("loss", 0.0), meta.get("first_loss", 0.0)
        return loss is not None and first is not None and not exploded(float(loss), float(first))
    except (CheckpointError, TypeError, ValueError):
        return False


def last_sound(root: Path) -> Path | None:
    """The newest checkpoint that a training may go on from; None where there is none."""
    return next((path for path in reversed(checkpoint_directories(root)) if is_sound(path)), None)


def mark_exploded(path: Path) -> None:
    """The weights of this checkpoint gave an exploded loss."""
    (path / EXPLODED).touch()


def mark_diverged(run_dir: Path, message: str) -> None:
    """Remembers that the run stopped so."""
    atomic_write_text(run_dir / MARK, message + "\n")


def back_before_divergence(run_dir: Path, root: Path) -> list[str]:
    """Of a run that stopped so, removes the checkpoints after the explosion; returns lines for the user.

    Raises CheckpointError where all are of after it.
    """
    if not (run_dir / MARK).exists():
        return []
    sound = last_sound(root)
    later = [path for path in checkpoint_directories(root) if sound is None or path.name > sound.name]
    if sound is None and later:
        raise CheckpointError(
            f"{run_dir}: the training had exploded before its first checkpoint, and there is nothing to go on from; "
            "train in another directory, with a lower learning rate"
        )
    for path in later:
        remove_directory(path)
    (run_dir / MARK).unlink()
    return [f"{path.name} had exploded and was removed" for path in later]


def finite_or_none(value: float) -> float | None:
    """As JSON can say it."""
    return value if math.isfinite(value) else None
