"""`ddmi analyze`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional

from ddmi.commands.line import PROGRAM, own_directory, parse

logger = logging.getLogger("ddmi")


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
    device: str = "auto"
    """Where the model computes: cuda, mps or cpu; auto: the first of them that is there."""

    def run(self, rest: Sequence[str]) -> None:
        from ddmi.analysis import Analysis, analyze_run
        from ddmi.machine.processes import find_device
        from ddmi.pipeline import DDMI
        from ddmi_modalities.modality import with_source

        settings = parse(Analysis(), rest, f"{PROGRAM} analyze RUN")
        model = DDMI.from_pretrained(self.run_dir, device=find_device(self.device))
        modality = model.experiment.modality
        if self.data:
            modality = with_source(modality, self.data)
        out = self.out or own_directory(self.run_dir) / "analysis"
        for path in analyze_run(model, modality, out, settings, seed=self.seed):
            logger.info("wrote %s", path)
