"""`ddmi evaluate`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import tyro
from tyro.conf import Positional

from ddmi.commands.line import PROGRAM, own_directory, parse, with_new_names


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Print metrics; write RUN/metrics.json and RUN/evaluations/PROTOCOL.json.  Further options: `--help` after RUN."""

    RENAMED: ClassVar[dict[str, str]] = {"steps": "num-steps"}

    run_dir: Annotated[Positional[Path], tyro.conf.arg(name="run")]
    """A run or a saved model."""
    protocol: str = "offline"
    """How published numbers were measured: fid-50k, kid, fvd, ...; an unknown name lists those that fit the run."""
    seed: int = 0
    """Of the samples."""
    data: str | None = None
    """Where the data are now, if not where the run was trained."""
    num_steps: int | None = None
    """Steps of the sampler; default the recipe's, and 4 of mean-flow."""
    sampler: str | None = None
    """ddim, ddpm, dpm-solver++, unipc; euler or, after stage mean-flow, mean-flow (flow); default the recipe's."""
    device: str = "auto"
    """Where the model and the protocol's network compute: cuda, mps or cpu; auto: the first of them that is there."""
    keep_samples: bool = False
    """Keep RUN/generated for other protocols: those with the same seed, steps and batch measure the same samples."""

    def run(self, rest: Sequence[str]) -> None:
        from ddmi.evaluation.run import evaluate_run, find_protocol
        from ddmi.machine.processes import find_device, join_processes
        from ddmi.pipeline import DDMI
        from ddmi_modalities.modality import with_source

        device = find_device(self.device)
        join_processes(device)
        model = DDMI.from_pretrained(self.run_dir, device=device)
        modality = model.experiment.modality
        protocol = find_protocol(modality, self.protocol)
        rest = with_new_names(rest, {"guidance": "guidance-scales", "fvd-count": "count"})
        settings = parse(protocol.settings, rest, f"{PROGRAM} evaluate RUN")
        metrics = evaluate_run(
            model, own_directory(self.run_dir), self.protocol, settings,
            modality=with_source(modality, self.data) if self.data else modality,
            seed=self.seed, num_steps=self.num_steps, sampler=self.sampler, keep_samples=self.keep_samples,
        )  # fmt: skip
        if not metrics:  # the main process has them
            return
        width = max(map(len, metrics))
        for name, value in sorted(metrics.items()):
            print(f"{name:{width}}  {value:10.4g}")
