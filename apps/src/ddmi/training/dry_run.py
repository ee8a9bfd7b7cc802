"""`ddmi train --dry-run`: what training would find, need and take; no run is written."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn
from torch.utils.data import Subset

from ddmi.experiment.config import Experiment
from ddmi.registry import settled
from ddmi.training.latents import DiffusionSetup, mean_flow_objective, set_up_diffusion
from ddmi.training.objectives import vae_objective
from ddmi.training.run import Run
from ddmi.training.step_cost import StepCost, measure_step
from ddmi_diffusion import StepRandom, TrainerConfig
from ddmi_diffusion.latent_space import PlaneShape
from ddmi_modalities.datasets.left_out import some_of
from ddmi_modalities.datasets.manifest import describe_manifest
from ddmi_modalities.datasets.splits import SPLITS, evenly_spaced
from ddmi_modalities.modality import Batch, DataSet, Described, Modality
from ddmi_vae import D2CVAE

CHECKED = 32
"""Items of a split that are read, evenly over all of it."""
DEAR_DATA = 0.25
"""Of a step's time, from which on the data are said to hold it up."""
ENCODED = 4
"""Items whose latents stand for all."""


def dry_run(experiment: Experiment, stages: Sequence[str]) -> None:
    """Reads some of the data, counts parameters, and measures a step of each of the stages; prints what it finds.

    Raises ValueError where the data, or a setting, would stop the training.
    """
    experiment = settled(experiment)
    modality = experiment.modality
    if prepared := describe_manifest(Path(modality.source)):
        print(prepared)
    data = {split: modality.dataset(split) for split in SPLITS}  # which say themselves what they leave out
    for split, items in data.items():
        _check(modality, items, split, experiment.diffusion.text is not None)
    with tempfile.TemporaryDirectory() as folder:
        measuring = StageCosts(Run(experiment, Path(folder)), data["train"])
        for stage in stages:
            print(measuring.of(stage))
    print("dry run: no run was written; leave --dry-run out to train")


def _check(modality: Modality, data: DataSet[Any], split: str, text: bool) -> None:
    places = evenly_spaced(len(data), CHECKED)
    problems, shapes, captions = [], set(), 0
    for item in (data[i] for i in places):
        try:
            shapes.add(" and ".join(str(tuple(plane.shape[1:])) for plane in modality.inputs([item])))
            captions += len(modality.captions(item))
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError(
            f"dry run: {len(problems)} of {len(places)} items of the split {split!r} that were read cannot be used: "
            f"{some_of(problems)}"
        )
    described = f", {data.describe()}" if isinstance(data, Described) else ""
    sentences = f", {captions / len(places):.1f} captions each" if text else ""
    print(f"data {split}: {len(data)} items{described}; {len(places)} read, inputs {', '.join(shapes)}{sentences}")


@dataclass(frozen=True)
class StageCost:
    """What a stage trains, for how long, and what a step of it costs."""

    stage: str
    parts: dict[str, nn.Module]
    config: TrainerConfig
    cost: StepCost
    latents: Sequence[PlaneShape] = ()
    """Shapes of an item's, where the stage learns of latents."""

    def __str__(self) -> str:
        shapes = f"latents: {', '.join(map(str, self.latents))} an item\n" if self.latents else ""
        parts = ", ".join(f"{name} {_count(part)}" for name, part in self.parts.items())
        steps = f"{self.config.steps} steps of {self.config.batch_size}"
        return (
            f"{shapes}stage {self.stage}: {parts} parameters\n  {self.cost}\n"
            f"  {steps}: {_duration(self.config.steps * self.cost.seconds)}{self._limit()}"
        )

    def _limit(self) -> str:
        """A line where the data hold the training up."""
        data, whole = self.cost.data_seconds, self.cost.seconds
        if data < DEAR_DATA * whole:
            return ""
        workers = max(1, math.ceil(data / max(whole - data, 1e-9)))
        return (
            f"\n  the data take {data / whole:.0%} of a step: {workers} process(es) would prepare them meanwhile, "
            f"{self.stage} training's num_workers"
        )


class StageCosts:
    """Costs of the stages on a few items, each from untrained weights."""

    def __init__(self, run: Run, data: DataSet[Any]) -> None:
        self.run, self.experiment, self.modality, self.data = run, run.experiment, run.modality, data

    def of(self, stage: str) -> StageCost:
        """What a stage costs.  ValueError where the recipe has none of this name."""
        stages = {"vae": self.vae, "vae-gan": self.vae_gan, "diffusion": self.diffusion, "mean-flow": self.mean_flow}
        return stages[stage]()

    def vae(self) -> StageCost:
        config, vae = self.experiment.vae_training, self._new_vae()
        parts = {name: getattr(vae, name) for name in ("encoder", "decoder", "read_out")}
        cost = measure_step(vae_objective(self.experiment, vae, config.steps), self._batches, config)
        return StageCost("vae", parts, config, cost)

    def vae_gan(self) -> StageCost:
        discriminator, gan = self.experiment.losses.discriminator, self.experiment.gan
        if discriminator is None:
            raise ValueError(f"recipe {self.experiment.recipe!r} has no stage vae-gan; choose --stage vae or diffusion")
        adversarial, judge = discriminator.build()
        objective = vae_objective(self.experiment, self._new_vae(), gan.training.steps, adversarial)
        cost = measure_step(objective, self._batches, gan.training, (judge, gan.discriminator))
        return StageCost("vae-gan", {"discriminator": judge}, gan.training, cost)

    def diffusion(self) -> StageCost:
        config, (setup, batches) = self.experiment.diffusion_training, self._on_latents()
        parts: dict[str, nn.Module] = {"denoiser": setup.diffusion.denoiser}
        if setup.conditioner is not None:
            parts["text tower"] = setup.conditioner
        cost = measure_step(setup.objective, batches, config)
        return StageCost("diffusion", parts, config, cost, setup.latent_space.plane_shapes)

    def mean_flow(self) -> StageCost:
        config, (setup, batches) = self.experiment.mean_flow_training, self._on_latents()
        settings = self.experiment.diffusion
        guide = settings.build(setup.latent_space.plane_shapes, setup.latent_space.shape)
        objective = mean_flow_objective(
            self.experiment, setup, None if settings.guide_after is None else guide, self.run.processes.device
        )
        cost = measure_step(objective, batches, config)
        return StageCost("mean-flow", {"denoiser": objective.student}, config, cost)

    def _on_latents(self) -> tuple[DiffusionSetup, Callable[[int, StepRandom], Any]]:
        """Stage 2 on the latents of a few items, and its batches."""
        run = self.run
        vae = self._new_vae().eval().requires_grad_(False).to(run.processes.device)
        few: Any = Subset(self.data, range(min(ENCODED, len(self.data))))  # type: ignore[arg-type]
        setup = set_up_diffusion(self.experiment, vae, few, None, run.directory, run.processes)

        def batches(count: int, rng: StepRandom) -> Any:
            return setup.collate([setup.data[i % len(setup.data)] for i in range(count)], rng)

        return setup, batches

    def _new_vae(self) -> D2CVAE:
        return self.run.new_vae(self.experiment.vae_training.seed)

    def _batches(self, count: int, rng: StepRandom) -> Batch:
        return self.modality.collate([self.data[i % len(self.data)] for i in range(count)], rng)


def _duration(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{max(1, round(seconds / 60))} min"


def _count(module: nn.Module) -> str:
    count = sum(weight.numel() for weight in module.parameters())
    return f"{count / 1e6:.1f} M" if count >= 1e5 else str(count)
