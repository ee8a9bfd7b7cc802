"""The stages of a run: autoencoder, autoencoder against a discriminator, latent diffusion, its mean flow."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from torch import nn
from torch.utils.data import Subset

from ddmi.experiment.config import Experiment
from ddmi.machine.listed_weights import save_listed
from ddmi.machine.safetensors_files import load_weights
from ddmi.pipeline import CONDITIONER, CONFIG, DDMI, DENOISER, GUIDE, MEAN_FLOW, VAE, read_experiment
from ddmi.registry import settled
from ddmi.serialization import experiment_text
from ddmi.training.initialisation import start_from
from ddmi.training.latents import DiffusionSetup, mean_flow_objective, set_up_diffusion
from ddmi.training.objectives import vae_objective
from ddmi_diffusion import (
    HeldOut,
    LatentDiffusion,
    Trainer,
    TrainerConfig,
    alone_in,
    atomic_write_text,
    checkpoint_step,
    latest_checkpoint,
)
from ddmi_diffusion.atomic_files import remove_stale
from ddmi_modalities.datasets.attribution import ATTRIBUTION
from ddmi_modalities.datasets.splits import evenly_spaced
from ddmi_modalities.files.whole import remove_halves
from ddmi_vae import D2CVAE, AdversarialTerm

logger = logging.getLogger("ddmi")

STAGES = ("vae", "vae-gan", "diffusion", "mean-flow")
PREVIEWS = "previews"
SHOWN = 16
"""Functions of a preview."""


class Run:
    """An experiment and the directory that holds all it makes.

    RUN/config.json, vae.safetensors, denoiser, guide, mean_flow, latent_space.safetensors: the model (see `DDMI`).
    RUN/vae, RUN/vae-gan, RUN/diffusion, RUN/mean-flow: checkpoints, metrics.jsonl and previews of each stage.
    RUN/latents: cached moments.
    """

    def __init__(self, experiment: Experiment, directory: Path) -> None:
        self.experiment, self.modality, self.directory = experiment, experiment.modality, directory
        self.processes = PartialState(cpu=experiment.vae_training.cpu)

    def train(self, stages: tuple[str, ...], resume: bool) -> None:
        """Trains the stages in order.  With `resume`, finished ones are left as they are."""
        for stage in stages:
            getattr(self, stage.replace("-", "_"))(resume)

    # --- stage 1 -----------------------------------------------------------------------------------------------

    def vae(self, resume: bool) -> None:
        """Stage 1."""
        config = self.experiment.vae_training
        vae = self.new_vae(config.seed)
        self._start_from(vae, VAE, "vae", resume)
        logger.info("stage vae: %s parameters, %d steps of %d", _millions(vae), config.steps, config.batch_size)
        trainer = self._vae_trainer(vae, config, "vae")
        trainer.fit(self._resumes("vae", resume))
        self._save_vae(trainer, vae)

    def take_vae(self, source: Path) -> None:
        """Stage 1 by copying the autoencoder of another run.  ValueError where it is of another architecture."""
        theirs = read_experiment(source)
        if theirs.vae != self.experiment.vae or type(theirs.modality) is not type(self.modality):
            raise ValueError(
                f"--vae {source}: its autoencoder is of another architecture than this recipe's (see "
                f"{source / CONFIG}); leave --vae out to train one"
            )
        vae = self.new_vae(self.experiment.vae_training.seed)
        load_weights(vae, source / VAE, hint="train it with `ddmi train ... --stage vae`")
        if self.processes.is_main_process:
            DDMI(self.experiment, vae).save_pretrained(self.directory)
            logger.info("stage vae: took %s", source / VAE)
        self.processes.wait_for_everyone()

    def vae_gan(self, resume: bool) -> None:
        """Stage 1 continued from the weights of the first run, against a discriminator."""
        discriminator, config = self.experiment.losses.discriminator, self.experiment.gan.training
        if discriminator is None:
            raise ValueError(
                f"recipe {self.experiment.recipe!r}, preset {self.experiment.preset!r} has no stage vae-gan; choose "
                "--stage vae, diffusion or all, or a discriminator with --set losses.discriminator=patch"
            )
        vae = self.new_vae(config.seed)
        load_weights(vae, self.directory / VAE, hint="train `--stage vae` first: this stage goes on from its weights")
        adversarial, judge = discriminator.build()
        logger.info("stage vae-gan: %d steps of %d", config.steps, config.batch_size)
        trainer = self._vae_trainer(vae, config, "vae-gan", adversarial, judge)
        trainer.fit(self._resumes("vae-gan", resume))
        self._save_vae(trainer, vae)

    def new_vae(self, seed: int) -> D2CVAE:
        """An untrained autoencoder."""
        torch.manual_seed(seed)
        return self.experiment.vae.build(self.modality.layout)

    def _vae_trainer(
        self,
        vae: D2CVAE,
        config: TrainerConfig,
        stage: str,
        adversarial: AdversarialTerm | None = None,
        judge: nn.Module | None = None,
    ) -> Trainer:
        modality = self.modality
        if self.experiment.freeze_encoder:
            vae.encoder.requires_grad_(False)
        objective = vae_objective(self.experiment, vae, config.steps, adversarial)
        with self.processes.main_process_first():  # the first process builds what is cached on disk
            data, held_out = modality.dataset("train"), modality.dataset("test")
        logger.info("data: %d training items, %d held out", len(data), len(held_out))
        shown = [held_out[i] for i in evenly_spaced(len(held_out), SHOWN)]

        def preview(step: int, trained: nn.Module) -> None:
            functions = DDMI(self.experiment, vae).reconstruct(modality.inputs(shown))
            modality.render(functions, modality.RenderOptions()).save_sheet(self._preview(stage, step))

        return Trainer(
            objective,
            data,
            modality.collate,
            config,
            self.directory / stage,
            discriminator=judge,
            discriminator_config=None if judge is None else self.experiment.gan.discriminator,
            on_preview=preview,
            held_out=HeldOut(held_out, watch="nll"),
        )

    def _save_vae(self, trainer: Trainer, vae: D2CVAE) -> None:
        trainer.load_average()
        if self.processes.is_main_process:
            DDMI(self.experiment, vae.cpu()).save_pretrained(self.directory)
            logger.info("saved %s", self.directory / VAE)
        self.processes.wait_for_everyone()

    # --- stage 2 -----------------------------------------------------------------------------------------------

    def diffusion(self, resume: bool) -> None:
        """Stage 2, on the moments of the frozen stage 1."""
        settings, config = self.experiment.diffusion, self.experiment.diffusion_training
        model, setup = self._on_latents(config)
        diffusion = setup.diffusion
        self._start_from(diffusion, DENOISER, "diffusion", resume)
        if setup.conditioner is not None and not setup.conditioner.config.frozen:
            self._start_from(setup.conditioner, CONDITIONER, "diffusion", resume)
        logger.info(
            "stage diffusion: %s parameters, latent %s, %d steps of %d",
            _millions(diffusion), setup.latent_space.shape, config.steps, config.batch_size,
        )  # fmt: skip
        # weights of a guide are written when their step comes, so that a resumed training finds them
        milestones = {}
        if settings.guide_after is not None:
            after = self._guide_step(settings.guide_after, config.steps)
            milestones[after] = lambda *_: save_listed(self.directory / GUIDE, diffusion.state_dict())
        trainer = Trainer(
            setup.objective, setup.data, setup.collate, config, self.directory / "diffusion", milestones=milestones,
            on_preview=self._sampled(model, "diffusion", num_steps=min(20, settings.num_steps)),
            held_out=None if setup.held_out is None else HeldOut(setup.held_out),
        )  # fmt: skip
        trainer.fit(self._resumes("diffusion", resume))
        trainer.load_average()
        if self.processes.is_main_process:
            if milestones:
                model.guide = self._guide(setup)
            model.cpu().save_pretrained(self.directory)
            logger.info("saved %s: generate with `ddmi sample %s`", self.directory, self.directory)
        self.processes.wait_for_everyone()

    def mean_flow(self, resume: bool) -> None:
        """Stage 2 continued to few steps, from the weights of the flow model and with its guidance."""
        config = self.experiment.mean_flow_training
        model, setup = self._on_latents(config)
        hint = "train `--stage diffusion` first: this stage goes on from its weights"
        load_weights(setup.diffusion, self.directory / DENOISER, hint=hint)
        if setup.conditioner is not None:
            load_weights(setup.conditioner, self.directory / CONDITIONER, hint=hint)
        device = self.processes.device
        guide = None if self.experiment.diffusion.guide_after is None else self._guide(setup).eval().to(device)
        objective = mean_flow_objective(self.experiment, setup, guide, device)
        model.mean_flow = objective.student
        logger.info("stage mean-flow: %d steps of %d", config.steps, config.batch_size)
        trainer = Trainer(
            objective, setup.data, setup.collate, config, self.directory / "mean-flow",
            on_preview=self._sampled(model, "mean-flow", sampler="mean-flow"),
            held_out=None if setup.held_out is None else HeldOut(setup.held_out),
        )  # fmt: skip
        trainer.fit(self._resumes("mean-flow", resume))
        trainer.load_average()
        if self.processes.is_main_process:
            model.guide = guide
            model.cpu().save_pretrained(self.directory)
            logger.info("saved %s: `ddmi sample %s --sampler mean-flow`", self.directory / MEAN_FLOW, self.directory)
        self.processes.wait_for_everyone()

    def _on_latents(self, config: TrainerConfig) -> tuple[DDMI, DiffusionSetup]:
        """An untrained stage 2 on the latents of the run's autoencoder."""
        vae = self.new_vae(config.seed)
        load_weights(vae, self.directory / VAE, hint="train `--stage vae` first: this stage models its latents")
        vae = vae.eval().requires_grad_(False).to(self.processes.device)
        with self.processes.main_process_first():  # the first process builds what is cached on disk
            data, held_out = self.modality.dataset("train"), self._measured(config)
        setup = set_up_diffusion(self.experiment, vae, data, held_out, self.directory / "latents", self.processes)
        return DDMI(self.experiment, vae, setup.latent_space, setup.diffusion, setup.conditioner), setup

    def _guide(self, setup: DiffusionSetup) -> LatentDiffusion:
        guide = self.experiment.diffusion.build(setup.latent_space.plane_shapes, setup.latent_space.shape)
        load_weights(guide, self.directory / GUIDE, hint="train stage 2 again")
        return guide

    def _sampled(self, model: DDMI, stage: str, **how: Any) -> Callable[[int, nn.Module], None]:
        """A preview: samples of the weights as they are."""
        prompts = None if model.conditioner is None else self._preview_prompts(SHOWN)

        def preview(step: int, trained: nn.Module) -> None:
            functions = model.sample(SHOWN, seed=0, prompts=prompts, **how)
            self.modality.render(functions, self.modality.RenderOptions()).save_sheet(self._preview(stage, step))

        return preview

    def _measured(self, config: TrainerConfig) -> Any:
        """Held-out items whose losses are measured, where they are; None otherwise."""
        if not config.validate_every:
            return None
        held_out = self.modality.dataset("test")
        return Subset(held_out, evenly_spaced(len(held_out), HeldOut.most))  # type: ignore[arg-type]

    def _guide_step(self, part: float, steps: int) -> int:
        """When the guide is kept: after a part of the training, or as soon as can be where that is past.

        A training of more steps that is resumed with fewer has passed it without a guide.
        """
        after, path = max(1, int(part * steps)), latest_checkpoint(self.directory / "diffusion" / "checkpoints")
        done = 0 if path is None else checkpoint_step(path)
        if done < after or (self.directory / GUIDE).exists():
            return after
        logger.warning("the guide's step, %d, is past: it is kept after step %d, and guides less", after, done + 1)
        return done + 1

    def _preview(self, stage: str, step: int) -> Path:
        return self.directory / stage / PREVIEWS / f"{step:08d}.png"

    def _preview_prompts(self, count: int) -> list[str]:
        """Captions of held-out items."""
        held_out = self.modality.dataset("test")
        return [next(iter(self.modality.captions(held_out[i % len(held_out)])), "") for i in range(count)]

    def _start_from(self, module: nn.Module, file: str, stage: str, resume: bool) -> None:
        """Gives a network what fits of the model that the experiment starts from, where its own training is not gone on
        with."""
        if self.experiment.init is not None and not self._resumes(stage, resume):
            start_from(module, self.experiment.init, file)

    def _resumes(self, stage: str, resume: bool) -> bool:
        """`--resume` of a run that never reached this stage starts it."""
        return resume and latest_checkpoint(self.directory / stage / "checkpoints") is not None


@contextmanager
def start_run(experiment: Experiment, directory: Path, *, fresh: bool) -> Iterator[Run]:
    """A run in a directory, new or gone on with, while nobody else trains there; its config.json is written.

    What the experiment's data tell of it is settled first.

    Raises ValueError where another process trains there, where `fresh` and anything was trained there, where it was of
    another model (its checkpoints could not be loaded), and for a directory that is a file.
    """
    if directory.exists() and not directory.is_dir():
        raise ValueError(f"--run {directory} is a file; name a directory")
    experiment = settled(experiment)
    run = Run(experiment, directory)
    with alone_in(directory) if run.processes.is_main_process else nullcontext():
        _check_directory(experiment, directory, fresh)
        if run.processes.is_main_process:
            for folder in (directory, *(directory / name for name in STAGES)):
                remove_stale(folder)
                remove_halves(folder / PREVIEWS)
            if attribution := experiment.attribution:
                atomic_write_text(directory / ATTRIBUTION, attribution + "\n")
            atomic_write_text(directory / CONFIG, experiment_text(experiment))
        yield run


def _check_directory(experiment: Experiment, directory: Path, fresh: bool) -> None:
    if (directory / VAE).exists() or any((directory / stage / "checkpoints").exists() for stage in STAGES):
        if fresh:
            raise ValueError(f"{directory} holds a run already; go on with --resume, or name another --run")
        theirs = read_experiment(directory)
        for part in ("recipe", "vae", "losses", "diffusion"):
            if getattr(theirs, part) != getattr(experiment, part):
                raise ValueError(
                    f"{directory} was started with another {part}; go on with its own settings (--config "
                    f"{directory / CONFIG}), name another --run, or remove it"
                )


def _millions(module: nn.Module) -> str:
    return f"{sum(p.numel() for p in module.parameters()) / 1e6:.1f} M"
