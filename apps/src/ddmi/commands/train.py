"""`ddmi train`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional, UseAppendAction

from ddmi.commands.settings import changed_experiment, named_experiment, with_text_weights


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train a recipe, both stages or one.  Further options change single settings (`--help` after RECIPE)."""

    recipe: Positional[str | None] = None
    """Its name, see `ddmi recipes`; none with --config."""
    preset: str | None = None
    """test (seconds), demo (minutes on a laptop, the default), small (one consumer GPU), recommended (our best), or
    paper, where the recipe has it."""
    config: Path | None = None
    """Start from a saved config.json instead of a recipe."""
    set: UseAppendAction[tuple[str, ...]] = ()
    """PATH=VALUE, once for each: another network or loss, or none, such as diffusion.denoiser=dit, vae.read_out=concat,
    losses.perceptual=none.  They come before the further options."""
    print_config: bool = False
    """Print the settings as config.json has them, and stop."""
    run_dir: Annotated[Path | None, tyro.conf.arg(name="run")] = None
    """Directory of the run; default runs/RECIPE-PRESET."""
    data: str | None = None
    """Where the data are, for recipes that read them from a folder."""
    text_weights: str | None = None
    """For recipes with text: a pretrained tower, ARCHITECTURE:TAG, hf-hub:OWNER/NAME or a folder; it stays frozen."""
    resume: bool = False
    """Go on where the run was stopped."""
    stage: Literal["vae", "vae-gan", "diffusion", "mean-flow", "all"] = "all"
    """Which stage to train; all: both, and vae-gan where the recipe has a discriminator.  mean-flow goes on from the
    second one, for samples in few steps."""
    vae: Path | None = None
    """Take the autoencoder of this run, of the same architecture, instead of training stage 1."""
    dry_run: bool = False
    """Check the data, measure one step of each stage, say what training needs, and stop without writing a run."""

    def run(self, rest: Sequence[str]) -> None:
        from ddmi.serialization import experiment_text

        if (self.recipe is None) == (self.config is None):
            raise ValueError("train: name a recipe (`ddmi recipes` lists them), or give --config FILE")
        if self.config is not None and self.preset is not None:
            raise ValueError("train: --preset chooses among the settings of a recipe; --config has its own")
        no_data_yet = self.print_config or "--help" in rest
        data = "PATH" if self.data is None and self.config is None and no_data_yet and self._needs_data() else self.data
        experiment = named_experiment(self.recipe or "", self.preset or "demo", data, self.config)
        if self.text_weights is not None:
            experiment = with_text_weights(experiment, self.text_weights)
        experiment = changed_experiment(experiment, self.set, rest, f"train {self.recipe or ''}".rstrip())
        directory = self.run_dir or Path("runs") / f"{experiment.recipe}-{experiment.preset}"
        if experiment.init is not None:
            from ddmi.training.initialisation import with_origin

            experiment = with_origin(experiment, directory if self.resume else None)
        if self.print_config:
            print(experiment_text(experiment), end="")
            return
        stages = ("vae", *(["vae-gan"] if experiment.losses.discriminator else []), "diffusion")
        chosen = stages if self.stage == "all" else (self.stage,)
        chosen = chosen if self.vae is None else ("diffusion",)
        if self.dry_run:
            from ddmi.training.dry_run import dry_run

            return dry_run(experiment, chosen)
        from ddmi.pipeline import VAE
        from ddmi.training.run import start_run

        with start_run(experiment, directory, fresh=not self.resume and self.stage in ("all", "vae")) as run:
            if self.vae is not None and not (self.resume and (directory / VAE).exists()):
                run.take_vae(self.vae)
            run.train(chosen, self.resume)

    def _needs_data(self) -> bool:
        from ddmi.registry import recipes

        found = recipes().get(self.recipe or "")
        return found is not None and found.needs_data
