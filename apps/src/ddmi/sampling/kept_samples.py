"""Samples that outlast the evaluation that needs them: a stopped one goes on, and all processes make them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from jaxtyping import Float
from torch import Tensor

from ddmi.experiment.config import Experiment
from ddmi.machine.checksums import fingerprint, weights_sha256
from ddmi.machine.safetensors_files import read_tensors
from ddmi.pipeline import DDMI
from ddmi.sampling.finished_batches import FinishedBatches
from ddmi.serialization import to_json
from ddmi_diffusion import save_tensors

GENERATED = "generated"
"""The folder of a run that holds them.  Removing it costs time only."""

Batch = tuple[range, dict[str, Any]]
"""Numbers of samples, and the other arguments of `DDMI.sample_latents`."""


class KeptSamples(DDMI):
    """A model whose sampled latents are written down, a file for each batch that is asked for.

    RUN/generated/KEY/START-COUNT.safetensors; KEY is a hash of the model and of what else the samples depend on.  A
    file that is damaged counts as missing.

    Of several processes the main one asks, within `shared`, and the others `serve` it.  When a batch is missing, every
    process makes one: this one and those that follow it, because evaluations ask for one after the other.  Batches are
    those that one process would make, so samples are the same bit for bit.
    """

    def __init__(self, model: DDMI, experiment: Experiment, run: Path, processes: PartialState) -> None:
        """`experiment` is the model's, perhaps with another sampler."""
        super().__init__(
            experiment, model.vae, model.latent_space, model.diffusion, model.conditioner, model.guide, model.mean_flow
        )
        self.run, self.processes = run, processes
        self.used: set[Path] = set()
        self._others_make = False

    def sample_latents(self, count: int, *, seed: int = 0, start: int = 0, **how: Any) -> Float[Tensor, "count ..."]:
        """As `DDMI.sample_latents`; for the main process."""
        batch = range(start, start + count), {"seed": seed, **how}
        if not self._store(batch).holds(batch[0]):
            batches = self._with_following(batch)
            self._others_make = True
            self._tell(batches)
            self._make(batches)
            self._others_make = False
        tensors, _ = read_tensors(self._file(batch))
        return tensors["latents"].to(self.device)

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Of the main process: the others make samples for it meanwhile.  An error of its own lets them go quietly."""
        try:
            yield
        except Exception:
            if not self._others_make:  # else they do not listen
                self._tell(None)
            raise
        self._tell(None)

    def serve(self) -> None:
        """Of every other process: makes its share of what the main one asks for, until that needs no more."""
        while (batches := self._tell(None)) is not None:
            self._make(batches)

    def remove(self) -> None:
        """Removes what was asked for from the disk."""
        for folder in self.used:
            shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # not empty: of an evaluation that was stopped, or goes on elsewhere
            (self.run / GENERATED).rmdir()

    def _with_following(self, batch: Batch) -> list[Batch]:
        """One for each process; of prompts, the following are not known."""
        numbers, how = batch
        several = self.processes.num_processes if how.get("prompts") is None else 1
        following = (numbers.start + place * len(numbers) for place in range(several))
        return [(range(start, start + len(numbers)), how) for start in following]

    def _tell(self, batches: list[Batch] | None) -> list[Batch] | None:
        """What the main process says, in every process."""
        (said,) = broadcast_object_list([batches])
        return said

    def _make(self, batches: list[Batch]) -> None:
        """Every process makes its share, where it is missing."""
        for batch in batches[self.processes.process_index :: self.processes.num_processes]:
            numbers, how = batch
            store = self._store(batch)
            if not store.holds(numbers):
                latents = super().sample_latents(len(numbers), start=numbers.start, **how).cpu()
                save_tensors(self._file(batch), {"latents": latents})
                store.add(numbers, [self._file(batch)])
        self.processes.wait_for_everyone()

    def _store(self, batch: Batch) -> FinishedBatches:
        key = fingerprint(self._model, batch[1])
        folder = self.run / GENERATED / key
        self.used.add(folder)
        return FinishedBatches(folder, key)

    def _file(self, batch: Batch) -> Path:
        return self._store(batch).directory / f"{batch[0].start:08d}-{len(batch[0])}.safetensors"

    @cached_property
    def _model(self) -> list[Any]:
        """What latents depend on beside the arguments: settings, and the weights of all networks of stage 2."""
        parts = (self.diffusion, self.conditioner, self.guide)
        return [to_json(self.experiment.diffusion), *(None if part is None else weights_sha256(part) for part in parts)]
