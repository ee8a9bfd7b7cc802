"""The latents that stage 2 learns: moments of training items, encoded by all processes, and cached on disk."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import gather
from torch.utils.data import Subset

from ddmi.experiment.config import Experiment
from ddmi.machine.checksums import weights_sha256
from ddmi.machine.listed_weights import save_listed
from ddmi.machine.safetensors_files import read_tensors
from ddmi.serialization import to_json
from ddmi.training.objectives import Encoder
from ddmi_diffusion import (
    DiffusionObjective,
    Guidance,
    LatentCache,
    LatentDiffusion,
    LatentSpace,
    MeanFlowObjective,
    Planes,
    PromptedLatents,
    StepRandom,
    encode_prompts,
)
from ddmi_diffusion.latent_space import Packing
from ddmi_modalities.datasets.splits import evenly_spaced
from ddmi_modalities.modality import DataSet, Digested
from ddmi_modalities.progress import progress
from ddmi_modalities.text.encoder import TextEncoder, pretrained_text_encoder
from ddmi_vae import D2CVAE, Posterior

STATISTICS = "statistics.safetensors"
"""Of latents that are not cached themselves."""
AT_ONCE = 32
"""Items that a process encodes at once."""

logger = logging.getLogger("ddmi")


@dataclass(frozen=True, kw_only=True)
class DiffusionSetup:
    """All that stage 2 trains, and on what."""

    latent_space: LatentSpace
    diffusion: LatentDiffusion
    conditioner: TextEncoder | None
    objective: DiffusionObjective
    data: Any
    """Items: of the data set, or rows of the cache."""
    collate: Callable[[Sequence[Any], StepRandom], Any]
    held_out: Any
    """Items likewise, not to be trained on; None where none were given."""


def set_up_diffusion(
    experiment: Experiment,
    vae: D2CVAE,
    data: DataSet[Any],
    held_out: DataSet[Any] | None,
    caches: Path,
    processes: PartialState,
) -> DiffusionSetup:
    """Stage 2 on the latents of a frozen autoencoder, before its first step.

    Args:
        experiment: Its diffusion says how.
        vae: On the device where latents are encoded.
        data: The training data.
        held_out: Items that losses are measured on and that are not trained on.
        caches: Directory of cached moments, made where they are missing or of another autoencoder.
        processes: All of which call this.

    Raises:
        ValueError: Sentences are asked for without a cache, or pretrained weights cannot be had.
    """
    settings, modality = experiment.diffusion, experiment.modality
    torch.manual_seed(experiment.diffusion_training.seed)
    conditioner = _conditioner(experiment, processes.device)
    items = cached_items(experiment, data)
    if settings.cache:
        latents = cached_moments(experiment, vae, items, caches / "train.npy", processes)
        rows = _prompted(experiment, latents, items, conditioner)
        latent_space = LatentSpace.fit(latents.moments(), settings.packing)
        collate, moments = rows.collate, None
    else:
        rows, latent_space = data, cached_statistics(experiment, vae, data, caches / STATISTICS, processes)
        collate, moments = modality.collate, Encoder(vae)
    others: Any = held_out
    if settings.cache and held_out is not None:
        latents = cached_moments(experiment, vae, held_out, caches / "held_out.npy", processes)
        others = _prompted(experiment, latents, held_out, conditioner)
    if not settings.whiten:
        latent_space = LatentSpace.identity(latent_space.plane_shapes, settings.packing)
    diffusion = settings.build(latent_space.plane_shapes, latent_space.shape)
    conditioning = {} if conditioner is None else _conditioning(experiment, conditioner, processes.device)
    return DiffusionSetup(
        latent_space=latent_space,
        diffusion=diffusion,
        conditioner=conditioner,
        objective=DiffusionObjective(diffusion, latent_space, moments=moments, **conditioning),
        data=rows,
        collate=collate,
        held_out=others,
    )


def mean_flow_objective(
    experiment: Experiment, setup: DiffusionSetup, guide: LatentDiffusion | None, device: torch.device
) -> MeanFlowObjective:
    """The objective of stage mean-flow, whose student starts from the weights of the setup's denoiser."""
    settings, shapes = experiment.diffusion, setup.latent_space.plane_shapes
    torch.manual_seed(experiment.mean_flow_training.seed)
    null = None if setup.conditioner is None else encode_prompts(setup.conditioner.to(device), [""], device)
    guided = null is not None or guide is not None
    guidance = Guidance(scale=settings.guidance_scale, null=null, guide=guide) if guided else None
    student = settings.of_mean_flow.build(shapes, setup.latent_space.shape)
    return MeanFlowObjective(student, setup.objective.to(device), guidance)


def _prompted(experiment: Experiment, latents: LatentCache, items: Any, conditioner: TextEncoder | None) -> Any:
    """Rows of the cache, with the captions of their items where there is a conditioner."""
    if conditioner is None:
        return latents
    captions = [experiment.modality.captions(items[i]) for i in range(len(items))] * experiment.diffusion.cache_views
    return PromptedLatents(latents, captions, conditioner, frozen=conditioner.config.frozen)


def encoded(
    experiment: Experiment, vae: D2CVAE, data: DataSet[Any], processes: PartialState, view: int = 0
) -> Iterator[tuple[Planes, Planes]]:
    """Posterior means and standard deviations of all items, in order, in batches; the same in every process.

    View 0 is the data as they are, others are augmented.  Every process encodes a part of each batch.
    """
    modality = experiment.modality
    device = next(vae.parameters()).device
    steps = range(0, len(data), AT_ONCE * processes.num_processes)
    for start in progress(steps, what=f"encoding {len(data)} items"):
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


def cached_items(experiment: Experiment, data: DataSet[Any]) -> Any:
    """The items of the data set that are cached."""
    count = experiment.diffusion.cached_items
    return data if count is None or count >= len(data) else Subset(data, evenly_spaced(len(data), count))  # type: ignore[arg-type]


def cached_moments(
    experiment: Experiment, vae: D2CVAE, data: DataSet[Any], path: Path, processes: PartialState
) -> LatentCache:
    """The cache of the moments of all items at `path`, made where it is missing, of other data or another autoencoder.

    To be called by all processes; the main one writes.
    """
    views, key = experiment.diffusion.cache_views, _key(experiment, vae, data)
    cache = LatentCache.opened(path, key)
    processes.wait_for_everyone()  # all have looked before one writes
    if cache is None:
        if path.exists():
            logger.warning("%s is damaged, or of other data or another autoencoder: encoding anew", path)
        batches = (batch for view in range(views) for batch in encoded(experiment, vae, data, processes, view))
        if processes.is_main_process:
            LatentCache.build(path, key, views * len(data), batches)
        else:
            for _ in batches:
                pass
        processes.wait_for_everyone()
    return cache or LatentCache(path, key)


def cached_statistics(
    experiment: Experiment, vae: D2CVAE, data: DataSet[Any], path: Path, processes: PartialState
) -> LatentSpace:
    """The latent space of all items, whose statistics are kept at `path`; all are encoded where it is of others.

    To be called by all processes; the main one writes.
    """
    packing, key = experiment.diffusion.packing, _key(experiment, vae, data)
    known = _statistics_at(path, key, packing)
    processes.wait_for_everyone()  # all have looked before one writes
    if known is not None:
        return known
    if path.exists():
        logger.warning("%s is damaged, or of other data or another autoencoder: encoding anew", path)
    fitted = LatentSpace.fit(encoded(experiment, vae, data, processes), packing)
    if processes.is_main_process:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_listed(path, fitted.tensors(), {"key": key, "plane_shapes": json.dumps(fitted.plane_shapes)})
    return fitted


def _statistics_at(path: Path, key: str, packing: Packing) -> LatentSpace | None:
    """What `cached_statistics` wrote for this key; None where there is nothing that can be read."""
    try:
        tensors, about = read_tensors(path)
        if about["key"] != key:
            return None
        shapes = [(c, h, w) for c, h, w in json.loads(about["plane_shapes"])]
        return LatentSpace.from_tensors(tensors, shapes, packing)
    except (ValueError, KeyError):
        return None


def _key(experiment: Experiment, vae: D2CVAE, data: DataSet[Any]) -> str:
    """Another one for other moments."""
    views = experiment.diffusion.cache_views
    content = [weights_sha256(vae), to_json(experiment.modality), views, len(data), content_of(experiment, data)]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def content_of(experiment: Experiment, data: DataSet[Any]) -> str:
    """A text that is another one as soon as any item's content is, be there as many of the same names.

    A data set that cannot say so itself is read: all that the encoder is going to see.
    """
    whole = data.dataset if isinstance(data, Subset) else data
    if isinstance(whole, Digested):
        return whole.digest()
    key = hashlib.sha256()
    for start in range(0, len(data), AT_ONCE):
        for plane in experiment.modality.inputs([data[i] for i in range(start, min(start + AT_ONCE, len(data)))]):
            key.update(plane.contiguous().numpy().data)
    return key.hexdigest()


def _conditioner(experiment: Experiment, device: torch.device) -> TextEncoder | None:
    """The text tower: new, or a frozen one with its pretrained weights."""
    text = experiment.diffusion.text
    if text is None:
        return None
    if not experiment.diffusion.cache:
        raise ValueError("generation from text trains on cached latents; leave diffusion.cache at True")
    if not text.frozen:
        return text.build()
    logger.info("text tower: pretrained weights %s", text.weights)
    return pretrained_text_encoder(str(text.weights)).to(device)


def _conditioning(experiment: Experiment, conditioner: TextEncoder, device: torch.device) -> dict[str, Any]:
    """What the objective needs: a tower to train, or the null condition of one that stays as it is."""
    dropout = experiment.diffusion.prompt_dropout
    if not conditioner.config.frozen:
        return {"conditioner": conditioner, "dropout": dropout}
    with torch.no_grad():
        return {"null": encode_prompts(conditioner, [""], device), "dropout": dropout}
