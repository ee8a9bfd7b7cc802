"""Stage 1: the objective of eq. (9), with callables for everything that depends on the modality."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ddmi_fields import ImplicitFunction
from ddmi_vae.model import D2CVAE
from ddmi_vae.posterior import Randomness
from ddmi_vae.regularisation import SpectralRegulariser


@dataclass(frozen=True, kw_only=True)
class Ramp:
    """A weight that goes linearly from `start` to `stop` over the steps [0, steps], then stays."""

    start: float
    stop: float
    steps: int = 0

    def __call__(self, step: int) -> float:
        return self.stop if step >= self.steps else self.start + (self.stop - self.start) * step / self.steps


@runtime_checkable
class VAEBatch(Protocol):
    """What the data side hands over; only `inputs` means something to the encoder, the rest is opaque here."""

    @property
    def inputs(self) -> Any: ...
    @property
    def query(self) -> Any: ...
    @property
    def target(self) -> Any: ...


Predict = Callable[[ImplicitFunction, Any], Tensor]
Likelihood = Callable[[Tensor, Any], Float[Tensor, " batch"]]
Term = Callable[[Tensor, Any, Any, int], Float[Tensor, " batch"]]
AdversarialTerm = Callable[[Tensor, Any, Tensor, Tensor, int, Randomness], Tensor]


class VAEObjective(nn.Module):
    """`L = nll + lambda_z KL [+ terms] [+ adversarial] [+ spectral]`, eq. (9).

    Units: `nll` is summed over value channels, mean over coordinates and batch; `KL` is summed over all latent
    elements, mean over batch.

    Args:
        vae: the model.
        predict: `(function, query) -> values`, read-out at coordinates or rendered rays.
        nll: `(prediction, target) -> (batch,)`.
        kl_weight: lambda_z as a function of the step.
        terms: further weighted terms by name: `(prediction, target, query, step) -> (batch,)`.
        adversarial: optional `(prediction, query, reconstruction loss, last_layer, step, rng) -> scalar`, weighted.
        spectral_weight: optional weight of the sum of largest singular values, as a function of the step.
    """

    def __init__(
        self,
        vae: D2CVAE,
        *,
        predict: Predict,
        nll: Likelihood,
        kl_weight: Callable[[int], float],
        terms: Mapping[str, Term] | None = None,
        adversarial: AdversarialTerm | None = None,
        spectral_weight: Callable[[int], float] | None = None,
    ) -> None:
        super().__init__()
        self.vae = vae
        self.predict, self.nll, self.kl_weight = predict, nll, kl_weight
        # Held outside the module tree: their weights are not the model's, and are neither trained nor saved with it.
        self._terms = (dict(terms or {}), adversarial)
        self.spectral_weight = spectral_weight
        self.spectral = SpectralRegulariser(nn.ModuleList([vae.encoder, vae.decoder])) if spectral_weight else None

    def forward(self, batch: VAEBatch, *, step: int, rng: Randomness) -> dict[str, Any]:
        terms, adversarial = self._terms
        learns = torch.is_grad_enabled()  # the adversarial and the spectral term are of training only
        posterior = self.vae.encode(batch.inputs)
        function = self.vae.function(posterior.sample(rng))
        prediction = self.predict(function, batch.query)
        nll = self.nll(prediction, batch.target).float().mean()
        kl = posterior.kl().mean()
        logged = {"nll": nll.detach(), "kl": kl.detach()}
        loss = nll
        for name, term_of in terms.items():
            term = term_of(prediction, batch.target, batch.query, step).float().mean()
            loss, logged[name] = loss + term, term.detach()
        if adversarial is not None and learns:
            term = adversarial(prediction, batch.query, loss, self.vae.last_layer, step, rng)
            loss, logged["adversarial"] = loss + term, term.detach()
        loss = loss + self.kl_weight(step) * kl
        if self.spectral is not None and self.spectral_weight is not None and learns:
            norm = self.spectral()
            loss, logged["spectral"] = loss + self.spectral_weight(step) * norm, norm.detach()
        return {"loss": loss, **logged, "aux": {"prediction": prediction.detach()}}


@torch.no_grad()
def reconstruct(vae: D2CVAE, inputs: Any) -> ImplicitFunction:
    """The functions of the posterior means."""
    return vae.function(vae.encode(inputs).mean)
