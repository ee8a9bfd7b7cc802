"""`DDMI`: a trained model that generates and reconstructs continuous functions."""

from __future__ import annotations

import json
import logging
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ddmi.experiment.config import Experiment
from ddmi.machine.checksums import weights_sha256
from ddmi.machine.listed_weights import save_listed
from ddmi.machine.safetensors_files import load_network, read_tensors
from ddmi.model_card import model_card
from ddmi.model_directory import HUB, check_repository, model_directory, upload
from ddmi.serialization import experiment_text, read_experiment_file
from ddmi_diffusion import (
    Conditioning,
    Guidance,
    LatentDiffusion,
    LatentSpace,
    atomic_write_text,
    encode_prompts,
    seeded_normal,
)
from ddmi_diffusion.device_transfer import to_device
from ddmi_diffusion.stored_precision import Precision, restored, stored
from ddmi_fields import ImplicitFunction
from ddmi_modalities.datasets.attribution import ATTRIBUTION, attribution_of
from ddmi_modalities.plain_exploration import draw
from ddmi_modalities.progress import progress
from ddmi_modalities.text import TextEncoder
from ddmi_vae import D2CVAE, Planes

CONFIG, VAE, DENOISER, GUIDE, MEAN_FLOW, LATENT_SPACE, CONDITIONER = (
    "config.json",
    "vae.safetensors",
    "denoiser.safetensors",
    "guide.safetensors",
    "mean_flow.safetensors",
    "latent_space.safetensors",
    "conditioner.safetensors",
)

AUTOENCODER = "autoencoder"
"""In the metadata of the latent space: a hash of the autoencoder's weights, which the denoiser belongs to."""
TRAINED = "denoiser"
"""In the metadata of the mean flow: a hash of the denoiser's weights, from which it was learned."""
FEW = 4
"""Steps of a mean flow, where nobody says how many."""

logger = logging.getLogger("ddmi")


class DDMI(nn.Module):
    """A D2C-VAE and, after stage 2, a diffusion model of its latents; a `FunctionSource`.

    Examples:
        >>> model = DDMI.from_pretrained("runs/demo")  # doctest: +SKIP
        >>> images = model.sample(4, seed=0).grid((512, 512))  # doctest: +SKIP
    """

    def __init__(
        self,
        experiment: Experiment,
        vae: D2CVAE,
        latent_space: LatentSpace | None = None,
        diffusion: LatentDiffusion | None = None,
        conditioner: TextEncoder | None = None,
        guide: LatentDiffusion | None = None,
        mean_flow: LatentDiffusion | None = None,
    ) -> None:
        super().__init__()
        self.experiment = experiment
        self.vae = vae
        self.latent_space = latent_space
        self.diffusion = diffusion
        self.conditioner = conditioner
        self.guide = guide
        self.mean_flow = mean_flow
        self.revision: str | None = None
        """The commit of the repository that it was loaded from."""
        self.attribution = experiment.attribution
        """Whose the data are that it was trained on; None: nobody told.  It goes where the model goes."""

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def can_prompt(self) -> bool:
        """Whether samples can be asked for by a sentence."""
        return self.can_sample and self.conditioner is not None

    @property
    def can_sample(self) -> bool:
        """Whether stage 2 has been trained."""
        return self.latent_space is not None and self.diffusion is not None

    def _generative(self) -> tuple[LatentSpace, LatentDiffusion]:
        if self.latent_space is None or self.diffusion is None:
            raise ValueError(
                f"this model has no {DENOISER}: only its autoencoder is trained; train stage 2 with "
                "`ddmi train ... --stage diffusion --resume`"
            )
        return self.latent_space, self.diffusion

    @torch.no_grad()
    def sample(
        self,
        count: int,
        *,
        seed: int = 0,
        start: int = 0,
        num_steps: int | None = None,
        sampler: str | None = None,
        prompts: str | Sequence[str] | None = None,
        guidance_scale: float | None = None,
        guidance_interval: tuple[float, float] = (0.0, 1.0),
    ) -> ImplicitFunction:
        """`count` generated functions; function i depends on (seed, start + i) only, and has every resolution.

        Args:
            num_steps, sampler: default to those of the recipe; four steps of the sampler "mean-flow", after its stage.
            prompts: what to generate, one sentence for all or one each; None: anything.
            guidance_scale: w of `worse + w (eps - worse)`, where worse is the prediction without the prompt (0 ignores
                the prompt), or of the model's guide if it has one; 1 is no guidance; default the recipe's.
            guidance_interval: times, as fractions of the noise process (1 is pure noise), in which guidance acts;
                outside them w is 1.
        """
        return self.decode(
            self.sample_latents(
                count, seed=seed, start=start, num_steps=num_steps, sampler=sampler, prompts=prompts,
                guidance_scale=guidance_scale, guidance_interval=guidance_interval,
            )
        )  # fmt: skip

    @torch.no_grad()
    def sample_latents(
        self,
        count: int,
        *,
        seed: int = 0,
        start: int = 0,
        num_steps: int | None = None,
        sampler: str | None = None,
        prompts: str | Sequence[str] | None = None,
        guidance_scale: float | None = None,
        guidance_interval: tuple[float, float] = (0.0, 1.0),
        noise: Float[Tensor, "count ..."] | None = None,
    ) -> Float[Tensor, "count ..."]:
        """The packed latents of the functions that `sample` gives, or of those that grow from `noise`."""
        sampler = sampler or self.experiment.diffusion.sampler
        diffusion, cond, guidance = self._chosen(sampler, count, prompts, guidance_scale, guidance_interval)
        return diffusion.sample(
            count, seed=seed, start=start, cond=cond, guidance=guidance, sampler=sampler,
            num_steps=self.steps_of(sampler) if num_steps is None else num_steps, noise=noise,
            progress=lambda steps: progress(steps, what="sampling", delay=3),
        )  # fmt: skip

    def steps_of(self, sampler: str) -> int:
        """Of a sampler, where nobody says how many."""
        own = self.experiment.diffusion
        return FEW if sampler == "mean-flow" and own.sampler != sampler else own.num_steps

    def _chosen(
        self,
        sampler: str,
        count: int,
        prompts: str | Sequence[str] | None,
        guidance_scale: float | None,
        interval: tuple[float, float] = (0.0, 1.0),
    ) -> tuple[LatentDiffusion, Conditioning | None, Guidance | None]:
        """The network that a sampler needs, the conditions, and the guidance that it has not learned already."""
        _, diffusion = self._generative()
        trained = self.experiment.diffusion.guidance_scale
        if sampler == "mean-flow":
            diffusion = self._mean_flow()
        if not diffusion.takes_spans:
            scale = trained if guidance_scale is None else guidance_scale
            return diffusion, *self._conditions(count, prompts, scale, interval, asked=guidance_scale is not None)
        if guidance_scale not in (None, trained) or interval != (0.0, 1.0):
            raise ValueError(
                f"sample: the mean flow was trained with guidance_scale {trained} at all times and has no other; leave "
                "guidance out, or take the model before that stage and another sampler"
            )
        cond, _ = self._conditions(count, prompts, 1.0, interval, asked=False)
        return diffusion, cond, None

    def _mean_flow(self) -> LatentDiffusion:
        found = self.diffusion if self.diffusion is not None and self.diffusion.takes_spans else self.mean_flow
        if found is None:
            raise ValueError(
                f"this model has no {MEAN_FLOW}: train it with `ddmi train ... --stage mean-flow --resume`, or name "
                "another sampler"
            )
        return found

    @torch.no_grad()
    def decode(self, latents: Float[Tensor, "count ..."]) -> ImplicitFunction:
        """The functions of packed latents."""
        latent_space, _ = self._generative()
        return self._function(latent_space.unpack(latents.to(self.device)))

    @torch.no_grad()
    def complete(
        self,
        query: Any,
        target: Tensor,
        *,
        seed: int = 0,
        num_steps: int | None = None,
        prompts: str | Sequence[str] | None = None,
        guidance_scale: float | None = None,
        weight: float = 3000.0,
        inner_steps: int = 10,
    ) -> ImplicitFunction:
        """Functions that are as observed where they were observed, and elsewhere as the model finds likely.

        At every step of sampling the latents that the prediction stands for go a few steps of Adam down
        `weight nll(observed) + |z - z_0|^2 / (2 s^2)`, s the spread that z_0 still has.

        Args:
            query: where, as the modality's `predict` takes it: coordinates of an image's known pixels, points of a
                cloud, rays of a few views, some frames.
            target: (batch, query, channel) values there, as its `nll` takes them; a function an item.
            seed, num_steps, prompts, guidance_scale: as of `sample`.
            weight: of what was observed.
            inner_steps: of Adam in a step of sampling.
        """
        latent_space, _ = self._generative()
        modality, config = self.experiment.modality, self.experiment.diffusion
        if target.ndim < 2 or not len(target) or not bool(target.isfinite().all()):
            raise ValueError(
                f"complete: target is (batch, query, channel) with finite values, for at least one function; got "
                f"{tuple(target.shape)} with {int((~target.isfinite()).sum())} that are not finite"
            )
        if not 0 < weight < math.inf or inner_steps < 1:
            raise ValueError(f"complete: weight is positive and inner_steps at least 1, got {weight} and {inner_steps}")
        query, target = to_device(query, self.device), target.to(self.device)

        def correct(z_0: Tensor, spread: float) -> Tensor:
            z = z_0.clone().requires_grad_(True)
            optimizer = torch.optim.Adam([z], lr=0.1)
            for _ in range(inner_steps):
                function = self.vae.function(latent_space.unpack(z))
                observed = modality.nll(modality.predict(function, query), target).sum()
                loss = weight * observed + (z - z_0).square().sum() / max(2 * spread**2, 1e-4)
                (z.grad,) = torch.autograd.grad(loss, z)  # of nothing else: the networks stay as they are
                optimizer.step()
            return z

        sampler = "euler" if config.sampler == "mean-flow" else config.sampler
        diffusion, cond, guidance = self._chosen(sampler, len(target), prompts, guidance_scale)
        latents = diffusion.sample(
            len(target), seed=seed, cond=cond, guidance=guidance, sampler=sampler, correct=correct,
            num_steps=max(25, config.num_steps) if num_steps is None else num_steps,
            progress=lambda steps: progress(steps, what="completing", delay=3),
        )  # fmt: skip
        return self.decode(latents)

    @torch.no_grad()
    def edit(
        self,
        inputs: tuple[Tensor, ...],
        *,
        t_start: float = 0.5,
        seed: int = 0,
        num_steps: int | None = None,
        sampler: str | None = None,
        prompts: str | Sequence[str] | None = None,
        guidance_scale: float | None = None,
    ) -> ImplicitFunction:
        """Functions like those of encoder inputs, drawn anew from a part of the noise process on (SDEdit).

        Args:
            inputs: as of `reconstruct`.
            t_start: that part, in [0, 1]: 0 gives the reconstructions, 1 samples that have nothing of the inputs.
            seed, num_steps, sampler, prompts, guidance_scale: as of `sample`; of the steps, those within the part are
                taken.
        """
        latent_space, _ = self._generative()
        initial = latent_space.pack(self.vae.encode(tuple(one.to(self.device) for one in inputs)).mean)
        sampler = sampler or self.experiment.diffusion.sampler
        diffusion, cond, guidance = self._chosen(sampler, len(initial), prompts, guidance_scale)
        latents = diffusion.sample(
            len(initial), seed=seed, cond=cond, guidance=guidance, sampler=sampler, initial=initial, t_start=t_start,
            num_steps=self.steps_of(sampler) if num_steps is None else num_steps,
            progress=lambda steps: progress(steps, what="editing", delay=3),
        )  # fmt: skip
        return self.decode(latents)

    def _conditions(
        self,
        count: int,
        prompts: str | Sequence[str] | None,
        scale: float,
        interval: tuple[float, float],
        *,
        asked: bool,
    ) -> tuple[Conditioning | None, Guidance | None]:
        if self.conditioner is None:
            if prompts is not None:
                raise ValueError(
                    f"recipe {self.experiment.recipe!r} was trained without sentences; sample it without a prompt, or "
                    "train a recipe with text, such as furniture-text"
                )
            if asked and scale != 1.0 and self.guide is None:
                raise ValueError(
                    f"sample: guidance_scale {scale} has nothing to go away from: recipe {self.experiment.recipe!r} "
                    "was trained without sentences and without a guide; train stage 2 with --diffusion.guide-after 0.1"
                )
            return None, Guidance(scale=scale, guide=self.guide, start=interval[0], stop=interval[1])
        null = encode_prompts(self.conditioner, [""], self.device)
        if prompts is None:
            return null, None
        prompts = [prompts] if isinstance(prompts, str) else list(prompts)
        if len(prompts) not in (1, count):
            raise ValueError(f"sample: {len(prompts)} prompts for {count} functions; give one, or one for each")
        guidance = Guidance(scale=scale, null=null, start=interval[0], stop=interval[1])
        return encode_prompts(self.conditioner, prompts, self.device), guidance

    def noise(self, numbers: Sequence[int], *, seed: int = 0) -> Float[Tensor, "count ..."]:
        """What the samples of these numbers grow from."""
        latent_space, _ = self._generative()
        return seeded_normal(seed, numbers, *latent_space.shape)

    @torch.no_grad()
    def prior(self, count: int, *, seed: int = 0, start: int = 0) -> ImplicitFunction:
        """What no diffusion gives: standard normal draws in the whitened space, un-whitened and decoded."""
        return self.decode(self.noise(range(start, start + count), seed=seed))

    @torch.no_grad()
    def reconstruct(self, inputs: tuple[Tensor, ...]) -> ImplicitFunction:
        """The functions of the posterior means of encoder inputs, which may be on any device.

        For images, `inputs` is a 1-tuple of (batch, 3, size, size) in [-1, 1]; see `Modality.inputs`.
        """
        return self._function(self.vae.encode(tuple(one.to(self.device) for one in inputs)).mean)

    def _function(self, planes: Planes) -> ImplicitFunction:
        """Functions of latent planes, for reading, which can be shown."""
        function = self.vae.function(planes).detach()
        function.draw = partial(draw, self.experiment.modality)
        return function

    def of_few_steps(self) -> DDMI:
        """The same model whose denoiser is its mean flow, without a guide: half as large, and sampled in few steps."""
        flow, diffusion = self._mean_flow(), self.experiment.diffusion
        settings = replace(diffusion.of_mean_flow, sampler="mean-flow", num_steps=FEW, guide_after=None)
        experiment = replace(self.experiment, diffusion=settings)
        few = DDMI(experiment, self.vae, self.latent_space, flow, self.conditioner)
        few.attribution = self.attribution
        return few

    def save_pretrained(self, directory: Path | str, *, precision: Precision = "full") -> None:
        """Writes config.json, vae.safetensors and, after stage 2, denoiser, latent_space, conditioner (text), guide and
        mean_flow; and ATTRIBUTION.txt, whose the data are, where that is told.

        In less than full precision the model's own weights are rounded alike.  "int8" is of denoisers: the autoencoder,
        on which every value depends, is in half precision then.  manifest.json lists the files' hashes, by which they
        are checked when they are loaded.
        """
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)

        def save(name: str, part: nn.Module, hashed: tuple[str, nn.Module] | None = None) -> None:
            weights = stored(part.state_dict(), "half" if name == VAE and precision == "int8" else precision)
            part.load_state_dict(restored(weights))
            # hashes say which weights belong together: they are of what will be read
            save_listed(directory / name, weights, hashed and {hashed[0]: weights_sha256(hashed[1])})

        save(VAE, self.vae)
        if self.latent_space is not None and self.diffusion is not None:
            latent_space = self.latent_space
            meta = {"plane_shapes": json.dumps(latent_space.plane_shapes), "packing": latent_space.packing}
            meta[AUTOENCODER] = weights_sha256(self.vae)
            save_listed(directory / LATENT_SPACE, latent_space.tensors(), meta)
            if self.conditioner is not None:
                save(CONDITIONER, self.conditioner)
            if self.guide is not None:
                save(GUIDE, self.guide)
            save(DENOISER, self.diffusion)
            if self.mean_flow is not None:
                save(MEAN_FLOW, self.mean_flow, (TRAINED, self.diffusion))
        if self.attribution is not None:
            atomic_write_text(directory / ATTRIBUTION, self.attribution + "\n")
        atomic_write_text(directory / CONFIG, experiment_text(self.experiment))

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        precision: Precision = "full",
        figures: Mapping[str, float] | None = None,
    ) -> str:
        """Makes the model, with its card, the content of a repository on the Hugging Face hub; returns the commit's
        address.  `from_pretrained("hf:OWNER/NAME")` has it back.

        Args:
            repo_id: OWNER/NAME; made where it is not there.
            private: whether a new repository is; None: as its owner's default.
            precision: as of `save_pretrained`.
            figures: what was measured of it, for the card.

        ValueError where the hub refuses, with the remedy.
        """
        check_repository(repo_id)
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, precision=precision)
            name = repo_id.rpartition("/")[2]
            card = model_card(
                self.experiment, name, figures or {}, source=f"hf:{repo_id}", precision=precision,
                attribution=self.attribution,
            )  # fmt: skip
            atomic_write_text(Path(folder) / "README.md", card)
            return upload(Path(folder), repo_id, private=private)

    @classmethod
    def from_pretrained(cls, source: Path | str, *, device: torch.device | str = "cpu") -> DDMI:
        """Loads a model, in evaluation mode.

        `source` is a directory, a repository on the Hugging Face hub (hf:OWNER/NAME[@REVISION]), whose commit is logged
        and is the model's `revision`, or the name of a model that an installed distribution announces.

        Raises ValueError that names the file and the remedy: a directory without a model, a truncated file, weights of
        another configuration.
        """
        directory = model_directory(source)
        experiment = read_experiment(directory)
        config = directory / CONFIG
        vae = load_network(
            lambda: experiment.vae.build(experiment.modality.layout), directory / VAE, config,
            hint="train stage 1 with `ddmi train ... --stage vae`",
        )  # fmt: skip
        model = cls(experiment, vae)
        model.attribution = attribution_of(directory) or model.attribution
        model.revision = directory.name if HUB.fullmatch(str(source)) else None
        if (directory / DENOISER).exists():
            tensors, meta = read_tensors(directory / LATENT_SPACE)
            if meta.get(AUTOENCODER, known := weights_sha256(vae)) != known:
                logger.warning(
                    "%s is of another autoencoder than %s, which was trained on since: it is left aside; train stage 2 "
                    "again", directory / DENOISER, directory / VAE,
                )  # fmt: skip
                return model.eval().requires_grad_(False).to(device)
            try:
                shapes = [(c, h, w) for c, h, w in json.loads(meta["plane_shapes"])]
                model.latent_space = LatentSpace.from_tensors(tensors, shapes, meta["packing"])  # type: ignore[arg-type]
            except (KeyError, RecursionError, TypeError, ValueError) as error:
                raise ValueError(
                    f"{directory / LATENT_SPACE}: not the statistics of a latent space ({error})"
                ) from error
            build, shape, hint = experiment.diffusion.build, model.latent_space.shape, "train stage 2 again"
            model.diffusion = load_network(lambda: build(shapes, shape), directory / DENOISER, config, hint=hint)
            if experiment.diffusion.guide_after is not None:
                model.guide = load_network(lambda: build(shapes, shape), directory / GUIDE, config, hint=hint)
            if (directory / MEAN_FLOW).exists():
                model.mean_flow = _mean_flow_of(model, directory / MEAN_FLOW)
            if experiment.diffusion.text is not None:
                model.conditioner = load_network(
                    experiment.diffusion.text.build, directory / CONDITIONER, config, hint=hint
                )
        return model.eval().requires_grad_(False).to(device)


def _mean_flow_of(model: DDMI, path: Path) -> LatentDiffusion | None:
    """The mean flow of the model's denoiser; None, with a warning, where that was trained on since."""
    latent_space, diffusion = model.latent_space, model.diffusion
    assert latent_space is not None
    assert diffusion is not None
    _, meta = read_tensors(path)
    if meta.get(TRAINED) != weights_sha256(diffusion):
        logger.warning(
            "%s is of another denoiser than %s, which was trained on since: it is left aside; train stage mean-flow "
            "again", path, path.with_name(DENOISER),
        )  # fmt: skip
        return None
    build = model.experiment.diffusion.of_mean_flow.build
    return load_network(
        lambda: build(latent_space.plane_shapes, latent_space.shape), path, path.with_name(CONFIG),
        hint="train stage mean-flow again",
    )  # fmt: skip


def read_experiment(directory: Path) -> Experiment:
    """The experiment of a run or saved model."""
    path = directory / CONFIG
    if not path.exists():
        what = "not there" if not directory.exists() else f"no run or model: it has no {CONFIG}"
        raise ValueError(f"{directory} is {what}; give a directory made by `ddmi train` or save_pretrained")
    return read_experiment_file(path)
