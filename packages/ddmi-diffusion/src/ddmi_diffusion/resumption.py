"""Where a run starts, and what the user should know about it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ddmi_diffusion.checkpoint import STATE, CheckpointError, checkpoint_directories, latest_checkpoint
from ddmi_diffusion.trainer_config import TrainerConfig

CHECKPOINTS = "checkpoints"
"""Directory of a run that holds its checkpoints."""

# What may change between a run and its resumption without changing the weights.
_INCIDENTAL = {
    "save_every",
    "keep",
    "log_every",
    "preview_every",
    "num_workers",
    "tracker",
    "validate_every",
    "patience",
    "non_finite_steps",
    "gradient_checkpointing",
}


def starting_point(run_dir: Path, resume: bool) -> tuple[Path | None, list[str]]:
    """The checkpoint to start from (None: at step 0) and lines for the user.

    Raises ValueError without `resume` where there are checkpoints, CheckpointError with it where all are broken.
    """
    root = run_dir / CHECKPOINTS
    present = checkpoint_directories(root)
    if not resume:
        if present:
            raise ValueError(
                f"{run_dir} already has checkpoints, up to {present[-1].name}; go on with --resume, or choose another "
                "directory with --run"
            )
        return None, []
    path = latest_checkpoint(root)
    if path is not None:
        broken = [p for p in present if p.name > path.name]
        return path, [f"{p} is incomplete and left out" for p in broken] + [f"resuming from {path}"]
    if present:
        raise CheckpointError(
            f"none of the {len(present)} checkpoint(s) under {root} is complete: restore one from a copy, or remove "
            f"{root} to train this stage from its beginning"
        )
    return None, [f"{run_dir} has no checkpoint yet: starting at step 0"]


def check_memory(path: Path, meta: Mapping[str, Any]) -> None:
    """CheckpointError where what a checkpoint remembers of its run is of other types than it was written with."""
    types = {"step": int, "metrics": dict, "precision": str, "run": dict, "first_loss": int | float | None}
    for name, wanted in types.items():
        value: Any = meta.get(name)
        if not isinstance(value, wanted) or isinstance(value, bool) or (isinstance(value, int) and value < 0):
            raise CheckpointError(
                f"resuming from {path}: its {STATE} says that {name} is {str(value)[:60]!r}; remove that directory to "
                "go on from the checkpoint before it, or restore it from a copy"
            )


def describe_run(config: TrainerConfig, processes: int) -> dict[str, Any]:
    """What a checkpoint remembers of the run that wrote it, as JSON has it."""
    return json.loads(json.dumps({**dataclasses.asdict(config), "processes": processes}))


def note_changes(before: Mapping[str, Any], now: Mapping[str, Any], precision: str) -> list[str]:
    """A line for the user if settings that affect the weights have changed. `precision` is the one the run used."""
    before = {**before, "precision": precision}
    if now["precision"] == "auto":  # stays with what was measured
        now = {**now, "precision": precision}
    changed = [
        f"{name} {before.get(name)} -> {value}"
        for name, value in now.items()
        if name not in _INCIDENTAL and before.get(name) != value
    ]
    if not changed:
        return []
    return [f"changed since the checkpoint, so it goes on as another run would: {', '.join(changed)}"]
