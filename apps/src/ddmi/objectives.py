"""The objectives of the stages, as an `Experiment` describes them."""

from __future__ import annotations

from typing import Any

import torch

from ddmi.experiment import Experiment
from ddmi_diffusion import LatentBatch
from ddmi_vae import D2CVAE, Ramp, VAEObjective


def vae_objective(experiment: Experiment, vae: D2CVAE, steps: int, adversary: Any = None) -> VAEObjective:
    """Eq. (9) over a training of `steps` steps; with an adversary that of stage vae-gan, of constant weights."""
    modality: Any = experiment.modality
    settings, gan = experiment.vae, experiment.gan if adversary is not None else None
    kl, spectral = settings.kl_schedule(steps), settings.spectral_schedule(steps)
    if gan is not None:
        weight = settings.kl_weight if gan.kl_weight is None else gan.kl_weight
        kl = Ramp(start=weight, stop=weight)
        weight = settings.spectral_weight if gan.spectral_weight is None else gan.spectral_weight
        spectral = Ramp(start=weight, stop=weight) if weight else None
    return VAEObjective(
        vae,
        predict=modality.predict,
        nll=modality.nll,
        kl_weight=kl,
        terms=settings.terms(),
        adversary=adversary,
        spectral_weight=spectral,
    )


class Encoder:
    """Moments of a batch by the frozen autoencoder, which is not part of the objective that is trained and saved."""

    def __init__(self, vae: D2CVAE) -> None:
        self.vae = vae

    @torch.no_grad()
    def __call__(self, batch: Any) -> LatentBatch:
        posterior = self.vae.encode(batch.inputs)
        return LatentBatch(posterior.mean, posterior.std)
