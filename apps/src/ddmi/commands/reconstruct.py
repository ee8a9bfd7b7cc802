"""`ddmi reconstruct`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional

from ddmi.commands.line import open_run

logger = logging.getLogger("ddmi")


@dataclass(frozen=True, kw_only=True)
class Reconstruct:
    """Encode files and render the functions at any resolution."""

    run_dir: Annotated[Positional[Path], tyro.conf.arg(name="run")]
    """A run or a saved model."""
    files: Positional[tuple[Path, ...]]
    """What the run's modality reads, such as images."""
    out: Path = Path("reconstructions")
    """Directory to write to."""
    device: str = "auto"
    """Where the model computes: cuda, mps or cpu; auto: the first of them that is there."""

    def run(self, rest: Sequence[str]) -> None:
        model, options = open_run(self.run_dir, rest, "reconstruct", self.device)
        if not self.files:
            raise ValueError("reconstruct: name at least one file")
        modality = model.experiment.modality
        inputs = [modality.read(file) for file in self.files]  # all are read before anything is written
        for i, (file, one) in enumerate(zip(self.files, inputs, strict=True)):
            (path,) = modality.render(model.reconstruct(one), modality.options_of(file, options)).save(self.out, i)
            logger.info("%s -> %s", file, path)
