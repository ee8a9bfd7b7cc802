"""Samples that outlast the evaluation that needs them: a stopped one goes on, and all processes make them."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from torch import Tensor

from ddmi.checksums import fingerprint, weights_sha256
from ddmi.pipeline import DDMI
from ddmi.serialization import to_json
from ddmi.weights import read_tensors
from ddmi_diffusion import save_tensors
from ddmi_fields import ImplicitFunction

GENERATED = "generated"
"""The folder of a run that holds them.  Removing it costs time only."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """A batch of samples, and all that they depend on beside the model."""

    start: int
    count: int
    seed: int
    steps: int
    sampler: str
    prompts: tuple[str, ...] | None
    guidance: float | None
    guidance_interval: tuple[float, float]


class KeptSamples(DDMI):
    """A model whose sampled latents are written down, a file for each batch that is asked for.

    RUN/generated/KEY/START-COUNT.safetensors; KEY is a hash of the model and of what else the samples depend on.  A
    file that is damaged counts as missing.

    Of several processes the main one asks, within `shared`, and the others `serve` it.  When a batch is missing, every
    process makes one: this one and those that follow it, because evaluations ask for one after the other.  Batches are
    those that one process would make, so samples are the same bit for bit.
    """

    def __init__(self, model: DDMI, run: Path, processes: PartialState) -> None:
        super().__init__(model.experiment, model.vae, model.space, model.diffusion, model.conditioner)
        self.run, self.processes = run, processes
        self.used: set[Path] = set()
        self._others_make = False

    @torch.no_grad()
    def sample(
        self,
        count: int,
        *,
        seed: int = 0,
        start: int = 0,
        steps: int | None = None,
        sampler: str | None = None,
        prompts: str | Sequence[str] | None = None,
        guidance: float | None = None,
        guidance_interval: tuple[float, float] = (0.0, 1.0),
        progress: Callable[[Iterable[Any]], Iterable[Any]] | None = None,
    ) -> ImplicitFunction:
        """As `DDMI.sample`; for the main process."""
        space, _ = self._generative()
        config = self.experiment.diffusion
        request = Request(
            start=start, count=count, seed=seed, steps=steps or config.sampling_steps,
            sampler=sampler or config.sampler, guidance=guidance, guidance_interval=guidance_interval,
            prompts=None if prompts is None else (prompts,) if isinstance(prompts, str) else tuple(prompts),
        )  # fmt: skip
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
        return self.vae.function(space.unpack(latents.to(next(self.parameters()).device)))

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

    def _make(self, requests: list[Request], progress: Any = None) -> None:
        """Every process makes its share, where it is missing."""
        for request in requests[self.processes.process_index :: self.processes.num_processes]:
            if self._read(request) is None:
                latents = self._sample(request, progress).cpu()
                save_tensors(self._file(request), {"latents": latents}, {"sha256": _digest(latents)})
        self.processes.wait_for_everyone()

    @torch.no_grad()
    def _sample(self, request: Request, progress: Any) -> Tensor:
        _, diffusion = self._generative()
        cond, guide = self._conditions(request.count, request.prompts, request.guidance, request.guidance_interval)
        return diffusion.sample(
            request.count, seed=request.seed, start=request.start, steps=request.steps, sampler=request.sampler,
            cond=cond, guidance=guide, progress=progress,
        )  # fmt: skip

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
