"""`ddmi sample`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import tyro
from tyro.conf import Positional

from ddmi.commands.line import open_run

logger = logging.getLogger("ddmi")

_WITHOUT_EFFECT = ("run_dir", "count", "out", "batch", "device", "resume")
"""Options that do not change a function, but for rounding."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Generate functions and render them.  Further options say how, such as --resolution (`--help` after RUN)."""

    RENAMED: ClassVar[dict[str, str]] = {"steps": "num-steps", "guidance": "guidance-scale"}

    run_dir: Annotated[Positional[Path], tyro.conf.arg(name="run")]
    """A run, a saved model, or hf:OWNER/NAME[@REVISION], a repository on the Hugging Face hub."""
    count: int = 16
    """How many."""
    seed: int = 0
    """Function i depends on (seed, i) only: the same at every resolution and count."""
    num_steps: int | None = None
    """Steps of the sampler; default the recipe's, and 4 of mean-flow."""
    sampler: str | None = None
    """ddim, ddpm, dpm-solver++, unipc; euler or, after stage mean-flow, mean-flow (flow); default the recipe's."""
    prompt: str | None = None
    """What to generate, for recipes with text."""
    guidance_scale: float | None = None
    """Scale of guidance, away from no prompt or from the run's guide: 1 is none, 0 ignores the prompt; default the
    recipe's."""
    guidance_interval: tuple[float, float] = (0.0, 1.0)
    """Times in which guidance acts, as fractions of the noise process; 1 is pure noise."""
    out: Path = Path("samples")
    """Directory to write to."""
    batch: int = 64
    """How many at once."""
    device: str = "auto"
    """Where the model computes: cuda, mps or cpu; auto: the first of them that is there."""
    resume: bool = False
    """Go on where the same command was stopped: samples whose files are there are left out, also for a larger count."""

    def run(self, rest: Sequence[str]) -> None:
        from accelerate import PartialState

        from ddmi.machine.checksums import fingerprint, weights_sha256
        from ddmi.sampling.finished_batches import FinishedBatches
        from ddmi.serialization import to_json

        if self.count < 1 or self.batch < 1:
            raise ValueError(f"--count and --batch must be at least 1, got {self.count} and {self.batch}")
        model, options = open_run(self.run_dir, rest, "sample", self.device)
        model.experiment.modality.check_memory(options, min(self.batch, self.count))
        state = PartialState()
        own = {name: value for name, value in asdict(self).items() if name not in _WITHOUT_EFFECT}
        made_by = fingerprint(to_json(model.experiment), weights_sha256(model), own, asdict(options))
        done = FinishedBatches(self.out, made_by)
        if state.is_main_process:
            done.begin(resume=self.resume)
        state.wait_for_everyone()
        missing = done.missing(self.count, self.batch)
        state.wait_for_everyone()  # nobody writes before all have seen the same
        for batch in missing[state.process_index :: state.num_processes]:
            logger.info("sampling %d to %d of %d", batch.start + 1, batch.stop, self.count)
            functions = model.sample(
                len(batch), seed=self.seed, start=batch.start, num_steps=self.num_steps, sampler=self.sampler,
                prompts=self.prompt, guidance_scale=self.guidance_scale, guidance_interval=self.guidance_interval,
            )  # fmt: skip
            done.add(batch, model.experiment.modality.render(functions, options).save(self.out, batch.start))
        state.wait_for_everyone()
        if state.is_main_process:
            if others := done.others():
                logger.warning(
                    "%s holds %d files that this command did not make, such as %s; name another --out to have these "
                    "alone", self.out, len(others), others[0],
                )  # fmt: skip
            if not self.resume:
                done.forget()
            written = sum(map(len, missing))
            rest_of_them = f", {self.count - written} were there" if self.resume else ""
            logger.info("wrote %d samples to %s%s", written, self.out, rest_of_them)
