"""`ddmi ablate`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, make_dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import Positional

from ddmi.commands.line import PROGRAM, parse, say


@dataclass(frozen=True, kw_only=True)
class Ablate:
    """Train a recipe, what it is without its parts, and alternatives to it; print a table.

    Further options are those of `ddmi train RECIPE`, and `--evaluation.NAME`.
    """

    recipe: Positional[str]
    """Its name, see `ddmi recipes`."""
    preset: str = "demo"
    """As of `ddmi train`."""
    out: Path | None = None
    """Directory of all runs; default runs/RECIPE-PRESET-ablation.  What is there already is not trained again."""
    variants: tuple[str, ...] = ("pe", "pe-hdbf", "pe-hdbf-cfc", "weights", "pixels")
    """One basis field; three at the input; coarse to fine, which is the recipe; generated weights; pixels."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of weights, data order and noise.  Processes may share OUT, each with seeds of its own."""
    data: str | None = None
    """Where the data are, for recipes that read them from a folder."""

    def run(self, rest: Sequence[str]) -> None:
        from ddmi.ablation.run import Ablation, ablate
        from ddmi.experiment import Experiment
        from ddmi.recipes import make_experiment

        experiment = make_experiment(self.recipe, self.preset, self.data)
        evaluation: Any = experiment.modality.Evaluation()
        # `--vae-training.steps` as in `ddmi train`, `--evaluation.count` as the options of `ddmi evaluate`
        settings = make_dataclass(
            "Settings",
            [("experiment", Annotated[Experiment, tyro.conf.arg(name="")]), ("evaluation", type(evaluation))],
            frozen=True,
        )
        chosen = parse(settings, settings(experiment, evaluation), rest, f"{PROGRAM} ablate {self.recipe}")
        ablation = Ablation(
            experiment=chosen.experiment, evaluation=chosen.evaluation, variants=self.variants, seeds=self.seeds
        )
        out = self.out or Path("runs") / f"{self.recipe}-{self.preset}-ablation"
        written = ablate(ablation, out, say)
        print(written[0].read_text(), end="")
        for path in written:
            say(f"wrote {path}")
