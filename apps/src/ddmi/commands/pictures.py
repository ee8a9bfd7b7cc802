"""`ddmi report` and `ddmi analyze`: pictures of what a run has learnt, and of how it works."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional

from ddmi.commands.line import PROGRAM, no_more, parse, say


@dataclass(frozen=True, kw_only=True)
class Report:
    """Draw the pictures that show what a run has learnt."""

    run_dir: Annotated[Positional[Path], tyro.conf.arg(name="run")]
    """A run or a saved model."""
    out: Path | None = None
    """Directory to write to; default RUN/report."""
    seed: int = 0
    """Of the samples."""

    def run(self, rest: Sequence[str]) -> None:
        from ddmi.pipeline import DDMI

        no_more(rest)
        model = DDMI.from_pretrained(self.run_dir)
        out = self.out or self.run_dir / "report"
        say("pictures:")
        for path in model.experiment.modality.report(model, out, seed=self.seed, note=say):
            say(f"  {path}")


@dataclass(frozen=True, kw_only=True)
class Analyze:
    """Draw how a run works: spectra, read-outs without a scale, interpolations, nearest training items."""

    run_dir: Annotated[Positional[Path], tyro.conf.arg(name="run")]
    """A run or a saved model."""
    out: Path | None = None
    """Directory to write to; default RUN/analysis."""
    seed: int = 0
    """Of the samples."""
    data: str | None = None
    """Where the data are now, if not where the run was trained."""

    def run(self, rest: Sequence[str]) -> None:
        from ddmi.analysis import Analysis, analyze_run
        from ddmi.pipeline import DDMI

        model = DDMI.from_pretrained(self.run_dir)
        settings = parse(Analysis, Analysis(), rest, f"{PROGRAM} analyze RUN")
        modality = model.experiment.modality
        if self.data:
            modality = replace(modality, source=self.data)
        out = self.out or self.run_dir / "analysis"
        for path in analyze_run(model, modality, out, settings, seed=self.seed, note=say):
            say(f"wrote {path}")
