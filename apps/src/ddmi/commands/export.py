"""`ddmi export`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional

from ddmi.commands.line import no_more

logger = logging.getLogger("ddmi")


@dataclass(frozen=True, kw_only=True)
class Export:
    """Write a model to hand on: weights, configuration and a card that says whose data and licence; no checkpoints."""

    run_dir: Annotated[Positional[Path], tyro.conf.arg(name="run")]
    """A run or a saved model."""
    out: Path
    """Directory to write to; its name is the model's."""
    precision: Literal["full", "half", "int8"] = "full"
    """Of the weights in files: "half" is half the size, "int8" a quarter, but for the autoencoder; what computes is of
    full precision as ever."""
    mean_flow: bool = False
    """The mean flow alone, in the place of the denoiser and its guide: samples in few steps, and half the size."""
    push: str | None = None
    """OWNER/NAME: also make it that repository on the Hugging Face hub, a public one where it is new."""

    def run(self, rest: Sequence[str]) -> None:
        from ddmi.evaluation.run import measured_figures
        from ddmi.model_card import model_card
        from ddmi.model_directory import check_repository, upload
        from ddmi.pipeline import DDMI
        from ddmi_diffusion import atomic_write_text

        no_more(rest)
        if self.push is not None:
            check_repository(self.push)
        if self.out.exists() and (not self.out.is_dir() or any(self.out.iterdir())):
            raise ValueError(f"--out {self.out} is a file, or not empty; name a new directory")
        model = DDMI.from_pretrained(self.run_dir)
        figures = {} if self.mean_flow else measured_figures(self.run_dir)
        if self.mean_flow:
            model = model.of_few_steps()
        model.save_pretrained(self.out, precision=self.precision)
        name, source = self.out.resolve().name, None
        if self.push is not None:
            name, source = self.push.rpartition("/")[2], f"hf:{self.push}"
        card = model_card(
            model.experiment, name, figures, source=source, precision=self.precision, attribution=model.attribution
        )
        atomic_write_text(self.out / "README.md", card)
        size = sum(path.stat().st_size for path in self.out.iterdir())
        logger.info("wrote %s, %.1f MB: `ddmi sample %s`", self.out, size / 1e6, self.out)
        if self.push is not None:
            upload(self.out, self.push)
