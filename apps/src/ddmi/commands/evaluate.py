"""`ddmi evaluate`, and `ddmi table` of what it measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional

from ddmi.commands.line import PROGRAM, no_more, parse, say


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Print metrics; write RUN/metrics.json and RUN/evaluations/PROTOCOL.json.  Further options: `--help` after RUN."""

    run_dir: Annotated[Positional[Path], tyro.conf.arg(name="run")]
    """A run or a saved model."""
    protocol: str = "offline"
    """How published numbers were measured: fid-50k, kid, fvd, ...; an unknown name lists those that fit the run."""
    seed: int = 0
    """Of the samples."""
    data: str | None = None
    """Where the data are now, if not where the run was trained."""
    steps: int | None = None
    """Steps of the sampler; default the recipe's."""
    sampler: str | None = None
    """ddim, ddpm, dpm-solver++, unipc, or euler (flow); default the recipe's."""
    device: str = "cpu"
    """Where the model and the protocol's network compute, such as cuda."""
    keep_samples: bool = False
    """Keep RUN/generated for other protocols: those with the same seed, steps and batch measure the same samples."""

    def run(self, rest: Sequence[str]) -> None:
        from ddmi.evaluation import evaluate_run
        from ddmi.pipeline import DDMI
        from ddmi.processes import join_processes
        from ddmi.protocols import find_protocol

        join_processes(self.device)
        model = DDMI.from_pretrained(self.run_dir, device=self.device)
        modality = model.experiment.modality
        protocol = find_protocol(modality, self.protocol)
        settings = parse(type(protocol.settings), protocol.settings, rest, f"{PROGRAM} evaluate RUN")
        modality = replace(modality, source=self.data) if self.data else modality
        metrics = evaluate_run(
            model, modality, self.run_dir, self.protocol, protocol, settings,
            seed=self.seed, steps=self.steps, sampler=self.sampler, keep_samples=self.keep_samples,
            note=say,
        )  # fmt: skip
        if not metrics:  # the main process has them
            return
        width = max(map(len, metrics))
        for name, value in sorted(metrics.items()):
            print(f"{name:{width}}  {value:10.4g}")


@dataclass(frozen=True, kw_only=True)
class Table:
    """Print the evaluations of runs as Markdown, beside the paper's numbers."""

    runs: Positional[tuple[Path, ...]] = ()
    """Runs that `ddmi evaluate` has measured."""
    paper: str | None = None
    """The data set of the paper to compare with, such as afhqv2-cat; default those of the runs' recipes."""

    def run(self, rest: Sequence[str]) -> None:
        from ddmi.table import markdown_table

        no_more(rest)
        if not self.runs:
            raise ValueError("table: name at least one run")
        print(markdown_table(self.runs, self.paper), end="")
