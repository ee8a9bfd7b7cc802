"""Few steps: a network of mean velocities, learned from a trained flow model."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ddmi_diffusion.conditioning import Conditioning
from ddmi_diffusion.device_transfer import sent
from ddmi_diffusion.diffusion import Guidance, LatentDiffusion, Packed
from ddmi_diffusion.latent_objective import DiffusionObjective, LatentBatch
from ddmi_diffusion.objective import Objective
from ddmi_diffusion.randomness import StepRandom

Times = Float[Tensor, " batch"]
"""In (0, 1], from data to noise."""
LEG = 0.1
"""Of the time from data to noise: the part of a span that the trained flow model walks itself."""
INSTANT = 0.25
"""Part of a batch without a span: the velocity itself."""


class MeanFlowObjective(Objective):
    """`u(z_t, r, t)`, the mean velocity of the flow from t back to r, so that `z_r = z_t - (t - r) u` is one step.

    Mean velocities of two parts of a span make that of the whole (MeanFlow, Geng et al. 2025, of which this is the
    integral form; SplitMeanFlow, Guo et al. 2025).  With s between, t - s at most `LEG`, and v the trained model's
    velocity, guided as its samples are:

        u(z_t, r, t) (t - r) = v (t - s) + u(z_s, r, s) (s - r),   z_s = z_t - v (t - s)

    v is Heun's over the leg, and the second u the network's own, held fixed.  Without a span u = v.

    Args:
        student: a `LatentDiffusion` of flow whose denoiser takes spans; it starts from the weights of the trained one.
        trained: the objective by which the flow model was trained; its weights stay.
        guidance: what the student's samples shall have; None: none.

    Examples:
        >>> from ddmi_diffusion import LatentSpace, NoiseConfig, StepRandom, UNetConfig
        >>> latents, noise = torch.randn(4, 4, 8, 8), NoiseConfig(prediction="flow")
        >>> space, small = LatentSpace.fit(latents), UNetConfig(width=32, multipliers=(1,), blocks=1)
        >>> def model(config):
        ...     return LatentDiffusion(config.build(space.plane_shapes, "grid"), noise, space.shape)
        >>> trained = DiffusionObjective(model(small), space)
        >>> objective = MeanFlowObjective(model(small.of_mean_flow()), trained)
        >>> rng = StepRandom(seed=0, step=0, positions=range(4))
        >>> objective(LatentBatch((latents,)), step=0, rng=rng)["loss"].shape
        torch.Size([])
    """

    def __init__(self, student: LatentDiffusion, trained: DiffusionObjective, guidance: Guidance | None = None) -> None:
        super().__init__()
        teacher = trained.diffusion
        if teacher.noise.prediction != "flow":
            raise ValueError(
                f"a mean flow is learned from a flow model, and this one predicts {teacher.noise.prediction!r}; train "
                "stage 2 with diffusion.noise.prediction=flow and the sampler euler"
            )
        if not student.takes_spans:
            raise ValueError("a mean flow needs a denoiser that takes spans: build it by config.of_mean_flow()")
        missing, unexpected = student.load_state_dict(teacher.state_dict(), strict=False)
        strange = [*unexpected, *(name for name in missing if not name.startswith("denoiser.span."))]
        if strange:
            raise ValueError(f"the mean flow's network differs from the trained one's in {', '.join(strange[:3])}")
        self.student = student
        self.guidance = guidance
        # outside the module tree: what is not trained here is not saved here
        self._trained = (trained.requires_grad_(False).eval(),)

    def forward(self, batch: Any, *, step: int, rng: StepRandom) -> dict[str, Any]:
        (trained,) = self._trained
        with torch.no_grad():
            latents: LatentBatch = batch if trained.moments is None else trained.moments(batch)
            z = trained.drawn(latents, rng)
            times = 1 - rng.spread()  # in (0, 1], evenly: samples begin at pure noise
            t, span = (sent(one, z.device) for one in (times, times * rng.uniform() * (rng.uniform() >= INSTANT)))
            noise = sent(rng.normal(*z.shape[1:]), z.device)
            cond = trained.condition(latents, rng)
            z_t = self.student.noise.add_noise(z, noise, times * self.student.noise.steps)
            target = self._target(z_t, t, span, cond)
        return {"loss": (self._mean_velocity(z_t, t, span, cond) - target).square().mean()}

    def _target(self, z_t: Packed, t: Times, span: Times, cond: Conditioning | None) -> Packed:
        leg = span.clamp(max=LEG)
        v = self._velocity(z_t, t, cond)
        v = (v + self._velocity(z_t - _each(leg, z_t) * v, t - leg, cond)) / 2
        rest = self._mean_velocity(z_t - _each(leg, z_t) * v, t - leg, span - leg, cond)
        part = _each(leg / span.clamp_min(torch.finfo(span.dtype).tiny), z_t)
        return torch.where(_each(span, z_t) > 0, part * v + (1 - part) * rest, v)

    def _velocity(self, z: Packed, t: Times, cond: Conditioning | None) -> Packed:
        """Of the trained model."""
        teacher, times = self._trained[0].diffusion, t * self.student.noise.steps
        if self.guidance is None or (self.guidance.guide is None and cond is None):
            return teacher.predict(z, times, cond)
        return teacher.guided(z, times, cond, self.guidance)

    def _mean_velocity(self, z: Packed, t: Times, span: Times, cond: Conditioning | None) -> Packed:
        steps = self.student.noise.steps
        return self.student.predict(z, t * steps, cond, span * steps)


def _each(values: Times, like: Packed) -> Tensor:
    return values.reshape(-1, *[1] * (like.ndim - 1))
