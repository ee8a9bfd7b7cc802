"""`ddmi prepare`."""

from __future__ import annotations

import logging
import pkgutil
import shlex
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from ddmi.commands.line import PROGRAM, parse_some
from ddmi.commands.settings import changed_experiment, named_experiment

logger = logging.getLogger("ddmi")


@dataclass(frozen=True, kw_only=True)
class Prepare:
    """Bring data into a form that trains fast, with a manifest: `ddmi prepare RECIPE [SOURCE] --out DIR`.

    Further options are the recipe's (`--help` at the end of such a line), and those of `ddmi train` about data
    (`--modality.NAME`).
    """

    recipe: Positional[str]
    """Its name, see `ddmi recipes`."""
    source: Positional[Path | None] = None
    """The user's data, as docs/data describes them; they are only read.  Recipes whose data are in a package of Debian
    fetch it where none are named."""
    out: Path
    """Folder to write to; of a run that was stopped, what is done is kept."""
    preset: str = "recommended"
    """For whose sizes, where the options do not say."""
    workers: int | None = None
    """Processes; default one for each core."""

    def run(self, rest: Sequence[str]) -> None:
        from ddmi.registry import recipes, spec_of
        from ddmi_modalities.datasets.manifest import describe_manifest
        from ddmi_modalities.datasets.preparation import Fetching, prepare
        from ddmi_modalities.modality import with_source

        known = recipes().get(self.recipe)
        if known is not None and not known.needs_data:
            raise ValueError(f"recipe {self.recipe!r} makes its own data: `{PROGRAM} train {self.recipe}`")
        experiment = named_experiment(self.recipe, self.preset, str(self.source or ""), None)
        own = None if known is None else known.preparation
        preparation = pkgutil.resolve_name(own) if own else spec_of(experiment.modality).preparation_class()
        if preparation is None:
            raise ValueError(f"data are read as they are: `{PROGRAM} train {self.recipe} --data {self.source}`")
        command = f"prepare {self.recipe}"
        settings, rest = parse_some(preparation(), rest, f"{PROGRAM} {command}")
        modality = changed_experiment(experiment, (), rest, command).modality
        with tempfile.TemporaryDirectory() as folder:
            if self.source is None:
                if not isinstance(settings, Fetching):
                    raise ValueError(f"prepare: name the data: `{PROGRAM} {command} SOURCE --out {self.out}`")
                modality = with_source(modality, str(settings.fetch(Path(folder))))
            plan = settings.plan(modality)
            done = prepare(plan, self.out, recipe=self.recipe, workers=self.workers)
        logger.info("wrote %d %s to %s, kept %d", len(done.made), plan.what, self.out, len(done.kept))
        logger.info("%s", describe_manifest(self.out) or "")
        train = f"{PROGRAM} train {self.recipe} --data {shlex.quote(str(self.out))} {plan.options}".rstrip()
        logger.info("train on them with `%s`", train)
