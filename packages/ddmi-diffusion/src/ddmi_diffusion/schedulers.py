"""diffusers' schedulers, built from our noise config so that sampler and training cannot disagree."""

from __future__ import annotations

import warnings
from typing import Any, Literal, get_args

from ddmi_diffusion.noise import NoiseConfig

SamplerName = Literal["ddpm", "ddim", "dpm-solver++", "unipc", "euler"]

_PREDICTION = {"eps": "epsilon", "v": "v_prediction", "x0": "sample", "flow": "flow_prediction"}


def make_scheduler(name: str, noise: NoiseConfig) -> Any:
    """A diffusers scheduler for `noise`: "ddpm", "ddim", "dpm-solver++" or "unipc" for eps, v and x0; "euler"
    (FlowMatchEuler), "dpm-solver++" or "unipc" for flow.

    diffusers' defaults would clip whitened latents to +-1 and leave the last step short of z_0; here clip_sample and
    thresholding are off, spacing is "trailing" (the first step is T - 1) and the last step returns z_0.
    """
    import diffusers

    flow = noise.prediction == "flow"
    allowed = ("euler", "dpm-solver++", "unipc") if flow else ("ddpm", "ddim", "dpm-solver++", "unipc")
    if name not in get_args(SamplerName) or name not in allowed:
        raise ValueError(
            f"sampler {name!r} does not fit prediction {noise.prediction!r}; choose one of {', '.join(allowed)}"
        )
    prediction = _PREDICTION[noise.prediction]
    betas = dict(
        num_train_timesteps=noise.steps,
        trained_betas=noise.betas.numpy(),
        prediction_type=prediction,
        timestep_spacing="trailing",
    )
    if name == "ddpm":
        return diffusers.DDPMScheduler(**betas, clip_sample=False, thresholding=False, variance_type="fixed_small_log")
    if name == "ddim":
        return diffusers.DDIMScheduler(**betas, clip_sample=False, thresholding=False, set_alpha_to_one=True)
    if name == "euler":
        return diffusers.FlowMatchEulerDiscreteScheduler(num_train_timesteps=noise.steps)
    solver = diffusers.DPMSolverMultistepScheduler if name == "dpm-solver++" else diffusers.UniPCMultistepScheduler
    shared: dict[str, Any] = dict(thresholding=False, final_sigmas_type="zero", lower_order_final=True)
    if flow:
        return solver(
            num_train_timesteps=noise.steps, prediction_type=prediction, use_flow_sigmas=True,
            timestep_spacing="trailing", **shared,
        )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return solver(**betas, **shared)


def check_scheduler(scheduler: Any, noise: NoiseConfig) -> None:
    """Refuses a foreign scheduler that clips latents or reads the denoiser's output as another quantity."""
    config = scheduler.config
    for option in ("clip_sample", "thresholding"):
        if config.get(option):
            raise ValueError(
                f"scheduler {type(scheduler).__name__} has {option}=True, which would cut whitened latents to +-1; "
                f"build it with {option}=False, or name one of ours"
            )
    flow_match = "FlowMatch" in type(scheduler).__name__
    wanted = _PREDICTION[noise.prediction]
    given = "flow_prediction" if flow_match else config.get("prediction_type", "epsilon")
    if given != wanted:
        raise ValueError(
            f"scheduler {type(scheduler).__name__} expects {given!r}, the denoiser was trained for {wanted!r}; "
            f"build it with prediction_type={wanted!r}"
        )
