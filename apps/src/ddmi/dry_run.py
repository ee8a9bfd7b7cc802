"""`ddmi train --dry-run`: what training would find, need and take; no run is written."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn

from ddmi.experiment import Experiment
from ddmi.objectives import Encoder, vae_objective
from ddmi.stages import Run
from ddmi.step_cost import Batches, StepCost, measure_step
from ddmi_diffusion import (
    DiffusionObjective,
    LatentCache,
    LatentSpace,
    Planes,
    PromptedLatents,
    StepRandom,
    TrainerConfig,
)
from ddmi_modalities.manifest import describe_manifest
from ddmi_modalities.splits import SPLITS
from ddmi_vae import D2CVAE

CHECKED = 32
"""Items of a split that are read, evenly over all of it."""
ENCODED = 4
"""Items whose latents stand for all."""

Say = Callable[[str], None]


@runtime_checkable
class Described(Protocol):
    """A data set that can say more of itself than its length."""

    def describe(self) -> str: ...


def dry_run(experiment: Experiment, stages: Sequence[str], say: Say) -> None:
    """Reads some of the data, counts parameters, and measures a step of each of the stages.

    Raises ValueError where the data, or a setting, would stop the training.
    """
    modality: Any = experiment.modality
    if prepared := describe_manifest(Path(getattr(modality, "source", ""))):
        say(prepared)
    data = {split: modality.dataset(split) for split in SPLITS}  # which say themselves what they leave out
    for split, items in data.items():
        _check(modality, items, split, experiment.diffusion.text is not None, say)
    with tempfile.TemporaryDirectory() as folder:
        measuring = _DryRun(Run(experiment, Path(folder), say), data["train"], say)
        for stage in stages:
            {"vae": measuring.vae, "vae-gan": measuring.vae_gan, "diffusion": measuring.diffusion}[stage]()
    say("dry run: no run was written; leave --dry-run out to train")


def _check(modality: Any, data: Any, split: str, text: bool, say: Say) -> None:
    places = sorted({i * len(data) // CHECKED for i in range(CHECKED)} & set(range(len(data))))
    problems, shapes, captions = [], set(), 0
    for item in (data[i] for i in places):
        try:
            shapes.add(" and ".join(str(tuple(plane.shape[1:])) for plane in modality.inputs([item])))
            captions += len(modality.captions(item))
        except ValueError as error:
            problems.append(str(error))
    if problems:
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise ValueError(
            f"dry run: {len(problems)} of {len(places)} items of the split {split!r} that were read cannot be used: "
            f"{'; '.join(problems[:3])}{more}"
        )
    described = f", {data.describe()}" if isinstance(data, Described) else ""
    sentences = f", {captions / len(places):.1f} captions each" if text else ""
    say(f"data {split}: {len(data)} items{described}; {len(places)} read, inputs {', '.join(shapes)}{sentences}")


class _DryRun:
    """The stages on a few items, each from untrained weights."""

    def __init__(self, run: Run, data: Any, say: Say) -> None:
        self.run, self.experiment, self.modality, self.data, self._say = run, run.experiment, run.modality, data, say

    def vae(self) -> None:
        config, vae = self.experiment.vae_training, self._new_vae()
        parts = {name: getattr(vae, name) for name in ("encoder", "decoder", "read_out")}
        cost = measure_step(vae_objective(self.experiment, vae, config.steps), self._batches, config)
        self._report("vae", parts, config, cost)

    def vae_gan(self) -> None:
        gan = self.experiment.gan
        if gan is None:
            raise ValueError(f"recipe {self.experiment.recipe!r} has no stage vae-gan; choose --stage vae or diffusion")
        adversary, judge = gan.adversary.build()
        objective = vae_objective(self.experiment, self._new_vae(), gan.training.steps, adversary)
        cost = measure_step(objective, self._batches, gan.training, (judge, gan.discriminator))
        self._report("vae-gan", {"discriminator": judge}, gan.training, cost)

    def diffusion(self) -> None:
        settings, config, run = self.experiment.diffusion, self.experiment.diffusion_training, self.run
        vae = self._new_vae().eval().requires_grad_(False).to(run.state.device)
        items = [self.data[i] for i in range(min(ENCODED, len(self.data)))]
        with torch.no_grad():
            posterior = vae.encode(tuple(plane.to(run.state.device) for plane in self.modality.inputs(items)))
        moments = [(posterior.mean, posterior.std)]
        space = LatentSpace.fit(moments, settings.packing)
        if not settings.whiten:
            space = LatentSpace.identity(space.plane_shapes, settings.packing)
        conditioner = run.conditioner()
        diffusion = settings.build(space.plane_shapes, space.shape)
        encoder = None if settings.cache else Encoder(vae)
        objective = DiffusionObjective(diffusion, space, moments=encoder, **run.conditioning(conditioner))
        batches = self._cached(moments, items, conditioner) if settings.cache else self._batches
        parts: dict[str, nn.Module] = {"denoiser": diffusion.denoiser}
        if conditioner is not None:
            parts["text tower"] = conditioner
        self._say(f"latents: {', '.join(str(shape) for shape in space.plane_shapes)} an item")
        self._report("diffusion", parts, config, measure_step(objective, batches, config))

    def _cached(self, moments: list[tuple[Planes, Planes]], items: list[Any], conditioner: Any) -> Batches:
        """Batches of cached latents: those of the given items, again and again."""
        settings = self.experiment.diffusion
        cache: Any = LatentCache.build(self.run.directory / "latents.npy", "", len(items), moments)
        if conditioner is not None and settings.text is not None:
            captions = [self.modality.captions(item) for item in items]
            cache = PromptedLatents(cache, captions, conditioner, frozen=settings.text.frozen)
        return lambda count, rng: cache.collate([cache[i % len(items)] for i in range(count)], rng)

    def _new_vae(self) -> D2CVAE:
        return self.run.new_vae(self.experiment.vae_training.seed)

    def _batches(self, count: int, rng: StepRandom) -> Any:
        return self.modality.collate([self.data[i % len(self.data)] for i in range(count)], rng)

    def _report(self, stage: str, parts: dict[str, nn.Module], config: TrainerConfig, cost: StepCost) -> None:
        self._say(f"stage {stage}: {', '.join(f'{name} {_count(part)}' for name, part in parts.items())} parameters")
        self._say(f"  {cost}")
        self._say(f"  {config.steps} steps of {config.batch_size}: {_duration(config.steps * cost.seconds)}")


def _duration(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{max(1, round(seconds / 60))} min"


def _count(module: nn.Module) -> str:
    count = sum(weight.numel() for weight in module.parameters())
    return f"{count / 1e6:.1f} M" if count >= 1e5 else str(count)
