"""The stages of a run: autoencoder, autoencoder against a discriminator, latent diffusion."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from torch import nn

from ddmi.encoding import cached_items, cached_moments, encoded
from ddmi.experiment import Experiment
from ddmi.objectives import Encoder, vae_objective
from ddmi.pipeline import CONFIG, DDMI, GUIDE, VAE, read_experiment
from ddmi.serialization import to_json
from ddmi.weights import load_weights
from ddmi_diffusion import (
    DiffusionObjective,
    LatentSpace,
    PromptedLatents,
    Trainer,
    TrainerConfig,
    atomic_write_text,
    checkpoint_step,
    encode_prompts,
    latest_checkpoint,
    save_tensors,
)
from ddmi_modalities.text.tower import TextTower, pretrained_tower
from ddmi_vae import D2CVAE

Say = Callable[[str], None]
STAGES = ("vae", "vae-gan", "diffusion")


class Run:
    """An experiment and the directory that holds all it makes.

    RUN/config.json, vae.safetensors, denoiser, guide and latent_space.safetensors: the model (see `DDMI`).
    RUN/vae, RUN/vae-gan, RUN/diffusion: checkpoints, metrics.jsonl and sheets of each stage.
    RUN/latents: cached moments.
    """

    def __init__(self, experiment: Experiment, directory: Path, say: Say = print) -> None:
        self.experiment = experiment
        # one of several kinds, which are told apart nowhere in this module
        self.modality: Any = experiment.modality
        self.directory = directory
        self._say = say
        self.state = PartialState(cpu=experiment.vae_training.cpu)

    def say(self, text: str) -> None:
        if self.state.is_main_process:
            self._say(text)

    def train(self, stages: tuple[str, ...], resume: bool) -> None:
        """Trains the stages in order.  With `resume`, finished ones are left as they are."""
        for stage in stages:
            {"vae": self.vae, "vae-gan": self.vae_gan, "diffusion": self.diffusion}[stage](resume)

    # --- stage 1 -----------------------------------------------------------------------------------------------

    def vae(self, resume: bool) -> None:
        """Stage 1."""
        config = self.experiment.vae_training
        vae = self.new_vae(config.seed)
        self.say(f"stage vae: {_millions(vae)} parameters, {config.steps} steps of {config.batch_size}")
        trainer = self._vae_trainer(vae, config, "vae", adversary=None, judge=None)
        trainer.fit(self._resumes("vae", resume))
        self._save_vae(trainer, vae)

    def take_vae(self, source: Path) -> None:
        """Stage 1 by copying the autoencoder of another run.  ValueError where it is of another architecture."""
        theirs = read_experiment(source)
        for part in ("vae", "modality"):
            kind = type(getattr(self.experiment, part)) is type(getattr(theirs, part))
            if not kind or (part == "vae" and theirs.vae != self.experiment.vae):
                raise ValueError(
                    f"--vae {source}: its {part} has other settings than this recipe's (see {source / CONFIG}); "
                    "leave --vae out to train an autoencoder"
                )
        vae = self.new_vae(self.experiment.vae_training.seed)
        load_weights(vae, source / VAE, hint="train it with `ddmi train ... --stage vae`")
        if self.state.is_main_process:
            DDMI(self.experiment, vae).save_pretrained(self.directory)
            self.say(f"stage vae: took {source / VAE}")
        self.state.wait_for_everyone()

    def vae_gan(self, resume: bool) -> None:
        """Stage 1 continued from the weights of the first run, against a discriminator."""
        gan = self.experiment.gan
        if gan is None:
            raise ValueError(
                f"recipe {self.experiment.recipe!r}, preset {self.experiment.preset!r} has no stage vae-gan; "
                "choose --stage vae, diffusion or all"
            )
        vae = self.new_vae(gan.training.seed)
        load_weights(vae, self.directory / VAE, hint="train `--stage vae` first: this stage goes on from its weights")
        adversary, judge = gan.adversary.build()
        self.say(f"stage vae-gan: {gan.training.steps} steps of {gan.training.batch_size}")
        trainer = self._vae_trainer(vae, gan.training, "vae-gan", adversary=adversary, judge=judge)
        trainer.fit(self._resumes("vae-gan", resume))
        self._save_vae(trainer, vae)

    def new_vae(self, seed: int) -> D2CVAE:
        """An untrained autoencoder."""
        torch.manual_seed(seed)
        return self.experiment.vae.build(self.experiment.modality.layout)

    def _vae_trainer(self, vae: D2CVAE, config: TrainerConfig, stage: str, adversary: Any, judge: Any) -> Trainer:
        modality = self.modality
        objective = vae_objective(self.experiment, vae, config.steps, adversary)
        with self.state.main_process_first():  # the first process builds what is cached on disk
            data, held_out = modality.dataset("train"), modality.dataset("test")
        self.say(f"data: {len(data)} training items, {len(held_out)} held out")
        shown = [held_out[i * len(held_out) // 16] for i in range(min(16, len(held_out)))]

        def sheet(step: int, trained: nn.Module) -> None:
            device = next(trained.parameters()).device
            inputs = tuple(plane.to(device) for plane in modality.inputs(shown))
            made = modality.render(DDMI(self.experiment, vae).reconstruct(inputs), modality.View())
            made.save_sheet(self.directory / stage / "sheets" / f"{step:08d}.png")

        return Trainer(
            objective,
            data,
            modality.collate,
            config,
            self.directory / stage,
            discriminator=judge,
            discriminator_config=self.experiment.gan.discriminator if judge and self.experiment.gan else None,
            on_sheet=sheet,
        )

    def _save_vae(self, trainer: Trainer, vae: D2CVAE) -> None:
        trainer.load_average()
        if self.state.is_main_process:
            DDMI(self.experiment, vae.cpu()).save_pretrained(self.directory)
            self.say(f"saved {self.directory / VAE}")
        self.state.wait_for_everyone()

    # --- stage 2 -----------------------------------------------------------------------------------------------

    def diffusion(self, resume: bool) -> None:
        """Stage 2, on the moments of the frozen stage 1."""
        settings, config, modality = (
            self.experiment.diffusion,
            self.experiment.diffusion_training,
            self.modality,
        )
        vae = self.new_vae(config.seed)
        load_weights(vae, self.directory / VAE, hint="train `--stage vae` first: this stage models its latents")
        vae = vae.eval().requires_grad_(False).to(self.state.device)
        torch.manual_seed(config.seed)
        conditioner = self.conditioner()
        with self.state.main_process_first():  # the first process builds what is cached on disk
            data: Any = modality.dataset("train")
        moments: Any = None
        if settings.cache:
            items = cached_items(self.experiment, data)
            path = self.directory / "latents" / "train.npy"
            cache = data = cached_moments(self.experiment, vae, self.directory / VAE, items, path, self.state, self.say)
            statistics: Any = cache.moments()
            if conditioner is not None and settings.text is not None:
                captions = [modality.captions(items[i]) for i in range(len(items))] * settings.cache_views
                data = PromptedLatents(cache, captions, conditioner, frozen=settings.text.frozen)
            collate: Any = data.collate
        else:
            statistics, collate = encoded(self.experiment, vae, data, self.state), modality.collate
            moments = Encoder(vae)
        space = LatentSpace.fit(statistics, settings.packing)
        if not settings.whiten:
            space = LatentSpace.identity(space.plane_shapes, settings.packing)
        diffusion = settings.build(space.plane_shapes, space.shape)
        self.say(
            f"stage diffusion: {_millions(diffusion)} parameters, latent {space.shape}, "
            f"{config.steps} steps of {config.batch_size}"
        )
        model = DDMI(self.experiment, vae, space, diffusion, conditioner)
        prompts = self._sheet_prompts(16) if conditioner else None

        def sheet(step: int, trained: nn.Module) -> None:
            functions = model.sample(16, seed=0, steps=min(20, settings.sampling_steps), prompts=prompts)
            made = modality.render(functions, modality.View())
            made.save_sheet(self.directory / "diffusion" / "sheets" / f"{step:08d}.png")

        objective = DiffusionObjective(diffusion, space, moments=moments, **self.conditioning(conditioner))
        # weights of a guide are written when their step comes, so that a resumed training finds them
        milestones = {}
        if settings.guide_after is not None:
            after = self._guide_step(settings.guide_after, config.steps)
            milestones[after] = lambda *_: save_tensors(self.directory / GUIDE, diffusion.state_dict())
        folder = self.directory / "diffusion"
        trainer = Trainer(objective, data, collate, config, folder, on_sheet=sheet, milestones=milestones)
        trainer.fit(self._resumes("diffusion", resume))
        trainer.load_average()
        if self.state.is_main_process:
            if milestones:
                model.guide = settings.build(space.plane_shapes, space.shape)
                load_weights(model.guide, self.directory / GUIDE, hint="train stage 2 again")
            model.cpu().save_pretrained(self.directory)
            self.say(f"saved {self.directory}: generate with `ddmi sample {self.directory}`")
        self.state.wait_for_everyone()

    def _guide_step(self, part: float, steps: int) -> int:
        """When the guide is kept: after a part of the training, or as soon as can be where that is past.

        A training of more steps that is resumed with fewer has passed it without a guide.
        """
        after, path = max(1, int(part * steps)), latest_checkpoint(self.directory / "diffusion" / "checkpoints")
        done = 0 if path is None else checkpoint_step(path)
        if done < after or (self.directory / GUIDE).exists():
            return after
        self.say(f"the guide's step, {after}, is past: it is kept after step {done + 1}, and guides less")
        return done + 1

    def conditioner(self) -> TextTower | None:
        """The text tower: new, or a frozen one with its pretrained weights."""
        text, settings = self.experiment.diffusion.text, self.experiment.diffusion
        if text is None:
            return None
        if not settings.cache:
            raise ValueError("generation from text trains on cached latents; leave diffusion.cache at True")
        if not text.frozen:
            return text.build()
        self.say(f"text tower: pretrained weights {text.weights}")
        return pretrained_tower(str(text.weights)).to(self.state.device)

    def conditioning(self, conditioner: TextTower | None) -> dict[str, Any]:
        """What the objective needs: a tower to train, or the null condition of one that stays as it is."""
        if conditioner is None:
            return {}
        dropout = self.experiment.diffusion.prompt_dropout
        if not conditioner.config.frozen:
            return {"conditioner": conditioner, "dropout": dropout}
        with torch.no_grad():
            return {"null": encode_prompts(conditioner, [""], self.state.device), "dropout": dropout}

    def _sheet_prompts(self, count: int) -> list[str]:
        """Captions of held-out items."""
        modality = self.modality
        held_out = modality.dataset("test")
        return [next(iter(modality.captions(held_out[i % len(held_out)])), "") for i in range(count)]

    def _resumes(self, stage: str, resume: bool) -> bool:
        """`--resume` of a run that never reached this stage starts it."""
        return resume and latest_checkpoint(self.directory / stage / "checkpoints") is not None


def start_run(experiment: Experiment, directory: Path, *, fresh: bool, say: Say = print) -> Run:
    """A run in a directory, new or gone on with; its config.json is written.

    Raises ValueError where `fresh` and anything was trained there, where it was of another model (its checkpoints could
    not be loaded), and for a directory that is a file.
    """
    if directory.exists() and not directory.is_dir():
        raise ValueError(f"--run {directory} is a file; name a directory")
    if (directory / VAE).exists() or any((directory / stage / "checkpoints").exists() for stage in STAGES):
        if fresh:
            raise ValueError(f"{directory} holds a run already; go on with --resume, or name another --run")
        theirs = read_experiment(directory)
        for part in ("recipe", "vae", "diffusion"):
            if getattr(theirs, part) != getattr(experiment, part):
                raise ValueError(
                    f"{directory} was started with another {part}; repeat its settings (see {directory / CONFIG}), "
                    "or name another --run"
                )
    run = Run(experiment, directory, say)
    directory.mkdir(parents=True, exist_ok=True)
    if run.state.is_main_process:
        atomic_write_text(directory / CONFIG, json.dumps(to_json(experiment), indent=2) + "\n")
    return run


def _millions(module: nn.Module) -> str:
    return f"{sum(p.numel() for p in module.parameters()) / 1e6:.1f} M"
