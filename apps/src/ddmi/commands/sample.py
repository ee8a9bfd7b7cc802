"""`ddmi sample`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional

from ddmi.commands.line import open_run, progress_bar, say

_WITHOUT_EFFECT = ("run_dir", "count", "out", "batch", "device", "resume")
"""Options that do not change a function, but for rounding."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Generate functions and render them.  Further options are those of the run's view, such as --resolution."""

    run_dir: Annotated[Positional[Path], tyro.conf.arg(name="run")]
    """A run, a saved model, or a repository on the Hugging Face hub."""
    count: int = 16
    """How many."""
    seed: int = 0
    """Function i depends on (seed, i) only: the same at every resolution and count."""
    steps: int | None = None
    """Steps of the sampler; default the recipe's."""
    sampler: str | None = None
    """ddim, ddpm, dpm-solver++, unipc, or euler (flow); default the recipe's."""
    prompt: str | None = None
    """What to generate, for recipes with text."""
    guidance: float | None = None
    """Scale of guidance, away from no prompt or from the run's guide: 1 is none, 0 ignores the prompt; default the
    recipe's."""
    guidance_interval: tuple[float, float] = (0.0, 1.0)
    """Times in which guidance acts, as fractions of the noise process; 1 is pure noise."""
    out: Path = Path("samples")
    """Directory to write to."""
    batch: int = 64
    """How many at once."""
    device: str = "cpu"
    """Where the model computes, such as cuda."""
    resume: bool = False
    """Go on where the same command was stopped: samples whose files are there are left out, also for a larger count."""

    def run(self, rest: Sequence[str]) -> None:
        from ddmi.checksums import fingerprint, weights_sha256
        from ddmi.finished_batches import FinishedBatches
        from ddmi.processes import join_processes
        from ddmi.serialization import to_json

        model, view = open_run(self.run_dir, rest, "sample")
        if self.count < 1 or self.batch < 1:
            raise ValueError(f"--count and --batch must be at least 1, got {self.count} and {self.batch}")
        state = join_processes(self.device)
        model.to(self.device)
        own = {name: value for name, value in asdict(self).items() if name not in _WITHOUT_EFFECT}
        made_by = fingerprint(to_json(model.experiment), weights_sha256(model), own, asdict(view))
        done = FinishedBatches(self.out, made_by)
        if state.is_main_process:
            done.begin(resume=self.resume)
        state.wait_for_everyone()
        missing = done.missing(self.count, self.batch)
        state.wait_for_everyone()  # nobody writes before all have seen the same
        for batch in missing[state.process_index :: state.num_processes]:
            if state.is_main_process:
                say(f"sampling {batch.start + 1} to {batch.stop} of {self.count}")
            functions = model.sample(
                len(batch), seed=self.seed, start=batch.start, steps=self.steps, sampler=self.sampler,
                prompts=self.prompt, guidance=self.guidance, guidance_interval=self.guidance_interval,
                progress=progress_bar if state.is_main_process else None,
            )  # fmt: skip
            done.add(batch, model.experiment.modality.render(functions, view).save(self.out, batch.start))
        state.wait_for_everyone()
        if state.is_main_process:
            if not self.resume:
                done.forget()
            written = sum(map(len, missing))
            rest_of_them = f", {self.count - written} were there" if self.resume else ""
            say(f"wrote {written} samples to {self.out}{rest_of_them}")
