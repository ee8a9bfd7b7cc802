"""diffusers' schedulers, built from our noise config so that sampler and training cannot disagree."""

from __future__ import annotations

import inspect
import warnings
from fractions import Fraction
from functools import cache
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ddmi_diffusion.noise import NoiseConfig

SamplerName = Literal["ddpm", "ddim", "dpm-solver++", "unipc", "euler", "mean-flow"]
"""diffusers' by their usual names; "mean-flow" takes Euler's steps with mean velocities, see `MeanFlowObjective`."""

_CLASSES = {
    "ddpm": "DDPMScheduler",
    "ddim": "DDIMScheduler",
    "dpm-solver++": "DPMSolverMultistepScheduler",
    "unipc": "UniPCMultistepScheduler",
    "euler": "FlowMatchEulerDiscreteScheduler",
    "mean-flow": "FlowMatchEulerDiscreteScheduler",
}
_PREDICTION = {"eps": "epsilon", "v": "v_prediction", "x0": "sample", "flow": "flow_prediction"}

VARIANCE_PRESERVING = (
    "DDPMScheduler",
    "DDIMScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "UniPCMultistepScheduler",
    "DEISMultistepScheduler",
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "HeunDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "LMSDiscreteScheduler",
    "PNDMScheduler",
    "SASolverScheduler",
)
"""diffusers' schedulers that sample the right distribution from a denoiser of eps, v or x0; a test measures each."""
FLOW = (
    "FlowMatchEulerDiscreteScheduler",
    "FlowMatchHeunDiscreteScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "UniPCMultistepScheduler",
    "DEISMultistepScheduler",
    "SASolverScheduler",
)
"""Those that do so from a denoiser of the flow."""
FROM_NOISE = ("LMSDiscreteScheduler", "PNDMScheduler")
"""Those that count what they remember from pure noise on, and cannot begin later."""


def samplers_of(noise: NoiseConfig) -> tuple[SamplerName, ...]:
    """The names that fit what is predicted."""
    if noise.prediction == "flow":
        return ("euler", "dpm-solver++", "unipc", "mean-flow")
    return ("ddpm", "ddim", "dpm-solver++", "unipc")


def make_scheduler(sampler: str | type, noise: NoiseConfig) -> Any:
    """A diffusers scheduler for `noise`.

    diffusers' defaults would clip whitened latents to +-1 and leave the last step short of z_0; here clip_sample and
    thresholding are off, spacing is "trailing" (the first step is T - 1) and the last step returns z_0.

    Args:
        sampler: "ddpm", "ddim", "dpm-solver++" or "unipc" for eps, v and x0; "euler" (FlowMatchEuler), "dpm-solver++",
            "unipc" or "mean-flow" for flow; or a class of diffusers, see `VARIANCE_PRESERVING` and `FLOW`.
        noise: the noise process, and what is predicted.

    Examples:
        >>> make_scheduler("dpm-solver++", NoiseConfig(prediction="v")).config.prediction_type
        'v_prediction'
    """
    import diffusers

    flow = noise.prediction == "flow"
    if isinstance(sampler, str):
        allowed = samplers_of(noise)
        if sampler not in allowed:
            raise ValueError(
                f"sampler {sampler!r} does not fit prediction {noise.prediction!r}; choose one of {', '.join(allowed)}"
            )
    made: Any = getattr(diffusers, _CLASSES[sampler]) if isinstance(sampler, str) else sampler
    if made is diffusers.DDIMScheduler:
        made = _even_ddim()
    settings: dict[str, Any] = dict(
        num_train_timesteps=noise.steps,
        prediction_type=_PREDICTION[noise.prediction],
        timestep_spacing="trailing",
        clip_sample=False,
        thresholding=False,
        set_alpha_to_one=True,
        final_sigmas_type="zero",
        lower_order_final=True,
    )
    if flow:  # both are one setting, named twice
        settings |= dict(use_flow_sigmas=True, flow_shift=noise.shift, shift=noise.shift)
    else:
        settings |= dict(trained_betas=noise.betas.numpy())
    if made is diffusers.DDPMScheduler:
        settings["variance_type"] = "fixed_small_log"
    known = inspect.signature(made.__init__).parameters
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return made(**{name: value for name, value in settings.items() if name in known})


@cache
def _even_ddim() -> type:
    """DDIM each of whose steps ends where the next one begins; times are rounded as the reference implementation does.

    diffusers goes back by T // n, whatever its times are: where n does not divide T, steps fall short, and the last one
    of z_0.
    """
    import diffusers

    base: Any = diffusers.DDIMScheduler

    class EvenDDIMScheduler(base):  # type: ignore[misc]
        def set_timesteps(self, num_inference_steps: int, device: Any = None) -> None:
            super().set_timesteps(num_inference_steps, device)
            ends = np.linspace(-1, self.config.num_train_timesteps - 1, num_inference_steps + 1).astype(np.int64)
            self.timesteps = torch.from_numpy(ends[:0:-1].copy()).to(device)

        def step(self, model_output: Tensor, timestep: Any, *rest: Any, **options: Any) -> Any:
            times = [*self.timesteps.tolist(), -1]
            gap = int(timestep) - times[times.index(int(timestep)) + 1]
            self.num_inference_steps = Fraction(self.config.num_train_timesteps, gap)  # T // this is the gap
            return super().step(model_output, timestep, *rest, **options)

    return EvenDDIMScheduler


def _matches_flow(scheduler: Any) -> bool:
    """Whether it is made for flow, and knows no alphas and betas."""
    import diffusers

    return isinstance(scheduler, diffusers.FlowMatchEulerDiscreteScheduler | diffusers.FlowMatchHeunDiscreteScheduler)


_HARMFUL = {
    "clip_sample": "would cut whitened latents to +-1",
    "thresholding": "would cut whitened latents to +-1",
    "invert_sigmas": "would go from data to noise",
    "stochastic_sampling": "would draw around the mean of z_0, which is too narrow",
}


def check_scheduler(scheduler: Any, noise: NoiseConfig) -> None:
    """ValueError for a scheduler that is not known to sample rightly, or was made for another noise process."""
    import diffusers

    name: str = type(scheduler).__name__
    flow = noise.prediction == "flow"
    known = FLOW if flow else VARIANCE_PRESERVING
    if not any(isinstance(scheduler, getattr(diffusers, one)) for one in known):
        raise ValueError(
            f"sample: {name} is not known to sample rightly from a denoiser of {noise.prediction!r}; name one of ours, "
            f"or build a {', '.join(known)} by make_scheduler(diffusers.CLASS, diffusion.noise)"
        )
    config = scheduler.config
    remedy = f"make_scheduler(diffusers.{name}, diffusion.noise) builds one that fits"
    for option, harm in _HARMFUL.items():
        if config.get(option):
            raise ValueError(f"scheduler {name} has {option}=True, which {harm}; {remedy}")
    wanted = _PREDICTION[noise.prediction]
    given = config.get("prediction_type", wanted if _matches_flow(scheduler) else "epsilon")
    if given != wanted:
        raise ValueError(f"scheduler {name} expects {given!r}, the denoiser was trained for {wanted!r}; {remedy}")
    if config.num_train_timesteps != noise.steps:
        raise ValueError(
            f"scheduler {name} has num_train_timesteps={config.num_train_timesteps}, the denoiser was trained with "
            f"{noise.steps}; {remedy}"
        )
    if flow:
        if not _matches_flow(scheduler) and not config.get("use_flow_sigmas"):
            raise ValueError(f"scheduler {name} has use_flow_sigmas=False, the denoiser was trained on flow; {remedy}")
        return
    if config.get("use_flow_sigmas"):
        raise ValueError(f"scheduler {name} has use_flow_sigmas=True, the denoiser was not trained on flow; {remedy}")
    given_abar, abar = scheduler.alphas_cumprod.cpu().double(), noise.alphas_cumprod
    if not torch.allclose(given_abar, abar, rtol=1e-3, atol=0):  # theirs is float32
        worst = int((given_abar.log() - abar.log()).abs().argmax())
        raise ValueError(
            f"scheduler {name} has another noise schedule than the denoiser was trained with: alphas_cumprod[{worst}] "
            f"is {float(given_abar[worst]):.4g} and should be {float(abar[worst]):.4g}; {remedy}"
        )


def _is_uneven(scheduler: Any) -> bool:
    """Whether it is diffusers' own DDIM, see `_even_ddim`."""
    import diffusers

    return isinstance(scheduler, diffusers.DDIMScheduler) and not isinstance(scheduler, _even_ddim())


def set_steps(scheduler: Any, noise: NoiseConfig, num_steps: int) -> list[Tensor]:
    """Lays `num_steps` out, and returns their times: from pure noise on, down to the last one that is not below 0.

    ValueError where they start later.
    """
    name = type(scheduler).__name__
    if _matches_flow(scheduler):
        scheduler.sigma_min = 1 / num_steps  # even steps, 1 .. 1/n; diffusers ends at 1/T, whatever n is
    elif noise.prediction != "flow" and num_steps > noise.steps:
        raise ValueError(f"sample: num_steps {num_steps} is more than the {noise.steps} steps of the noise process")
    if _is_uneven(scheduler) and noise.steps % num_steps:
        raise ValueError(
            f"sample: {name} steps evenly only where num_steps divides {noise.steps}, got {num_steps}; name 'ddim', or "
            "take make_scheduler(diffusers.DDIMScheduler, diffusion.noise)"
        )
    scheduler.set_timesteps(num_steps)
    times = scheduler.timesteps
    # "trailing" is np.arange(T, 0, -T / n) - 1; where T / n is rounded down, it has an (n + 1)-th step at -1.
    inside = times >= 0
    if not bool(inside.all()):
        sigmas = getattr(scheduler, "sigmas", None)
        if len(set(times.tolist())) != len(times) or (sigmas is not None and len(sigmas) != len(times) + 1):
            raise ValueError(
                f"sample: {name} would lay {num_steps} steps out down to time {float(times[-1]):g}, below 0; take "
                f"num_steps={num_steps - 1}"
            )
        scheduler.timesteps = times = times[inside]
        if sigmas is not None:
            scheduler.sigmas = torch.cat((sigmas[:-1][inside], sigmas[-1:]))
    if float(times[0]) < noise.steps - 2:  # T - 1, or what rounding makes of it; flow begins at T
        raise ValueError(
            f"scheduler {name} starts at time {float(times[0]):g} of {noise.steps}, where a latent is not yet pure "
            f"noise; build it with timestep_spacing='trailing': make_scheduler(diffusers.{name}, diffusion.noise)"
        )
    return list(times)


def begin_at(scheduler: Any, times: list[Tensor], latest: float) -> list[Tensor]:
    """What is left of the times of `set_steps` where the first step begins at time `latest` or after it.

    ValueError for a scheduler that cannot begin there.
    """
    import diffusers

    name = type(scheduler).__name__
    if any(isinstance(scheduler, getattr(diffusers, one)) for one in FROM_NOISE):
        raise ValueError(f"sample: {name} begins with pure noise only, and can edit nothing; name another sampler")
    starts = range(0, len(times), scheduler.order)  # a step of Heun's is two evaluations
    first = next((start for start in starts if float(times[start]) <= latest), len(times))
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(first)
    return times[first:]
