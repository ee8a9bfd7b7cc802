"""A run measured by a protocol, and the files that say how: `RUN/metrics.json` and `RUN/evaluations/NAME.json`."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ddmi.checksums import sha256
from ddmi.generated import GENERATED, KeptSamples
from ddmi.pipeline import DDMI
from ddmi.processes import join_processes
from ddmi.protocols import OFFLINE, Protocol
from ddmi.serialization import to_json
from ddmi_diffusion import atomic_write_text
from ddmi_fields import ImplicitFunction

METRICS, EVALUATIONS = "metrics.json", "evaluations"
REPORTED = ("ddmi", "ddmi-modalities", "ddmi-diffusion", "torch", "torchmetrics", "torch-fidelity", "numpy", "pillow")


class Sampler:
    """A model as evaluations see it: inputs go to its device, samples come by the sampler that was asked for."""

    def __init__(self, model: DDMI, steps: int | None = None, sampler: str | None = None) -> None:
        self.model, self.steps, self.sampler = model, steps, sampler
        self.device = next(model.parameters()).device

    @property
    def can_sample(self) -> bool:
        return self.model.can_sample

    @property
    def can_prompt(self) -> bool:
        return self.model.can_prompt

    def reconstruct(self, inputs: tuple[Tensor, ...]) -> ImplicitFunction:
        return self.model.reconstruct(tuple(one.to(self.device) for one in inputs))

    def sample(
        self,
        count: int,
        *,
        seed: int,
        start: int = 0,
        prompts: Sequence[str] | None = None,
        guidance: float | None = None,
    ) -> ImplicitFunction:
        return self.model.sample(
            count, seed=seed, start=start, steps=self.steps, sampler=self.sampler, prompts=prompts, guidance=guidance
        )

    def prior(self, count: int, *, seed: int, start: int = 0) -> ImplicitFunction:
        return self.model.prior(count, seed=seed, start=start)


def evaluate_run(
    model: DDMI,
    modality: Any,
    directory: Path,
    name: str,
    protocol: Protocol,
    settings: Any,
    *,
    seed: int = 0,
    steps: int | None = None,
    sampler: str | None = None,
    keep_samples: bool = False,
    note: Callable[[str], None] = lambda _: None,
) -> dict[str, float]:
    """Measures and writes both files; returns the flat numbers.

    Numbers of a named protocol carry its name: `fid-50k/fid`.  metrics.json holds those of all evaluations of the
    weights that the directory holds now.

    Samples lie in RUN/generated until they are measured, so that a stopped evaluation goes on; with `keep_samples`
    also afterwards, for other protocols.  Where there are several processes all make samples, and the main one
    measures: the others return nothing.
    """
    processes = join_processes(next(model.parameters()).device)
    samples = KeptSamples(model, directory, processes)
    if not processes.is_main_process:
        samples.serve()
        return {}
    source = Sampler(samples, steps, sampler)
    start = time.monotonic()
    with samples.shared():
        measured = protocol.measure(modality, source, settings, seed=seed, device=source.device, note=note)
        prefix = "" if name == OFFLINE else f"{name}/"
        metrics = {f"{prefix}{key}": value for key, value in measured.metrics.items()}
        config = model.experiment.diffusion
        record = {
            "protocol": name,
            "comparable_with": protocol.citation,
            "deviations": protocol.deviations(settings),
            "metrics": metrics,
            "conditions": measured.conditions,
            "recipe": model.experiment.recipe,
            "preset": model.experiment.preset,
            "modality": to_json(modality),
            "seed": seed,
            "sampler": (sampler or config.sampler) if model.can_sample else None,
            "steps": (steps or config.sampling_steps) if model.can_sample else None,
            "settings": asdict(settings),
            "sha256_files": {key: sha256(value) for key, value in vars(settings).items() if isinstance(value, Path)},
            "sha256_checkpoint": checkpoint_sha256(directory),
            "versions": {"python": platform.python_version()}
            | {one: importlib.metadata.version(one) for one in REPORTED},
            "device": torch.cuda.get_device_name(source.device) if source.device.type == "cuda" else source.device.type,
            "processes": processes.num_processes,
            "seconds": round(time.monotonic() - start, 1),
        }
        (directory / EVALUATIONS).mkdir(parents=True, exist_ok=True)
        path = directory / EVALUATIONS / f"{name}.json"
        atomic_write_text(path, json.dumps(record, indent=2, sort_keys=True, default=str) + "\n")
        current = [
            one for one in read_evaluations(directory) if one["sha256_checkpoint"] == record["sha256_checkpoint"]
        ]
        flat = {key: value for one in current for key, value in one["metrics"].items()}
        atomic_write_text(directory / METRICS, json.dumps(flat, indent=2, sort_keys=True) + "\n")
    if not keep_samples:
        samples.remove()
    note(f"comparable with {protocol.citation}")
    for deviation in protocol.deviations(settings) if name != OFFLINE else ():
        note(f"not this protocol's number: {deviation}")
    note(f"wrote {directory / METRICS} and {path}")
    if keep_samples:
        note(f"the samples are in {directory / GENERATED}: remove it when no other protocol needs them")
    return metrics


def checkpoint_sha256(directory: Path) -> dict[str, str]:
    """Of each file of weights that a run holds."""
    return {path.name: sha256(path) for path in sorted(directory.glob("*.safetensors"))}


def read_evaluations(directory: Path) -> list[dict[str, Any]]:
    """All records of a run, by name.  Raises ValueError that names a file that is none."""
    records = []
    for path in sorted((directory / EVALUATIONS).glob("*.json")):
        try:
            record = json.loads(path.read_text())
            if not {"protocol", "metrics", "sha256_checkpoint", "deviations"} <= set(record):
                raise ValueError("fields are missing")
        except (OSError, ValueError, TypeError) as error:
            raise ValueError(f"{path} is no record of an evaluation ({error}); remove it, or evaluate again") from error
        records.append(record)
    return records
