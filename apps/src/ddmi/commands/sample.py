"""`ddmi sample`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional

from ddmi.commands.line import open_run, progress_bar, say


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
    """Scale of classifier-free guidance: 0 ignores the prompt, 1 adds nothing to it; default the recipe's."""
    guidance_interval: tuple[float, float] = (0.0, 1.0)
    """Times in which guidance acts, as fractions of the noise process; 1 is pure noise."""
    out: Path = Path("samples")
    """Directory to write to."""
    batch: int = 64
    """How many at once."""

    def run(self, rest: Sequence[str]) -> None:
        model, view = open_run(self.run_dir, rest, "sample")
        if self.count < 1 or self.batch < 1:
            raise ValueError(f"--count and --batch must be at least 1, got {self.count} and {self.batch}")
        written = []
        for start in range(0, self.count, self.batch):
            count = min(self.batch, self.count - start)
            say(f"sampling {start + 1} to {start + count} of {self.count}")
            functions = model.sample(
                count, seed=self.seed, start=start, steps=self.steps, sampler=self.sampler, prompts=self.prompt,
                guidance=self.guidance, guidance_interval=self.guidance_interval, progress=progress_bar,
            )  # fmt: skip
            written += model.experiment.modality.render(functions, view).save(self.out, start)
        say(f"wrote {len(written)} files to {self.out}")
