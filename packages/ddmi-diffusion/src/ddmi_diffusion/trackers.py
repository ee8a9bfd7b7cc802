"""Experiment trackers that are told of a run, through Accelerate: TensorBoard, W&B, Trackio, MLflow."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

import accelerate.tracking
from accelerate import Accelerator

from ddmi_diffusion.atomic_files import atomic_write_text

TrackerName = Literal["auto", "tensorboard", "wandb", "trackio", "mlflow", "none"]
"""Of Accelerate; "auto" is TensorBoard where it is installed."""
PROJECT = "ddmi"
"""Of W&B and Trackio, and the experiment of MLflow."""
IDENTITY = "tracker.json"
"""File of a run that holds the tracker's own name of it, by which it is gone on with."""

logger = logging.getLogger("ddmi")


def log_with(name: TrackerName) -> str | None:
    """What Accelerator is to log with.  ValueError for a tracker that is asked for and not installed."""
    wanted = {"auto": "tensorboard", "none": None}.get(name, name)
    if wanted is None or wanted in map(str, accelerate.tracking.get_available_trackers()):
        return wanted
    if name == "auto":
        return None
    raise ValueError(f"tracker {name!r} is not installed: pip install {name}, or choose tracker='none'")


class Tracking:
    """A run's tracker, in the main process.  Resumed, it goes on with what it had begun.

    What it raises while it is told something ends the tracking, with a warning, and not the training.
    """

    def __init__(self, accelerator: Accelerator, run_dir: Path, resume_step: int) -> None:
        """ValueError where it does not start."""
        self._accelerator = accelerator
        self._silent = not accelerator.log_with
        if self._silent:
            return
        (name,) = map(str, accelerator.log_with)
        project, place = PROJECT, f"{run_dir.resolve().parent.name}/{run_dir.name}"
        known, begun = _identity(run_dir) if resume_step else None, "allow" if resume_step else "never"
        if name == "tensorboard":
            project = name  # the folder within the run
        options = {
            "tensorboard": {"purge_step": resume_step},
            "wandb": {"name": place, "dir": str(run_dir), **({"id": known, "resume": "allow"} if known else {})},
            "trackio": {"name": place, "resume": begun},
            "mlflow": {"run_name": place, "run_id": known},
        }
        try:
            accelerator.init_trackers(project, init_kwargs=options)
        except Exception as error:  # of any tracker's own kind
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise ValueError(
                f"tracker {name!r} does not start ({reason}); see to its login and its server, or choose tracker='none'"
            ) from error
        run = accelerator.get_tracker(name, unwrap=True)
        given = getattr(run, "id", None) or getattr(getattr(run, "info", None), "run_id", None)
        if given is not None:
            atomic_write_text(run_dir / IDENTITY, json.dumps({"id": str(given)}) + "\n")

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Tells the values of step number `step`."""
        if self._silent:
            return
        try:
            self._accelerator.log(dict(values), step=step)
        except Exception as error:
            self._silent = True
            logger.warning("the tracker is told nothing more (%s: %s)", type(error).__name__, error)

    def close(self) -> None:
        """Ends it; the accelerator can begin another."""
        for tracker in self._accelerator.trackers:
            with suppress(Exception):
                tracker.finish()
        self._accelerator.trackers = []


def _identity(run_dir: Path) -> str | None:
    with suppress(OSError, ValueError, KeyError, TypeError):
        return str(json.loads((run_dir / IDENTITY).read_text(encoding="utf-8"))["id"])
    return None
