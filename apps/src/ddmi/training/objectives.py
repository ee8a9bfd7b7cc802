"""The objectives of the stages, as an `Experiment` describes them."""

from __future__ import annotations

import torch

from ddmi.experiment.config import Experiment
from ddmi_diffusion import LatentBatch
from ddmi_vae import D2CVAE, AdversarialTerm, Ramp, VAEBatch, VAEObjective


def vae_objective(
    experiment: Experiment, vae: D2CVAE, steps: int, adversarial: AdversarialTerm | None = None
) -> VAEObjective:
    """Eq. (9) over a training of `steps` steps; with an adversarial term that of stage vae-gan, of constant weights."""
    losses, gan = experiment.losses, experiment.gan
    kl, spectral = losses.kl_schedule(steps), losses.spectral_schedule(steps)
    if adversarial is not None:
        weight = losses.kl_weight if gan.kl_weight is None else gan.kl_weight
        kl = Ramp(start=weight, stop=weight)
        weight = losses.spectral_weight if gan.spectral_weight is None else gan.spectral_weight
        spectral = Ramp(start=weight, stop=weight) if weight else None
    return VAEObjective(
        vae,
        predict=experiment.modality.predict,
        nll=experiment.modality.nll,
        kl_weight=kl,
        terms=losses.terms(),
        adversarial=adversarial,
        spectral_weight=spectral,
    )


class Encoder:
    """Moments of a batch by the frozen autoencoder, which is not part of the objective that is trained and saved."""

    def __init__(self, vae: D2CVAE) -> None:
        self.vae = vae

    @torch.no_grad()
    def __call__(self, batch: VAEBatch) -> LatentBatch:
        posterior = self.vae.encode(batch.inputs)
        return LatentBatch(posterior.mean, posterior.std)
