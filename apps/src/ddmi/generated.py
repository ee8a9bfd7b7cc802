"""Samples that outlast the evaluation that needs them: a stopped one goes on, and all processes make them."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from jaxtyping import Float
from torch import Tensor

from ddmi.checksums import fingerprint, weights_sha256
from ddmi.pipeline import DDMI, Progress, Request
from ddmi.serialization import to_json
from ddmi.weights import read_tensors
from ddmi_diffusion import save_tensors

GENERATED = "generated"
"""The folder of a run that holds them.  Removing it costs time only."""


class KeptSamples(DDMI):
    """A model whose sampled latents are written down, a file for each batch that is asked for.

    RUN/generated/KEY/START-COUNT.safetensors; KEY is a hash of the model and of what else the samples depend on.  A
    file that is damaged counts as missing.

    Of several processes the main one asks, within `shared`, and the others `serve` it.  When a batch is missing, every
    process makes one: this one and those that follow it, because evaluations ask for one after the other.  Batches are
    those that one process would make, so samples are the same bit for bit.
    """

    def __init__(self, model: DDMI, run: Path, processes: PartialState) -> None:
        super().__init__(model.experiment, model.vae, model.space, model.diffusion, model.conditioner, model.guide)
        self.run, self.processes = run, processes
        self.used: set[Path] = set()
        self._others_make = False

    def draw(self, request: Request, progress: Progress | None = None) -> Float[Tensor, "count ..."]:
        """As `DDMI.draw`; for the main process."""
        latents = self._read(request)
        if latents is None:
            requests = self._with_following(request)
            self._others_make = True
            self._tell(requests)
            self._make(requests, progress)
            self._others_make = False
            latents = self._read(request)
            if latents is None:
                raise OSError(f"{self._file(request)} cannot be read right after it was written; check the disk")
        return latents.to(next(self.parameters()).device)

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
        while (requests := self._tell(None)) is not None:
            self._make(requests)

    def remove(self) -> None:
        """Removes what was asked for from the disk."""
        for folder in self.used:
            shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # not empty: of an evaluation that was stopped, or goes on elsewhere
            (self.run / GENERATED).rmdir()

    def _with_following(self, request: Request) -> list[Request]:
        """One for each process; of prompts, the following are not known."""
        several = self.processes.num_processes if request.prompts is None else 1
        return [replace(request, start=request.start + place * request.count) for place in range(several)]

    def _tell(self, requests: list[Request] | None) -> list[Request] | None:
        """What the main process says, in every process."""
        (said,) = broadcast_object_list([requests])
        return said

    def _make(self, requests: list[Request], progress: Progress | None = None) -> None:
        """Every process makes its share, where it is missing."""
        for request in requests[self.processes.process_index :: self.processes.num_processes]:
            if self._read(request) is None:
                latents = super().draw(request, progress).cpu()
                save_tensors(self._file(request), {"latents": latents}, {"sha256": _digest(latents)})
        self.processes.wait_for_everyone()

    def _read(self, request: Request) -> Tensor | None:
        """None where there are none, or they are damaged."""
        try:
            tensors, about = read_tensors(self._file(request))
            latents = tensors["latents"]
        except (ValueError, KeyError):
            return None
        return latents if about.get("sha256") == _digest(latents) else None

    def _file(self, request: Request) -> Path:
        beside = {name: value for name, value in asdict(request).items() if name not in ("start", "count")}
        folder = self.run / GENERATED / fingerprint(self._model, beside)
        self.used.add(folder)
        return folder / f"{request.start:08d}-{request.count}.safetensors"

    @cached_property
    def _model(self) -> list[Any]:
        parts = (self.diffusion, self.conditioner)
        return [to_json(self.experiment.diffusion), *(weights_sha256(part) for part in parts if part is not None)]


def _digest(latents: Tensor) -> str:
    return hashlib.sha256(latents.contiguous().numpy().tobytes()).hexdigest()
