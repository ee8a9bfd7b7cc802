"""`DDMI`: a trained model that generates and reconstructs continuous functions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ddmi.experiment import Experiment
from ddmi.serialization import from_json, to_json
from ddmi.weights import load_weights, read_tensors
from ddmi_diffusion import (
    Conditioning,
    Guidance,
    LatentDiffusion,
    LatentSpace,
    atomic_write_text,
    encode_prompts,
    save_tensors,
    seeded_normal,
)
from ddmi_fields import ImplicitFunction
from ddmi_modalities.text import TextTower
from ddmi_vae import D2CVAE

CONFIG, VAE, DENOISER, GUIDE, LATENT_SPACE, CONDITIONER = (
    "config.json",
    "vae.safetensors",
    "denoiser.safetensors",
    "guide.safetensors",
    "latent_space.safetensors",
    "conditioner.safetensors",
)


Progress = Callable[[Iterable[Any]], Iterable[Any]]


@dataclass(frozen=True, kw_only=True)
class Request:
    """A batch of samples, and all that they depend on beside the model."""

    start: int
    count: int
    seed: int
    steps: int
    sampler: str
    prompts: tuple[str, ...] | None
    guidance: float | None
    guidance_interval: tuple[float, float]


class DDMI(nn.Module):
    """A D2C-VAE and, after stage 2, a diffusion model of its latents.

    >>> model = DDMI.from_pretrained("runs/demo")  # doctest: +SKIP
    >>> images = model.sample(4, seed=0).grid((512, 512))  # doctest: +SKIP
    """

    def __init__(
        self,
        experiment: Experiment,
        vae: D2CVAE,
        space: LatentSpace | None = None,
        diffusion: LatentDiffusion | None = None,
        conditioner: TextTower | None = None,
        guide: LatentDiffusion | None = None,
    ) -> None:
        super().__init__()
        self.experiment = experiment
        self.vae = vae
        self.space = space
        self.diffusion = diffusion
        self.conditioner = conditioner
        self.guide = guide

    @property
    def can_prompt(self) -> bool:
        """Whether samples can be asked for by a sentence."""
        return self.can_sample and self.conditioner is not None

    @property
    def can_sample(self) -> bool:
        """Whether stage 2 has been trained."""
        return self.space is not None and self.diffusion is not None

    def _generative(self) -> tuple[LatentSpace, LatentDiffusion]:
        if self.space is None or self.diffusion is None:
            raise ValueError(
                f"this model has no {DENOISER}: only its autoencoder is trained; train stage 2 with "
                "`ddmi train ... --stage diffusion --resume`"
            )
        return self.space, self.diffusion

    @torch.no_grad()
    def sample(
        self,
        count: int,
        *,
        seed: int = 0,
        start: int = 0,
        steps: int | None = None,
        sampler: str | None = None,
        prompts: str | Sequence[str] | None = None,
        guidance: float | None = None,
        guidance_interval: tuple[float, float] = (0.0, 1.0),
        progress: Progress | None = None,
    ) -> ImplicitFunction:
        """`count` generated functions; function i depends on (seed, start + i) only, and has every resolution.

        Args:
            steps, sampler: default to those of the recipe.
            prompts: what to generate, one sentence for all or one each; None: anything.
            guidance: scale w of `worse + w (eps - worse)`, where worse is the prediction without the prompt (0 ignores
                the prompt), or of the model's guide if it has one; 1 is no guidance; default the recipe's.
            guidance_interval: times, as fractions of the noise process (1 is pure noise), in which guidance acts;
                outside them w is 1.
        """
        space, _ = self._generative()
        config = self.experiment.diffusion
        request = Request(
            start=start, count=count, seed=seed, steps=config.sampling_steps if steps is None else steps,
            sampler=sampler or config.sampler, guidance=guidance, guidance_interval=guidance_interval,
            prompts=None if prompts is None else (prompts,) if isinstance(prompts, str) else tuple(prompts),
        )  # fmt: skip
        return self.vae.function(space.unpack(self.draw(request, progress)))

    @torch.no_grad()
    def draw(self, request: Request, progress: Progress | None = None) -> Float[Tensor, "count ..."]:
        """The packed latents of what is asked for."""
        _, diffusion = self._generative()
        cond, guide = self._conditions(request.count, request.prompts, request.guidance, request.guidance_interval)
        return diffusion.sample(
            request.count, seed=request.seed, start=request.start, steps=request.steps, sampler=request.sampler,
            cond=cond, guidance=guide, progress=progress,
        )  # fmt: skip

    def _conditions(
        self,
        count: int,
        prompts: tuple[str, ...] | None,
        guidance: float | None,
        interval: tuple[float, float],
    ) -> tuple[Conditioning | None, Guidance | None]:
        weight = self.experiment.diffusion.guidance if guidance is None else guidance
        if self.conditioner is None:
            if prompts is not None:
                raise ValueError(
                    f"recipe {self.experiment.recipe!r} was trained without sentences; sample it without a prompt, or "
                    "train a recipe with text, such as furniture-text"
                )
            if guidance not in (None, 1.0) and self.guide is None:
                raise ValueError(
                    f"sample: guidance {guidance} has nothing to go away from: recipe {self.experiment.recipe!r} was "
                    "trained without sentences and without a guide; train stage 2 with --diffusion.guide-after 0.1"
                )
            return None, Guidance(weight=weight, guide=self.guide, start=interval[0], stop=interval[1])
        device = next(self.parameters()).device
        null = encode_prompts(self.conditioner, [""], device)
        if prompts is None:
            return null, None
        if len(prompts) not in (1, count):
            raise ValueError(f"sample: {len(prompts)} prompts for {count} functions; give one, or one for each")
        guide = Guidance(weight=weight, null=null, start=interval[0], stop=interval[1])
        return encode_prompts(self.conditioner, list(prompts), device), guide

    @torch.no_grad()
    def prior(self, count: int, *, seed: int = 0, start: int = 0) -> ImplicitFunction:
        """What no diffusion gives: standard normal draws in the whitened space, un-whitened and decoded."""
        space, _ = self._generative()
        device = next(self.parameters()).device
        draws = seeded_normal(seed, range(start, start + count), *space.shape)
        return self.vae.function(space.unpack(draws.to(device)))

    @torch.no_grad()
    def reconstruct(self, inputs: Any) -> ImplicitFunction:
        """The functions of the posterior means of encoder inputs (for images: (batch, 3, size, size) in [-1, 1])."""
        return self.vae.function(self.vae.encode(inputs).mean)

    def save_pretrained(self, directory: Path | str) -> None:
        """Writes config.json, vae.safetensors and, after stage 2, denoiser, latent_space, conditioner (text), guide."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        save_tensors(directory / VAE, self.vae.state_dict())
        if self.space is not None and self.diffusion is not None:
            meta = {"plane_shapes": json.dumps(self.space.plane_shapes), "packing": self.space.packing}
            save_tensors(directory / LATENT_SPACE, self.space.tensors(), meta)
            if self.conditioner is not None:
                save_tensors(directory / CONDITIONER, self.conditioner.state_dict())
            if self.guide is not None:
                save_tensors(directory / GUIDE, self.guide.state_dict())
            save_tensors(directory / DENOISER, self.diffusion.state_dict())
        atomic_write_text(directory / CONFIG, json.dumps(to_json(self.experiment), indent=2) + "\n")

    @classmethod
    def from_pretrained(cls, source: Path | str, *, device: torch.device | str = "cpu") -> DDMI:
        """Loads a directory, or the name of a repository on the Hugging Face hub, in evaluation mode.

        Raises ValueError that names the file and the remedy: a directory without a model, a truncated file, weights of
        another configuration.
        """
        directory = _directory(source)
        experiment = read_experiment(directory)
        vae = experiment.vae.build(experiment.modality.layout)
        load_weights(vae, directory / VAE, hint="train stage 1 with `ddmi train ... --stage vae`")
        model = cls(experiment, vae)
        if (directory / DENOISER).exists():
            tensors, meta = read_tensors(directory / LATENT_SPACE)
            try:
                shapes = [(c, h, w) for c, h, w in json.loads(meta["plane_shapes"])]
                model.space = LatentSpace.from_tensors(tensors, shapes, meta["packing"])  # type: ignore[arg-type]
            except (KeyError, ValueError) as error:
                raise ValueError(
                    f"{directory / LATENT_SPACE}: not the statistics of a latent space ({error})"
                ) from error
            model.diffusion = experiment.diffusion.build(shapes, model.space.shape)
            load_weights(model.diffusion, directory / DENOISER, hint="train stage 2 again")
            if experiment.diffusion.guide_after is not None:
                model.guide = experiment.diffusion.build(shapes, model.space.shape)
                load_weights(model.guide, directory / GUIDE, hint="train stage 2 again")
            if experiment.diffusion.text is not None:
                model.conditioner = experiment.diffusion.text.build()
                load_weights(model.conditioner, directory / CONDITIONER, hint="train stage 2 again")
        return model.eval().requires_grad_(False).to(device)


def read_experiment(directory: Path) -> Experiment:
    """The experiment of a run or saved model."""
    path = directory / CONFIG
    try:
        data = json.loads(path.read_text())
    except FileNotFoundError:
        what = "not there" if not directory.exists() else f"no run or model: it has no {CONFIG}"
        raise ValueError(f"{directory} is {what}; give a directory made by `ddmi train` or save_pretrained") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: cannot be read as JSON ({error}); restore it or train again") from error
    return from_json(data, Experiment, str(path))


def _directory(source: Path | str) -> Path:
    """A local directory, or a snapshot of a hub repository `owner/name`."""
    path = Path(source)
    if path.exists() or str(source).count("/") != 1 or str(source).startswith(("/", ".", "~")):
        return path
    if (path.parent).is_dir():  # a mistyped local path, such as runs/dmeo
        return path
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(str(source), allow_patterns=["*.json", "*.safetensors"]))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"{source!r} is neither a directory here nor a repository that could be had ({reason})"
        ) from error
