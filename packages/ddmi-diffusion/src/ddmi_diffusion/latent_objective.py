"""Stage 2: the diffusion objective over latents that are encoded afresh or read from cached moments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ddmi_diffusion.conditioning import Conditioner, Conditioning
from ddmi_diffusion.device_transfer import sent
from ddmi_diffusion.diffusion import LatentDiffusion
from ddmi_diffusion.latent_space import LatentSpace
from ddmi_diffusion.objective import Objective
from ddmi_diffusion.randomness import StepRandom

Planes = tuple[Tensor, ...]


@dataclass(frozen=True)
class LatentBatch:
    """Posterior moments of a batch: planes of means and of standard deviations, and a condition per item.

    Examples:
        >>> import torch
        >>> batch = LatentBatch(mean=(torch.randn(2, 4, 8, 8),))  # one plane, without a spread
        >>> batch.std is None, batch.cond is None
        (True, True)
    """

    mean: Planes
    std: Planes | None = None
    """None: the latents are the means, as of an autoencoder without a posterior."""
    cond: Conditioning | None = None
    prompts: Tensor | None = None
    """Instead of `cond`: tokenized prompts, for a conditioner that is trained."""


class DiffusionObjective(Objective):
    """Eq. (10) on z ~ N(mean, std^2), sampled afresh each step, whitened and packed.

    Args:
        diffusion: what is trained.
        latent_space: whitening and packing.
        moments: turns a batch of the data set into a `LatentBatch`; the identity for cached moments.
        null: the null condition, given to a fraction `dropout` of the items (classifier-free guidance).
        conditioner: a module that is trained with the denoiser: it encodes the batch's `prompts`, and the empty prompt
            as the null condition.

    Examples:
        >>> import torch
        >>> from ddmi_diffusion import NoiseConfig, PlaneUNet, StepRandom, UNetConfig
        >>> latents = torch.randn(16, 4, 8, 8)
        >>> space = LatentSpace.fit(latents)
        >>> denoiser = PlaneUNet(space.plane_shapes, config=UNetConfig(width=32, multipliers=(1,), blocks=1))
        >>> objective = DiffusionObjective(LatentDiffusion(denoiser, NoiseConfig(), space.shape), space)
        >>> rng = StepRandom(seed=0, step=0, positions=range(16))
        >>> objective(LatentBatch((latents,)), step=0, rng=rng)["loss"].shape
        torch.Size([])
    """

    def __init__(
        self,
        diffusion: LatentDiffusion,
        latent_space: LatentSpace,
        *,
        moments: Callable[[Any], LatentBatch] | None = None,
        null: Conditioning | None = None,
        dropout: float = 0.0,
        conditioner: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if conditioner is not None and not isinstance(conditioner, Conditioner):
            raise ValueError(f"DiffusionObjective: {type(conditioner).__name__} has no tokenize(prompts)")
        if not 0 <= dropout <= 1:
            raise ValueError(f"DiffusionObjective: dropout is a fraction of the items, 0 to 1, got {dropout}")
        if dropout > 0 and null is None and conditioner is None:
            raise ValueError(
                f"DiffusionObjective: dropout {dropout} of the prompts needs the null condition that stands for them; "
                'pass null=encode_prompts(conditioner, [""], device), or dropout=0'
            )
        self.diffusion = diffusion
        self.latent_space = latent_space
        self.moments = moments
        self.null, self.dropout = null, dropout
        self.conditioner = conditioner
        self.register_buffer("empty_prompt", conditioner.tokenize([""]) if conditioner else None, persistent=False)

    def forward(self, batch: Any, *, step: int, rng: StepRandom) -> dict[str, Any]:
        latents: LatentBatch = batch if self.moments is None else self.moments(batch)
        z = self.drawn(latents, rng)
        times = self.diffusion.noise.sample_times(rng.spread())  # evenly: a loss of less variance
        noise = sent(rng.normal(*z.shape[1:]), z.device)
        return {"loss": self.diffusion.loss(z, noise, times, self.condition(latents, rng)).mean()}

    def drawn(self, latents: LatentBatch, rng: StepRandom) -> Tensor:
        """Packed latents of the posteriors, whitened."""
        if latents.std is None:
            return self.latent_space.pack(latents.mean)
        planes = tuple(
            mean + std * sent(rng.normal(*mean.shape[1:]).to(mean.dtype), mean.device)
            for mean, std in zip(latents.mean, latents.std, strict=True)
        )
        return self.latent_space.pack(planes)

    def condition(self, latents: LatentBatch, rng: StepRandom) -> Conditioning | None:
        """Each item's condition, or where it is dropped the null condition."""
        cond, null = self._conditions(latents)
        if cond is None or null is None or self.dropout == 0:
            return cond
        kept = sent(rng.uniform() >= self.dropout, cond.tokens.device)
        return cond.where(kept, null.to(cond.tokens.device))

    def _conditions(self, latents: LatentBatch) -> tuple[Conditioning | None, Conditioning | None]:
        if self.conditioner is None:
            return latents.cond, self.null
        assert latents.prompts is not None, "a conditioner needs the prompts of the batch"
        return Conditioning(*self.conditioner(latents.prompts)), Conditioning(*self.conditioner(self.empty_prompt))
