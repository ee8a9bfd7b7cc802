"""`ddmi report`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional

from ddmi.commands.line import no_more, own_directory

logger = logging.getLogger("ddmi")


@dataclass(frozen=True, kw_only=True)
class Report:
    """Draw the pictures that show what a run has learnt."""

    run_dir: Annotated[Positional[Path], tyro.conf.arg(name="run")]
    """A run or a saved model."""
    out: Path | None = None
    """Directory to write to; default RUN/report."""
    seed: int = 0
    """Of the samples."""
    data: str | None = None
    """Where the data are now, if not where the run was trained."""
    device: str = "auto"
    """Where the model computes: cuda, mps or cpu; auto: the first of them that is there."""

    def run(self, rest: Sequence[str]) -> None:
        from ddmi.machine.processes import find_device
        from ddmi.pipeline import DDMI
        from ddmi.registry import spec_of
        from ddmi_modalities.files.album import Album
        from ddmi_modalities.modality import with_source

        no_more(rest)
        model = DDMI.from_pretrained(self.run_dir, device=find_device(self.device))
        modality = model.experiment.modality
        report = spec_of(modality).report_function()
        album = Album(self.out or own_directory(self.run_dir) / "report")
        report(with_source(modality, self.data) if self.data else modality, model, album, self.seed)
        for path in album.paths:
            logger.info("wrote %s", path)
