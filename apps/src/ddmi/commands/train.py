"""`ddmi train`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional

from ddmi.commands.line import PROGRAM, parse, say


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train a recipe, both stages or one.  Further options change single settings (`--help` after RECIPE)."""

    recipe: Positional[str]
    """Its name, see `ddmi recipes`."""
    preset: str = "demo"
    """test (seconds), demo (minutes on a laptop), small (one consumer GPU), ours (our best), paper; if it has it."""
    run_dir: Annotated[Path | None, tyro.conf.arg(name="run")] = None
    """Directory of the run; default runs/RECIPE-PRESET."""
    data: str | None = None
    """Where the data are, for recipes that read them from a folder."""
    text_weights: str | None = None
    """For recipes with text: a pretrained tower, ARCHITECTURE:TAG, hf-hub:OWNER/NAME or a folder; it stays frozen."""
    resume: bool = False
    """Go on where the run was stopped."""
    stage: Literal["vae", "vae-gan", "diffusion", "all"] = "all"
    """Which stage to train."""
    vae: Path | None = None
    """Take the autoencoder of this run, of the same architecture, instead of training stage 1."""
    dry_run: bool = False
    """Check the data, measure one step of each stage, say what training needs, and stop without writing a run."""

    def run(self, rest: Sequence[str]) -> None:
        from ddmi.experiment import Experiment
        from ddmi.pipeline import VAE
        from ddmi.recipes import make_experiment, with_text_weights
        from ddmi.stages import start_run

        directory = self.run_dir or Path("runs") / f"{self.recipe}-{self.preset}"
        data = "PATH" if self.data is None and "--help" in rest else self.data  # help is had without data
        experiment = make_experiment(self.recipe, self.preset, data)
        if self.text_weights is not None:
            experiment = with_text_weights(experiment, self.text_weights)
        experiment = parse(Experiment, experiment, rest, f"{PROGRAM} train {self.recipe}")
        stages = ("vae", *(["vae-gan"] if experiment.gan else []), "diffusion")
        chosen = stages if self.stage == "all" else (self.stage,)
        chosen = chosen if self.vae is None else ("diffusion",)
        if self.dry_run:
            from ddmi.dry_run import dry_run

            return dry_run(experiment, chosen, print)
        run = start_run(experiment, directory, fresh=not self.resume and self.stage in ("all", "vae"), say=say)
        if self.vae is not None and not (self.resume and (directory / VAE).exists()):
            run.take_vae(self.vae)
        run.train(chosen, self.resume)
