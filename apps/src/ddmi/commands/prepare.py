"""`ddmi prepare`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from tyro.conf import Positional

from ddmi.commands.line import PROGRAM, parse, say


@dataclass(frozen=True, kw_only=True)
class Prepare:
    """Bring data into a form that trains fast, with a manifest: `ddmi prepare RECIPE SOURCE --out DIR`.

    Further options are the recipe's (`--help` at the end of such a line), and those of `ddmi train` about data
    (`--modality.NAME`).
    """

    recipe: Positional[str]
    """Its name, see `ddmi recipes`."""
    source: Positional[Path]
    """The user's data, as docs/data describes them; they are only read."""
    out: Path
    """Folder to write to; of a run that was stopped, what is done is kept."""
    preset: str = "ours"
    """For whose sizes, where the options do not say."""
    workers: int | None = None
    """Processes; default one for each core."""

    def run(self, rest: Sequence[str]) -> None:
        from ddmi.experiment import Experiment
        from ddmi.recipes import RECIPES, make_experiment
        from ddmi_modalities.manifest import describe_manifest
        from ddmi_modalities.preparation import Preparable, prepare

        if self.recipe in RECIPES and not RECIPES[self.recipe].needs_data:
            raise ValueError(f"recipe {self.recipe!r} makes its own data: `{PROGRAM} train {self.recipe}`")
        experiment = make_experiment(self.recipe, self.preset, str(self.source))
        modality: Any = experiment.modality
        if not isinstance(modality, Preparable):
            raise ValueError(f"data are read as they are: `{PROGRAM} train {self.recipe} --data {self.source}`")
        program = f"{PROGRAM} prepare {self.recipe}"
        settings, rest = tyro.cli(
            modality.Preparation,
            default=modality.Preparation(),
            args=list(rest),
            prog=program,
            return_unknown_args=True,
        )
        experiment = parse(Experiment, experiment, rest, program)
        plan = settings.plan(experiment.modality)
        done = prepare(plan, self.out, recipe=self.recipe, workers=self.workers, note=say)
        say(f"wrote {len(done.made)} {plan.what} to {self.out}, kept {len(done.kept)}")
        say(describe_manifest(self.out) or "")
        train = f"{PROGRAM} train {self.recipe} --data {shlex.quote(str(self.out))} {plan.options}".rstrip()
        say(f"train on them with `{train}`")
