"""What a run reports while it trains: metrics.jsonl, its tracker, progress."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

from ddmi_diffusion.atomic_files import atomic_write_text, explain_write
from ddmi_diffusion.progress import Progress
from ddmi_diffusion.trackers import Tracking

METRICS = "metrics.jsonl"


class RunLog:
    """Appends one JSON object a line to `directory`/metrics.jsonl, tells a tracker, and shows `Progress`.

    Keys of a line: "step" (counted from 0), "lr", "grad_norm", "seconds" (per step) and the objective's scalars;
    in the lines of steps after which held-out items were measured also theirs, as "held_out/...".
    Numbers that JSON does not have (infinities, not-a-number) are written as null.
    """

    def __init__(
        self, directory: Path | str, resume_step: int = 0, *, total: int | None = None, tracking: Tracking | None = None
    ) -> None:
        """Drops the lines of steps >= `resume_step`: these steps are about to be done again."""
        self.path = Path(directory) / METRICS
        _drop_from(self.path, resume_step)
        with explain_write(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a", encoding="utf-8")
        self._held_out: dict[str, str] = {}
        self._tracking = tracking
        self._bar = Progress(total=total, initial=resume_step, unit="steps", desc=f"stage {Path(directory).name}")

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Log the values of step number `step`."""
        finite = {k: v if math.isfinite(v) else None for k, v in values.items()}
        with explain_write(self.path):
            self._file.write(json.dumps({"step": step, **finite}) + "\n")
            self._file.flush()
        if self._tracking is not None:
            self._tracking.log(step, values)
        losses = {k: f"{v:.4g}" for k, v in values.items() if k not in ("lr", "grad_norm", "seconds")}
        held_out = {key: losses.pop(key) for key in list(losses) if key.startswith("held_out/")}
        shown = next((key for key in ("held_out/nll", "held_out/loss") if key in held_out), None)
        if shown is not None:
            self._held_out = {shown: held_out[shown]}  # stays until the next one
        self._bar.set_postfix({**losses, **self._held_out}, refresh=False)

    def advance(self) -> None:
        """Move the progress bar on by one step."""
        self._bar.update()

    def close(self) -> None:
        """Close the file, the bar and the tracker."""
        self._file.close()
        self._bar.close()
        if self._tracking is not None:
            self._tracking.close()


def _drop_from(path: Path, step: int) -> None:
    """A line that a killed process left half written goes as well."""
    if not path.exists():
        return
    text = path.read_text(encoding="utf-8", errors="replace")
    kept = "".join(line + "\n" for line in text.splitlines() if _step_of(line) < step)
    if kept != text:
        atomic_write_text(path, kept)


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf
