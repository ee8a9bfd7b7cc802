"""`ddmi ablate`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, make_dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import Positional, UseAppendAction

from ddmi.commands.line import PROGRAM, parse
from ddmi.commands.settings import named_experiment, with_new_paths, with_setting

logger = logging.getLogger("ddmi")


@dataclass(frozen=True, kw_only=True)
class Ablate:
    """Train a recipe, what it is without its parts, and alternatives to it; print a table.

    Further options are those of `ddmi train RECIPE`, and `--evaluation.NAME`.
    """

    recipe: Positional[str]
    """Its name, see `ddmi recipes`."""
    preset: str = "demo"
    """As of `ddmi train`."""
    set: UseAppendAction[tuple[str, ...]] = ()
    """As of `ddmi train`."""
    out: Path | None = None
    """Directory of all runs; default runs/RECIPE-PRESET-ablation.  What is there already is not trained again."""
    variants: tuple[str, ...] = ("pe", "pe-hdbf", "pe-hdbf-cfc", "weights", "pixels")
    """One basis field; three at the input; coarse to fine, which is the recipe; generated weights; pixels."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of weights, data order and noise.  Processes may share OUT, each with seeds of its own."""
    data: str | None = None
    """Where the data are, for recipes that read them from a folder."""
    device: str = "auto"
    """Where the runs are measured: cuda, mps or cpu; auto: the first of them that is there."""

    def run(self, rest: Sequence[str]) -> None:
        from ddmi.ablation.run import Ablation, ablate
        from ddmi.evaluation.run import find_protocol
        from ddmi.experiment.config import Experiment
        from ddmi.machine.processes import find_device
        from ddmi_modalities.spec import OFFLINE

        experiment = named_experiment(self.recipe, self.preset, self.data, None)
        for setting in self.set:
            experiment = with_setting(experiment, setting)
        evaluation = find_protocol(experiment.modality, OFFLINE).settings
        # `--vae-training.steps` as in `ddmi train`, `--evaluation.count` as the options of `ddmi evaluate`
        settings = make_dataclass(
            "Settings",
            [("experiment", Annotated[Experiment, tyro.conf.arg(name="")]), ("evaluation", type(evaluation))],
            frozen=True,
        )
        line = with_new_paths(experiment, rest)
        chosen: Any = parse(settings(experiment, evaluation), line, f"{PROGRAM} ablate {self.recipe}")
        ablation = Ablation(
            experiment=chosen.experiment, evaluation=chosen.evaluation, variants=self.variants, seeds=self.seeds
        )
        out = self.out or Path("runs") / f"{self.recipe}-{self.preset}-ablation"
        written = ablate(ablation, out, find_device(self.device))
        print(written[0].read_text(), end="")
        for path in written:
            logger.info("wrote %s", path)
