"""A run measured by a protocol, and the files that say how: `RUN/metrics.json` and `RUN/evaluations/NAME.json`."""

from __future__ import annotations

import importlib.metadata
import json
import logging
import math
import platform
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from ddmi.machine.processes import join_processes
from ddmi.pipeline import DDMI
from ddmi.registry import spec_of
from ddmi.sampling.kept_samples import GENERATED, KeptSamples
from ddmi.serialization import to_json
from ddmi_diffusion import atomic_write_text
from ddmi_modalities.files.checksums import sha256_file
from ddmi_modalities.files.text import read_json
from ddmi_modalities.modality import Modality
from ddmi_modalities.spec import OFFLINE, EvaluationProtocol

logger = logging.getLogger("ddmi")

METRICS, EVALUATIONS = "metrics.json", "evaluations"
REPORTED = ("ddmi", "ddmi-modalities", "ddmi-diffusion", "torch", "torchmetrics", "torch-fidelity", "numpy", "pillow")


def find_protocol(modality: Modality, name: str) -> EvaluationProtocol:
    """The evaluation of this name.  Raises ValueError that lists those that fit the modality."""
    protocols = spec_of(modality).evaluation_protocols()
    if name not in protocols:
        raise ValueError(f"there is no protocol {name!r} for this kind of signal; choose one of {', '.join(protocols)}")
    return protocols[name]


def evaluate_run(
    model: DDMI,
    directory: Path,
    name: str,
    settings: Any,
    *,
    modality: Modality | None = None,
    seed: int = 0,
    num_steps: int | None = None,
    sampler: str | None = None,
    keep_samples: bool = False,
) -> dict[str, float]:
    """Measures by the protocol of this name and writes both files; returns the flat numbers.

    Numbers of a named protocol carry its name: `fid-50k/fid`.  metrics.json holds those of all evaluations of the
    weights that the directory holds now.

    Samples lie in RUN/generated until they are measured, so that a stopped evaluation goes on; with `keep_samples`
    also afterwards, for other protocols.  Where there are several processes all make samples, and the main one
    measures: the others return nothing.

    Args:
        model, directory: Of the run.
        name: See `find_protocol`.
        settings: Of the protocol.
        modality: The model's, or the same with data elsewhere.
        seed: Of the samples.
        num_steps, sampler: Default to those of the recipe.
    """
    modality = modality or model.experiment.modality
    protocol = find_protocol(modality, name)
    diffusion = model.experiment.diffusion
    sampler = sampler or diffusion.sampler
    chosen: dict[str, Any] = {"sampler": sampler, "num_steps": num_steps or model.steps_of(sampler)}
    processes = join_processes(model.device)
    samples = KeptSamples(
        model, replace(model.experiment, diffusion=replace(diffusion, **chosen)), directory, processes
    )
    if not processes.is_main_process:
        samples.serve()
        return {}
    start = time.monotonic()
    with samples.shared():
        measured = protocol.measure(modality, samples, settings, seed=seed, device=model.device)
        prefix = "" if name == OFFLINE else f"{name}/"
        metrics = {f"{prefix}{key}": value for key, value in measured.metrics.items()}
        endless = {key: str(value) for key, value in metrics.items() if not math.isfinite(value)}
        for key, text in endless.items():
            logger.warning("%s is %s: it is in no table, and in %s as text", key, text, EVALUATIONS)
        files = {key: value for key, value in vars(settings).items() if isinstance(value, Path)}
        record = {
            "protocol": name,
            "comparable_with": protocol.citation,
            "deviations": protocol.deviations(settings),
            "metrics": {key: value for key, value in metrics.items() if key not in endless},
            "not_finite": endless,
            "conditions": measured.conditions,
            "recipe": model.experiment.recipe,
            "preset": model.experiment.preset,
            "modality": to_json(modality),
            "seed": seed,
            "sampler": chosen["sampler"] if model.can_sample else None,
            "num_steps": chosen["num_steps"] if model.can_sample else None,
            "settings": asdict(settings),
            "sha256_files": {key: sha256_file(value) for key, value in files.items()},
            "revision": model.revision,
            "sha256_checkpoint": checkpoint_sha256(directory),
            "versions": {"python": platform.python_version()}
            | {one: importlib.metadata.version(one) for one in REPORTED},
            "device": torch.cuda.get_device_name(model.device) if model.device.type == "cuda" else model.device.type,
            "processes": processes.num_processes,
            "seconds": round(time.monotonic() - start, 1),
        }
        (directory / EVALUATIONS).mkdir(parents=True, exist_ok=True)
        path = directory / EVALUATIONS / f"{name}.json"
        atomic_write_text(path, json.dumps(record, indent=2, sort_keys=True, default=str, allow_nan=False) + "\n")
        flat = measured_figures(directory)
        atomic_write_text(directory / METRICS, json.dumps(flat, indent=2, sort_keys=True, allow_nan=False) + "\n")
    if not keep_samples:
        samples.remove()
    logger.info("comparable with %s", protocol.citation)
    for deviation in protocol.deviations(settings) if name != OFFLINE else ():
        logger.warning("not this protocol's number: %s", deviation)
    logger.info("wrote %s and %s", directory / METRICS, path)
    if keep_samples:
        logger.info("the samples are in %s: remove it when no other protocol needs them", directory / GENERATED)
    return metrics


def measured_figures(directory: Path) -> dict[str, float]:
    """The flat numbers of all evaluations of the weights that a run holds now."""
    known = checkpoint_sha256(directory)
    current = [one for one in read_evaluations(directory) if one["sha256_checkpoint"] == known]
    return {key: value for one in current for key, value in one["metrics"].items()}


def checkpoint_sha256(directory: Path) -> dict[str, str]:
    """Of each file of weights that a run holds."""
    return {path.name: sha256_file(path) for path in sorted(directory.glob("*.safetensors"))}


def read_evaluations(directory: Path) -> list[dict[str, Any]]:
    """All records of a run, by name.  Raises ValueError that names a file that is none."""
    records = []
    for path in sorted((directory / EVALUATIONS).glob("*.json")):
        try:
            record = read_json(path)
            _check_record(record)
        except ValueError as error:
            raise ValueError(f"{path} is no record of an evaluation ({error}); remove it, or evaluate again") from error
        records.append(record)
    return records


_FIELDS = {"protocol": str, "comparable_with": str, "deviations": list, "metrics": dict, "conditions": dict}
_FIELDS |= {"sha256_checkpoint": dict, "recipe": str}
"""What others read of a record."""


def _check_record(record: Any) -> None:
    if not isinstance(record, dict):
        raise ValueError(f"it holds {type(record).__name__}, wanted an object")
    for name, kind in _FIELDS.items():
        if not isinstance(record.get(name), kind):
            raise ValueError(f"its {name} is {str(record.get(name))[:60]!r}, wanted {kind.__name__}")
    for name, value in record["metrics"].items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"its {name} is {str(value)[:60]!r}, wanted a finite number")
    resolution = record["conditions"].get("resolution")
    if not isinstance(resolution, int | None) or not all(isinstance(one, str) for one in record["deviations"]):
        raise ValueError("its resolution is no whole number, or its deviations are no texts")
