"""`LatentDiffusion`: a denoiser, its noise process, its loss (eq. 10) and its sampling, on packed latents."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ddmi_diffusion.conditioning import Conditioning
from ddmi_diffusion.device_transfer import device_of, sent
from ddmi_diffusion.noise import NoiseConfig
from ddmi_diffusion.pretrained import KIND, Pretrained, describe_settings, described_settings, known_class
from ddmi_diffusion.randomness import sampling_generators, seeded_normal
from ddmi_diffusion.schedulers import begin_at, check_scheduler, make_scheduler, set_steps

Packed = Float[Tensor, "batch *packed"]
Correct = Callable[[Tensor, float], Tensor]
"""Packed latents z_0 and sigma / alpha, the spread of what they may be, to corrected ones."""
Callback = Callable[[int, float, Tensor], None]
"""Steps done, the time from which the last one was taken, and the latents after it as the sampler keeps them."""


@dataclass(frozen=True, kw_only=True)
class Guidance:
    """`eps~ = worse + w (eps - worse)` at times within [start, stop) of T, or [start, 1]: away from a worse prediction.

    Classifier-free guidance: worse is the prediction under the `null` condition.  Autoguidance (Karras et al. 2024,
    "Guiding a diffusion model with a bad version of itself"): it is that of `guide`, which learned for a shorter time.

    Examples:
        >>> null = Conditioning.from_labels(torch.tensor([-1]), classes=10)
        >>> Guidance(scale=3.0, null=null).scale
        3.0
    """

    scale: float = 1.0
    """w; 1 is no guidance."""
    null: Conditioning | None = None
    guide: LatentDiffusion | None = None
    start: float = 0.0
    stop: float = 1.0

    def __post_init__(self) -> None:
        if self.null is not None and self.guide is not None:
            raise ValueError("Guidance: give a null condition or a guide, not both")
        if not math.isfinite(self.scale):
            raise ValueError(f"Guidance: the scale is a number, got {self.scale}; 1 is no guidance")
        if not 0 <= self.start < self.stop <= 1:
            raise ValueError(
                f"Guidance: it acts in a part of the noise process, 0 <= start < stop <= 1, got {self.start} to "
                f"{self.stop}"
            )

    def active(self, t: float, cond: Conditioning | None, steps: int) -> bool:
        """A null condition says nothing where there is no condition."""
        has_worse = self.guide is not None or (self.null is not None and cond is not None)
        within = self.start <= t / steps and (t / steps < self.stop or self.stop == 1.0)  # flow begins at T itself
        return self.scale != 1.0 and has_worse and within


class LatentDiffusion(Pretrained):
    """Diffusion over packed latents (`LatentSpace.pack`).

    Args:
        denoiser: the network.
        noise: the noise process and what the network predicts.
        shape: of one packed latent, without the batch.
        mixed: mixed prediction of LSGM, `eps = (1 - s) sigma_t z_t + s net`, s = sigmoid(m), with one learned m a
            channel that starts at `mixed`; None turns it off. For prediction "eps" only.
        min_snr_gamma: gamma of the min-SNR loss weight, or None.

    Examples:
        >>> from ddmi_diffusion import PlaneUNet, UNetConfig
        >>> denoiser = PlaneUNet([(4, 8, 8)], config=UNetConfig(width=32, multipliers=(1, 2), blocks=1))
        >>> diffusion = LatentDiffusion(denoiser, NoiseConfig(prediction="v"), (4, 8, 8))
        >>> z, noise = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8)
        >>> diffusion.loss(z, noise, torch.tensor([10.0, 900.0])).shape
        torch.Size([2])
        >>> diffusion.sample(2, seed=0, num_steps=2).shape
        torch.Size([2, 4, 8, 8])
    """

    def __init__(
        self,
        denoiser: nn.Module,
        noise: NoiseConfig,
        shape: tuple[int, ...],
        *,
        mixed: float | None = None,
        min_snr_gamma: float | None = None,
    ) -> None:
        super().__init__()
        if mixed is not None and noise.prediction != "eps":
            raise ValueError(f"LatentDiffusion: mixed prediction mixes eps, not {noise.prediction!r}; pass mixed=None")
        self.denoiser = denoiser
        self.shape = tuple(shape)
        self.noise = noise.for_latents_of(math.prod(self.shape))
        self.mixed, self.min_snr_gamma = mixed, min_snr_gamma
        self.mixing = nn.Parameter(torch.full((shape[0],), mixed)) if mixed is not None else None

    def described(self) -> dict[str, Any]:
        denoiser, kind = self.denoiser, {KIND: type(self.denoiser).__name__}
        return {
            "shape": list(self.shape),
            "noise": describe_settings(self.noise),
            "mixed": self.mixed,
            "min_snr_gamma": self.min_snr_gamma,
            "denoiser": kind | denoiser.described() if isinstance(denoiser, Pretrained) else kind,
        }

    @classmethod
    def build_described(cls, description: dict[str, Any]) -> LatentDiffusion:
        of = description["denoiser"]
        if set(of) == {KIND}:
            raise ValueError(
                f"its denoiser, a {of[KIND]}, cannot be built from settings; make one as it was and pass it: "
                "from_pretrained(folder, denoiser=...)"
            )
        return cls._around(known_class(of[KIND], Pretrained).build_described(of), description)  # type: ignore[type-abstract]

    @classmethod
    def from_pretrained(cls, folder: Path | str, *, denoiser: nn.Module | None = None) -> LatentDiffusion:
        """The diffusion that `save_pretrained` wrote, on the CPU and in evaluation mode.

        `denoiser` takes the weights of one that is not ours, and so cannot be built from settings.  ValueError that
        names the file and the remedy: not there, damaged, of another network.
        """
        if denoiser is None:
            return super().from_pretrained(folder)
        return cls._read_folder(Path(folder), lambda description: cls._around(denoiser, description))

    @classmethod
    def _around(cls, denoiser: nn.Module, description: dict[str, Any]) -> LatentDiffusion:
        noise = described_settings(description["noise"], NoiseConfig)
        own = {name: description[name] for name in ("mixed", "min_snr_gamma")}
        return cls(denoiser, noise, description["shape"], **own)

    @property
    def takes_spans(self) -> bool:
        """Whether the denoiser predicts mean velocities, over spans of time."""
        return getattr(self.denoiser, "span", None) is not None

    def predict(
        self,
        z_t: Packed,
        t: Float[Tensor, " batch"],
        cond: Conditioning | None = None,
        span: Float[Tensor, " batch"] | None = None,
    ) -> Packed:
        """The prediction (mixed where asked), in float32; the network computes in the precision of its weights.

        `span`: that of the mean velocity over [t - span, t], of a denoiser that takes spans.
        """
        dtype = next((p.dtype for p in self.denoiser.parameters() if p.is_floating_point()), z_t.dtype)
        spans = () if span is None else (span,)
        cond = cond if cond is None else cond.to(dtype)
        output = self.denoiser(z_t.to(dtype), sent(t, z_t.device), cond, *spans).float()
        if self.mixing is None:
            return output
        s = torch.sigmoid(self.mixing.float()).reshape(-1, *[1] * (z_t.ndim - 2))
        _, sigma = self.noise.coefficients(t, z_t)
        return (1 - s) * sigma * z_t + s * output

    def loss(
        self,
        z: Packed,
        noise: Packed,
        t: Float[Tensor, " batch"],
        cond: Conditioning | None = None,
    ) -> Float[Tensor, " batch"]:
        """Mean squared error of the prediction over elements, item by item (eq. 10), min-SNR weighted where asked.

        Times on the CPU are sent to where the latents are; those of a device are waited for.
        """
        if tuple(z.shape[1:]) != self.shape:
            raise ValueError(f"LatentDiffusion: made for packed latents {self.shape}, got {tuple(z.shape[1:])}")
        prediction = self.predict(self.noise.add_noise(z, noise, t), t, cond)
        error = (prediction - self.noise.target(z, noise, t)).square().flatten(1).mean(1)
        if self.min_snr_gamma is None:
            return error
        return error * sent(self.noise.min_snr_weight(t, self.min_snr_gamma), error.device)

    @torch.no_grad()
    def sample(
        self,
        count: int,
        *,
        seed: int = 0,
        start: int = 0,
        num_steps: int = 50,
        sampler: str | Any = "ddim",
        cond: Conditioning | None = None,
        guidance: Guidance | None = None,
        noise: Packed | None = None,
        initial: Packed | None = None,
        t_start: float | None = None,
        correct: Correct | None = None,
        callback: Callback | None = None,
        progress: Callable[[Iterable[Any]], Iterable[Any]] | None = None,
    ) -> Packed:
        """`count` packed latents by the reverse process, from pure noise or from latents that are to be edited.

        Args:
            seed, start: sample i is a function of (seed, start + i) only, whatever the batch.
            num_steps: of the sampler.
            sampler: a name or a class for `make_scheduler`, or a diffusers scheduler that fits the noise config;
                "mean-flow" where the denoiser takes spans.
            cond: one condition, or one an item.
            guidance: away from the null condition, which goes through the network in the same batch, or from a guide.
            noise: instead of seeded noise, of unit variance: z_T, or what is added to `initial`.
            initial: latents z_0 to edit: they are noised to the time `t_start`, and sampling begins there (SDEdit, Meng
                et al. 2022).
            t_start: in [0, 1], as a fraction of the noise process: 0 gives `initial` back, 1 nothing of it.  Of
                `num_steps`, those that begin no earlier are taken.
            correct: `(z_0, sigma / alpha) -> z_0`: what each step's prediction stands for, corrected, such as towards
                something that was observed; may use gradients.
            callback: called after each step, see `Callback`; what it raises ends the sampling.
            progress: wraps the time steps, such as `tqdm.tqdm`.

        ValueError for what does not fit the model, and for latents that became NaN or infinite.
        """
        if count < 0 or num_steps < 1:
            raise ValueError(f"sample: count must be >= 0 and num_steps >= 1, got {count} and {num_steps}")
        wanted = (count, *self.shape)
        for name, given in (("noise", noise), ("initial", initial)):
            if given is not None and tuple(given.shape) != wanted:
                raise ValueError(f"sample: `{name}` is {tuple(given.shape)}, wanted {wanted}: `count` packed latents")
        if (initial is None) != (t_start is None) or not 0 <= (0.0 if t_start is None else t_start) <= 1:
            raise ValueError(
                f"sample: `initial`, latents to edit, goes with t_start in [0, 1], got t_start={t_start} "
                f"{'without' if initial is None else 'with'} it; z_T itself is `noise`"
            )
        if guidance is not None and guidance.guide is not None:
            self._check_guide(guidance.guide)
        if sampler == "mean-flow" and not self.takes_spans:
            raise ValueError(
                "sample: this denoiser predicts no mean velocities; train one by MeanFlowObjective, or name another "
                "sampler"
            )
        if sampler == "mean-flow" and guidance is not None and guidance.scale != 1:
            raise ValueError("sample: a mean flow has the guidance that it was trained with; give none")
        device = device_of(self)
        scheduler = make_scheduler(sampler, self.noise) if isinstance(sampler, str | type) else sampler
        check_scheduler(scheduler, self.noise)
        timesteps = set_steps(scheduler, self.noise, num_steps)
        indices = range(start, start + count)
        z = noise if noise is not None else seeded_normal(seed, list(indices), *self.shape)
        z, timesteps = self._beginning(z.float().to(device), initial, t_start, scheduler, timesteps)
        if count == 0:
            return z
        cond = cond.expand(count).to(device) if cond is not None else None
        options = {}
        if "generator" in inspect.signature(scheduler.step).parameters:
            # Stochastic samplers draw step by step: one stream an item keeps sample i a function of (seed, i).
            options["generator"] = sampling_generators(seed, list(indices))
        # Counted on the device, and read once at the end: reading it at each step would wait for the device.
        still = torch.ones((), dtype=torch.bool, device=device)
        good = torch.zeros((), dtype=torch.int32, device=device)
        ends = [*map(float, timesteps), 0.0][1:] if sampler == "mean-flow" else [None] * len(timesteps)
        taken = progress(timesteps) if progress else timesteps
        for step, (t, end) in enumerate(zip(taken, ends, strict=True)):
            model_input = scheduler.scale_model_input(z, t) if hasattr(scheduler, "scale_model_input") else z
            prediction = self._guided(model_input, float(t), cond, guidance, None if end is None else float(t) - end)
            if correct is not None:
                prediction = self._corrected(z, prediction, float(t), correct)
            z = scheduler.step(prediction, t, z, **options, return_dict=False)[0]
            still &= z.isfinite().all()
            good += still
            if callback is not None:
                callback(step + 1, float(t), z)
        if (done := int(good)) < len(timesteps):
            cause = self._cause_of_non_finite({"noise": noise, "initial": initial}, cond, guidance)
            raise ValueError(
                f"sample: the latents are not finite from step {done + 1} of {len(timesteps)} (time "
                f"{float(timesteps[done]):g}) on; {cause}"
            )
        return z

    def _beginning(
        self, noise: Packed, initial: Packed | None, t_start: float | None, scheduler: Any, timesteps: list[Tensor]
    ) -> tuple[Packed, list[Tensor]]:
        """Latents as the scheduler keeps them where sampling begins, and the times that are left."""
        spread = float(getattr(scheduler, "init_noise_sigma", 1.0))  # some keep z / alpha_t
        if initial is None or t_start is None or t_start == 1:
            return noise * spread, timesteps
        initial, timesteps = initial.to(noise), begin_at(scheduler, timesteps, t_start * self.noise.steps)
        if not timesteps:
            return initial, timesteps
        alpha, sigma = self.noise.coefficients(timesteps[0].float().reshape(1), noise)
        return (alpha * initial + sigma * noise) / (1 if spread == 1 else alpha), timesteps

    def _check_guide(self, guide: LatentDiffusion) -> None:
        """A guide's prediction is subtracted from this one's: both must mean the same."""
        flow = self.noise.prediction == "flow"
        names = ("prediction", "steps", *(() if flow else ("beta_start", "beta_end")))
        pairs = [(name, getattr(guide.noise, name), getattr(self.noise, name)) for name in names]
        for name, theirs, ours in [*pairs, ("shape", guide.shape, self.shape)]:
            if theirs != ours:
                raise ValueError(
                    f"sample: the guide has {name} {theirs!r} and the model {ours!r}, so their predictions cannot be "
                    "subtracted; guide with an earlier state of the same training"
                )

    def _cause_of_non_finite(
        self, latents: dict[str, Tensor | None], cond: Conditioning | None, guidance: Guidance | None
    ) -> str:
        guide = None if guidance is None else guidance.guide
        weights = dict(self.named_parameters())
        weights |= {} if guide is None else {f"guide.{name}": weight for name, weight in guide.named_parameters()}
        given = {name: one for name, one in latents.items() if one is not None}
        given |= {} if cond is None else {"cond.tokens": cond.tokens}
        for name, tensor in (given | weights).items():
            if not bool(tensor.isfinite().all()):
                return f"{name} is not finite itself: give others, or load an earlier checkpoint"
        half = {str(weight.dtype) for weight in weights.values() if weight.dtype.itemsize == 2}
        if half:
            return f"the weights are {half.pop()}, in which the network may overflow: sample with model.float()"
        return "weights and inputs are finite, so the network overflowed: look at the size of its weights"

    def _guided(
        self,
        z: Packed,
        t: float,
        cond: Conditioning | None,
        guidance: Guidance | None,
        span: float | None = None,
    ) -> Packed:
        times = torch.full((z.shape[0],), t, dtype=torch.float32, device=z.device)
        if guidance is None or not guidance.active(t, cond, self.noise.steps):
            return self.predict(z, times, cond, None if span is None else torch.full_like(times, span))
        return self.guided(z, times, cond, guidance)

    def _corrected(self, z: Packed, prediction: Packed, t: float, correct: Correct) -> Packed:
        times = torch.full((z.shape[0],), t, dtype=torch.float32, device=z.device)
        alpha, sigma = self.noise.coefficients(times[:1], z[:1])
        ratio = math.inf if float(alpha) == 0 else float(sigma / alpha)
        with torch.enable_grad():
            z_0 = correct(self.noise.clean(z, prediction, times), ratio).detach()
        return self.noise.standing_for(z_0, z, times)

    def guided(
        self, z: Packed, times: Float[Tensor, " batch"], cond: Conditioning | None, guidance: Guidance
    ) -> Packed:
        """The prediction that guidance makes, at any time: `worse + w (eps - worse)`."""
        if guidance.guide is not None:
            worse = guidance.guide.predict(z, times, cond)
            return worse + guidance.scale * (self.predict(z, times, cond) - worse)
        assert cond is not None
        assert guidance.null is not None
        both = Conditioning.cat(cond, guidance.null.to(z.device).expand(len(cond)))
        with_cond, without = self.predict(z.repeat(2, *[1] * (z.ndim - 1)), times.repeat(2), both).chunk(2)
        return without + guidance.scale * (with_cond - without)
