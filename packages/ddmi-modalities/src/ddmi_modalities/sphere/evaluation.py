"""How good a trained model of functions on the sphere is: errors in units, and spectra of what it generates."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ddmi_fields import ImplicitFunction
from ddmi_modalities.geometry.sphere_grid import SphereGrid
from ddmi_modalities.metrics.sphere_spectra import power_spectrum
from ddmi_modalities.modality import FunctionSource
from ddmi_modalities.progress import progress
from ddmi_modalities.spec import OFFLINE, OFFLINE_CITATION, EvaluationProtocol, Measured
from ddmi_modalities.sphere.data.times import SphereItem, SphereTimes
from ddmi_modalities.sphere.modality import SphereModality

logger = logging.getLogger("ddmi")

CHUNK = 16
Values = Float[Tensor, "time channel rows columns"]


@dataclass(frozen=True, kw_only=True)
class SphereEvaluation:
    """How much of a model is measured."""

    count: int = 100
    """Samples of spectra, means and deviations."""
    coarser: tuple[int, ...] = (4, 8)
    """Every so many-th row and column of the data is given to bilinear interpolation, and to the model."""
    degrees: int = 30
    """Largest degree of the spectra; grids that are coarser than that have fewer."""

    def __post_init__(self) -> None:
        if self.count < 2 or self.degrees < 1 or any(step < 2 for step in self.coarser):
            raise ValueError(
                "SphereEvaluation: count is from 2, degrees from 1 and coarser steps from 2, got "
                f"{self.count}, {self.degrees} and {self.coarser}"
            )


def evaluate_spheres(
    modality: SphereModality,
    model: FunctionSource,
    settings: SphereEvaluation,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Measured:
    """Root mean square errors over the sphere of held-out times, in units, at all points of the data's grid.

    `rmse/NAME` of reconstructions, `rmse_climatology/NAME` of the training mean of the same month (of all times where
    months are not known), `rmse_relative/NAME` their ratio; `rmse/4x/NAME` and `rmse_bilinear/4x/NAME` where only every
    fourth row and column is known.  Of samples: `spectrum/samples/NAME`, how far the mean power of degrees is from that
    of held-out times, in dB; `mean/samples/NAME` and `std/samples/NAME`, how far their mean and deviation at each place
    are.  The same of the training times (`real`), of reconstructions, and of the prior.  `nearest/samples` is how far
    the nearest training time is on average, over all variables and in their deviations; `nearest/held_out` likewise.
    """
    train, held_out = modality.dataset("train"), modality.dataset("test")
    items = [held_out[i] for i in range(len(held_out))]
    grid, true = items[0].grid, torch.stack([one.values for one in items])
    names = [channel.name for channel in modality.channels]
    rebuilt = rebuilt_on(modality, model, items, grid)
    metrics = _named("rmse", rmse(rebuilt, true, grid), names)
    usual = rmse(climatology(train, items), true, grid)
    metrics |= _named("rmse_climatology", usual, names)
    metrics |= _named("rmse_relative", rmse(rebuilt, true, grid) / usual, names)
    for step in settings.coarser:
        coarse = [_coarser(one, step) for one in items]
        metrics |= _named(f"rmse/{step}x", rmse(rebuilt_on(modality, model, coarse, grid), true, grid), names)
        at = np.broadcast_arrays(grid.latitude[:, None], grid.longitude[None, :])
        between = torch.stack([one.grid.interpolate(one.values, *at) for one in coarse])
        metrics |= _named(f"rmse_bilinear/{step}x", rmse(between, true, grid), names)
    sets = {"real": torch.stack([train[i].values for i in range(len(train))]), "reconstructions": rebuilt}
    if model.can_sample:
        for name, draw in (("samples", model.sample), ("prior", model.prior)):
            logger.info("%d functions: %s", settings.count, name)
            sets[name] = drawn_on(modality, draw, settings.count, seed, grid)
    degrees = min(settings.degrees, (grid.shape[1] - 1) // 2, grid.shape[0] - 1)
    spectrum = {
        name: power_spectrum(found, grid, degrees).mean(0) for name, found in {"held_out": true, **sets}.items()
    }
    for name, found in sets.items():
        ratio = 10 * torch.log10(spectrum[name][:, 1:] / spectrum["held_out"][:, 1:])
        metrics |= _named(f"spectrum/{name}", ratio.square().mean(-1).sqrt(), names)
        metrics |= _named(f"mean/{name}", rmse(found.mean(0)[None], true.mean(0)[None], grid), names)
        metrics |= _named(f"std/{name}", rmse(found.std(0)[None], true.std(0)[None], grid), names)
    generated = {name: found for name, found in sets.items() if name in ("samples", "prior")}
    for name, found in {"held_out": true, **generated}.items():
        metrics[f"nearest/{name}"] = nearest(found, sets["real"], grid, modality.stds)
    conditions = {
        "count": settings.count,
        "held_out": [items[0].name, items[-1].name],
        "units": {channel.name: channel.units for channel in modality.channels},
        "power of each degree from 0": {
            kind: {name: power.tolist() for name, power in zip(names, powers, strict=True)}
            for kind, powers in spectrum.items()
        },
    }
    return Measured(metrics=metrics, conditions=conditions)


def rmse(made: Values, true: Values, grid: SphereGrid) -> Float[Tensor, " channel"]:
    """Root of the mean square over the sphere and all times."""
    return grid.mean((made.double() - true.double()).square()).mean(0).sqrt()


def nearest(
    made: Values, train: Float[Tensor, "known channel rows columns"], grid: SphereGrid, stds: Sequence[float]
) -> float:
    """Mean over `made` of the root mean square difference to the nearest of `train`, in standard deviations."""
    weights = (grid.areas / len(stds)).sqrt() / torch.tensor(stds)[:, None, None]
    one, other = ((values * weights).flatten(1).double() for values in (made, train))
    return torch.cdist(one, other).min(dim=1).values.mean().item()


def climatology(train: SphereTimes, items: Sequence[SphereItem]) -> Values:
    """For each item the mean of the training times of its month, or of all where months are not known."""
    past = [train[i] for i in range(len(train))]
    everything = torch.stack([one.values for one in past]).mean(0)
    found: dict[int | None, Tensor] = {None: everything}
    for month in {one.month for one in past} - {None}:
        found[month] = torch.stack([one.values for one in past if one.month == month]).mean(0)
    return torch.stack([found.get(one.month, everything) for one in items])


def rebuilt_on(
    modality: SphereModality, model: FunctionSource, items: Sequence[SphereItem], grid: SphereGrid
) -> Values:
    """Reconstructions on a grid, in units."""
    groups = [items[start : start + CHUNK] for start in range(0, len(items), CHUNK)]
    made = (modality.on_grid(model.reconstruct(modality.inputs(group)), grid) for group in groups)
    return torch.cat([*progress(made, what=f"reconstructions of {len(items)} held-out times", total=len(groups))])


def drawn_on(
    modality: SphereModality, draw: Callable[..., ImplicitFunction], count: int, seed: int, grid: SphereGrid
) -> Values:
    """The first `count` functions of a source, such as `model.sample`, on a grid, in units."""
    starts = range(0, count, CHUNK)
    made = (modality.on_grid(draw(min(CHUNK, count - start), seed=seed, start=start), grid) for start in starts)
    return torch.cat([*progress(made, what=f"{count} functions", total=len(starts))])


def _coarser(item: SphereItem, step: int) -> SphereItem:
    return SphereItem(item.name, item.grid.every(step), item.values[:, ::step, ::step], item.month)


def _named(what: str, values: Float[Tensor, " channel"], names: Sequence[str]) -> dict[str, float]:
    return {f"{what}/{name}": value for name, value in zip(names, values.tolist(), strict=True)}


EVALUATIONS: Mapping[str, EvaluationProtocol] = MappingProxyType(
    {OFFLINE: EvaluationProtocol(settings=SphereEvaluation(), measure=evaluate_spheres, citation=OFFLINE_CITATION)}
)
"""By the name that `ddmi evaluate --protocol` takes."""
