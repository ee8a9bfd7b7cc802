"""`ddmi import-reference`: a checkpoint of the reference implementation as a directory that `DDMI` loads."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ddmi.experiment.config import DiffusionConfig, Experiment
from ddmi.importing.checkpoint import Checkpoint
from ddmi.importing.modalities import modality
from ddmi.importing.settings import Settings, read_settings
from ddmi.machine.safetensors_files import load_weights, read_tensors
from ddmi.pipeline import CONFIG, DDMI, DENOISER, VAE, read_experiment
from ddmi.reference.denoiser import load_latent_diffusion
from ddmi.reference.latent_config import diffusion_config, latent_shapes
from ddmi.reference.triplane import FIRST_STAGE, SECOND_STAGE
from ddmi.reference.vae_config import ReferenceVAEConfig
from ddmi_diffusion import LatentDiffusion, LatentSpace, TrainerConfig
from ddmi_diffusion.latent_space import PlaneShape
from ddmi_diffusion.weights_files import errors_of
from ddmi_vae import D2CVAE, Losses

logger = logging.getLogger("ddmi")

Network = TypeVar("Network", bound=nn.Module)


def import_reference(
    checkpoint: Path,
    config: Path,
    out: Path,
    *,
    vae: Path | None = None,
    raw: bool = False,
) -> DDMI:
    """Writes the model of a checkpoint to a directory, and returns it.

    Args:
        checkpoint: `model-*.pt` (stage 1) or `ldm-*.pt` (stage 2).
        config: the YAML file that it was trained with.
        out: the directory.  It may hold stage 1 of the same configuration already, to which stage 2 is added.
        vae: the checkpoint of stage 1, where that of stage 2 does not hold it, or holds another.
        raw: of stage 2, the weights of the last step instead of their moving average.

    Raises:
        ValueError: names the file and what is wrong: it cannot be read, asks to run code, has no counterpart here, or
            its tensors do not fit, all of which are listed.  Nothing has been written then.
    """
    settings = read_settings(config)
    found = Checkpoint.read(checkpoint)
    second = found.has_diffusion
    if vae is not None and not second:
        raise ValueError(f"{checkpoint}: is of stage 1 itself; --vae belongs to a checkpoint of stage 2")
    if (out / CONFIG).exists() and not (second and vae is None and not (out / DENOISER).exists()):
        raise ValueError(f"--out {out} holds a model already; name another directory")
    with errors_of(config):
        experiment = _experiment(settings, second)
    autoencoder = _autoencoder(experiment, found, vae, settings.path, out)
    logger.info("stage 1: the %s autoencoder", settings.domain)
    model = DDMI(experiment, autoencoder)
    if second:
        model.latent_space, model.diffusion = _diffusion(settings, experiment, found, raw)
        logger.info("stage 2: latent diffusion, %s", "the weights of the last step" if raw else "the moving average")
    model.save_pretrained(out)
    return model.eval().requires_grad_(False)


def _experiment(settings: Settings, second: bool) -> Experiment:
    # Where its second stage begins, each plane is decoded from its own latent; NeRF stays with the first stage's order.
    slots = SECOND_STAGE if second and settings.domain == "occupancy" else FIRST_STAGE
    unknown = TrainerConfig(steps=1, batch_size=int(settings.data.get("batch_size", 1)))
    return Experiment(
        recipe=f"reference-{settings.domain}",
        preset="imported",
        modality=modality(settings),
        vae=ReferenceVAEConfig(domain=settings.domain, model=settings.autoencoder(), slots=slots),
        losses=Losses(),
        vae_training=unknown,
        diffusion=diffusion_config(*settings.diffusion()) if second else DiffusionConfig(),
        diffusion_training=unknown,
    )


def _built(build: Callable[[], Network], weights: Mapping[str, Tensor], path: Path) -> Network:
    """An empty network of the configuration at `path`; ValueError where it is far larger than its weights are."""
    with errors_of(path):
        with torch.device("meta"):
            asked = sum(parameter.numel() for parameter in build().parameters())
        held = sum(tensor.numel() for tensor in weights.values())
        if asked > 2 * held:
            raise ValueError(f"asks for a network of {asked} numbers, the checkpoint holds {held}; name its own file")
        return build()


def _autoencoder(experiment: Experiment, found: Checkpoint, vae: Path | None, path: Path, out: Path) -> D2CVAE:
    """The model with the weights that `vae` names, else of what was imported before, else of the checkpoint."""
    config = experiment.vae
    assert isinstance(config, ReferenceVAEConfig)
    source = found if vae is None else Checkpoint.read(vae)

    def build() -> D2CVAE:
        return config.build(experiment.modality.layout)

    if vae is None and (out / CONFIG).exists():
        theirs = read_experiment(out).vae
        if not isinstance(theirs, ReferenceVAEConfig) or replace(theirs, slots=config.slots) != config:
            raise ValueError(f"--out {out}: its autoencoder has another configuration; name another directory")
        tensors, _ = read_tensors(out / VAE)
        model = _built(build, tensors, path)
        load_weights(model, out / VAE, hint="import stage 1 first")
    elif source.has_vae:
        with errors_of(source.path):
            tensors = source.vae()
        model = _built(build, tensors, path)
        with errors_of(source.path):
            config.load(model, tensors)
    else:
        raise ValueError(
            f"{source.path}: holds no autoencoder; name the checkpoint of stage 1 with --vae, or import that to --out "
            "first"
        )
    return model


def _diffusion(
    settings: Settings, experiment: Experiment, found: Checkpoint, raw: bool
) -> tuple[LatentSpace, LatentDiffusion]:
    planes = len(experiment.modality.layout.planes)
    order: tuple[int, ...] | None = None
    with errors_of(settings.path):
        shapes = latent_shapes(*settings.diffusion(), planes)
        if settings.domain == "video":
            shapes = (shapes[0], shapes[2], shapes[1])  # its row is xy, xt, yt; attention does not know the order
        if settings.domain == "occupancy":
            order = tuple(SECOND_STAGE.index(plane) for plane in FIRST_STAGE)
        _check_shapes(settings, shapes)
        space = LatentSpace.identity(shapes, experiment.diffusion.packing)
    with errors_of(found.path):
        weights = found.diffusion(raw=raw)
    diffusion = _built(lambda: experiment.diffusion.build(shapes, space.shape), weights, settings.path)
    with errors_of(found.path):
        load_latent_diffusion(diffusion, weights, order)
    return space, diffusion


def _check_shapes(settings: Settings, shapes: tuple[PlaneShape, ...]) -> None:
    """ValueError where the two stages of a configuration do not fit each other."""
    model: dict[str, Any] = settings.autoencoder()
    side = model["ddconfig"]["resolution"] // 2 ** (len(model["ddconfig"]["ch_mult"]) - 1)
    wanted: tuple[PlaneShape, ...] = ((model["embed_dim"], side, side),) * len(shapes)
    if settings.domain == "video":
        wanted = (wanted[0], *((model["embed_dim"], model["frames"], side),) * 2)
    if shapes != wanted:
        raise ValueError(
            f"unetconfig and ddpmconfig are for latent planes {shapes}, ddconfig and embed_dim give {wanted}; name the "
            "file of the second stage that belongs to the checkpoint"
        )
