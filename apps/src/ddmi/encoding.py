"""The latents that stage 2 learns: moments of training items, encoded by all processes, and cached on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import gather
from torch.utils.data import Subset

from ddmi.experiment import Experiment
from ddmi.serialization import to_json
from ddmi_diffusion import LatentCache, Planes, StepRandom
from ddmi_modalities.image.set_distances import spread
from ddmi_vae import D2CVAE, Posterior

AT_ONCE = 32
"""Items that a process encodes at once."""


def encoded(
    experiment: Experiment, vae: D2CVAE, data: Any, processes: PartialState, view: int = 0
) -> Iterator[tuple[Planes, Planes]]:
    """Posterior means and standard deviations of all items, in order, in batches; the same in every process.

    View 0 is the data as they are, others are augmented.  Every process encodes a part of each batch.
    """
    modality: Any = experiment.modality
    device = next(vae.parameters()).device
    for start in range(0, len(data), AT_ONCE * processes.num_processes):
        count = min(AT_ONCE * processes.num_processes, len(data) - start)
        each = -(-count // processes.num_processes)
        first = start + each * processes.process_index
        # messages are of one size: the last process repeats the last item where items run out
        places = [min(place, len(data) - 1) for place in range(first, first + each)]
        items = [data[place] for place in places]
        rng = StepRandom(experiment.diffusion_training.seed, view, places)
        inputs = modality.inputs(items) if view == 0 else modality.collate(items, rng).inputs
        with torch.no_grad():
            posterior: Posterior = vae.encode(tuple(plane.to(device) for plane in inputs))
        means, stds = (
            tuple(gather(plane.contiguous())[:count] for plane in planes) for planes in (posterior.mean, posterior.std)
        )
        yield means, stds


def cached_items(experiment: Experiment, data: Any) -> Any:
    """The items of the data set that are cached."""
    count = experiment.diffusion.cached_items
    return data if count is None or count >= len(data) else Subset(data, spread(len(data), count))


def cached_moments(
    experiment: Experiment,
    vae: D2CVAE,
    weights: Path,
    data: Any,
    path: Path,
    processes: PartialState,
    say: Callable[[str], None],
) -> LatentCache:
    """The cache of the moments of all items at `path`, made where it is missing or of another autoencoder.

    `weights` is the autoencoder's file.  To be called by all processes; the main one writes.
    """
    views = experiment.diffusion.cache_views
    key = hashlib.sha256(weights.read_bytes())
    key.update(json.dumps([to_json(experiment.modality), views, len(data)], sort_keys=True).encode())
    missing = not LatentCache.valid(path, key.hexdigest())
    processes.wait_for_everyone()  # all have looked before one writes
    if missing:
        say(f"encoding {views * len(data)} items to {path}")
        batches = (batch for view in range(views) for batch in encoded(experiment, vae, data, processes, view))
        if processes.is_main_process:
            LatentCache.build(path, key.hexdigest(), views * len(data), batches)
        else:
            for _ in batches:
                pass
        processes.wait_for_everyone()
    return LatentCache(path, key.hexdigest())
