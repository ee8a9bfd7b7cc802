"""A training that starts from the weights of another model (`--init`): fine-tuning on other data."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from ddmi.experiment.config import Experiment
from ddmi.machine.safetensors_files import read_tensors
from ddmi.model_directory import model_directory
from ddmi.pipeline import CONFIG, read_experiment
from ddmi_diffusion.stored_precision import restored
from ddmi_modalities.datasets.attribution import attribution_of

LISTED = 5
"""Tensors that messages name."""

logger = logging.getLogger("ddmi")


def with_origin(experiment: Experiment, resumed: Path | None = None) -> Experiment:
    """The experiment with what the model that it starts from was made of.

    A run that is `resumed` knows that already: the model may be gone.  ValueError where there is no such model.
    """
    if experiment.init is None:
        return experiment
    if resumed is not None and (resumed / CONFIG).exists():
        return replace(experiment, origin=read_experiment(resumed).origin)
    directory = model_directory(experiment.init)
    theirs = read_experiment(directory)
    data = attribution_of(directory) or theirs.attribution or "data of unknown origin"
    name = Path(experiment.init).name
    return replace(experiment, origin=f"Started from the model {name} (recipe {theirs.recipe}), of: {data}")


@torch.no_grad()
def start_from(module: nn.Module, source: str, file: str) -> None:
    """Gives a module all tensors of another model's file whose name and shape are its own; says which it lacks.

    Args:
        module: Of any architecture, on any device.
        source: The model, as `DDMI.from_pretrained` takes it.
        file: Of its weights.

    Raises:
        ValueError: There is no such file, or nothing in it fits.
    """
    path = model_directory(source) / file
    if not path.exists():
        raise ValueError(f"--init {source}: it has no {file}; train that stage of it, or start this one without --init")
    try:
        theirs = restored(read_tensors(path)[0])
    except ValueError as error:
        raise ValueError(f"--init {source}: {error}") from error
    own = module.state_dict()
    taken = {name for name, value in own.items() if name in theirs and theirs[name].shape == value.shape}
    if not taken:
        raise ValueError(f"--init {source}: no tensor of its {file} fits this architecture; start without --init")
    for name in taken:
        if not bool(theirs[name].isfinite().all()):
            raise ValueError(f"--init {source}: {name!r} of its {file} has numbers that are NaN or infinite")
        own[name].copy_(theirs[name])
    new = [
        f"{name} {tuple(value.shape)}" + (f" (there {tuple(theirs[name].shape)})" if name in theirs else "")
        for name, value in own.items()
        if name not in taken
    ]
    logger.info("%s: %d of %d tensors are those of %s", file, len(taken), len(own), path)
    if new:
        more = f" and {len(new) - LISTED} more" if len(new) > LISTED else ""
        logger.warning("%s: new, as they do not fit: %s%s", file, ", ".join(new[:LISTED]), more)
