"""Volume rendering: colour, opacity and depth of rays through radiance fields, in field coordinates."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ddmi_fields import ImplicitFunction

with warnings.catch_warnings():  # when it is compiled for the first time, Python complains of its docstrings
    warnings.simplefilter("ignore")
    from nerfacc import accumulate_along_rays, render_weight_from_density

Rays = Float[Tensor, "batch ray 3"]
PerRay = Float[Tensor, "batch ray 1"]


@dataclass(frozen=True)
class Rendered:
    """What rays see."""

    colour: Float[Tensor, "batch ray 3"]
    """In [0, 1], the background included."""
    opacity: PerRay
    """1 - transmittance: 0 where only the background is seen."""
    depth: PerRay
    """Distance from the origin to where the ray is stopped, in field units: its mean, weighted by the light that comes
    from there; infinite where nothing stops it."""


def box_interval(origins: Rays, directions: Rays) -> tuple[PerRay, PerRay]:
    """Where rays enter and leave the cube [-1, 1]^3 (slab method), in units of their direction; equal on a miss.

    What lies behind the origin does not count.
    """
    slope = 1 / slanted(directions)
    a, b = (-1 - origins) * slope, (1 - origins) * slope
    near = torch.minimum(a, b).amax(-1, keepdim=True).clamp(min=0)
    far = torch.maximum(a, b).amin(-1, keepdim=True)
    return near, torch.maximum(far, near)


def slanted(directions: Float[Tensor, "*shape 3"]) -> Float[Tensor, "*shape 3"]:
    """Parallel to no face of the cube, so that their slopes are huge and not infinite: 0 * inf would be NaN."""
    return torch.where(directions.abs() < 1e-9, torch.full_like(directions, 1e-9), directions)


def sample_edges(
    near: PerRay, far: PerRay, count: int, jitter: Float[Tensor, "batch ray count"] | None = None
) -> tuple[Float[Tensor, "batch ray edge"], Float[Tensor, "batch ray count"]]:
    """Edges of `count` equal intervals of each ray (count + 1 of them), and the place in each where it is read.

    The place is the middle, or with `jitter` in [0, 1) that part of the interval (stratified sampling, NeRF eq. 2).
    """
    edges = near + (far - near) * torch.linspace(0, 1, count + 1, device=near.device)
    inside = 0.5 if jitter is None else jitter
    return edges, edges[..., :-1] + (far - near) / count * inside


def refine_edges(
    edges: Float[Tensor, "batch ray edge"], weights: Float[Tensor, "batch ray coarse"], count: int
) -> Float[Tensor, "batch ray fine"]:
    """Edges of `count` further intervals where the weights are, merged with the given ones (NeRF section 5.2).

    Inverse transform sampling at equally spaced quantiles of the piecewise constant density of the weights.
    """
    density = weights.detach() + 1e-3 / weights.shape[-1]  # a ray that sees nothing is sampled evenly
    cumulated = torch.cumsum(density, dim=-1)
    cumulated = torch.cat((torch.zeros_like(cumulated[..., :1]), cumulated), dim=-1) / cumulated[..., -1:]
    quantiles = (torch.arange(count, device=edges.device) + 0.5) / count
    quantiles = quantiles.expand(*edges.shape[:-1], count).contiguous()
    above = torch.searchsorted(cumulated.contiguous(), quantiles, right=True).clamp(1, edges.shape[-1] - 1)
    low, high = cumulated.gather(-1, above - 1), cumulated.gather(-1, above)
    start, stop = edges.gather(-1, above - 1), edges.gather(-1, above)
    at = start + (quantiles - low) / (high - low).clamp(min=1e-9) * (stop - start)
    return torch.cat((edges, at), dim=-1).sort(dim=-1).values


def composite(
    colours: Float[Tensor, "batch ray sample 3"],
    density: Float[Tensor, "batch ray sample"],
    edges: Float[Tensor, "batch ray edge"],
    at: Float[Tensor, "batch ray sample"],
    background: Float[Tensor, "3"] | None,
) -> Rendered:
    """`C = sum_i T_i (1 - exp(-sigma_i delta_i)) c_i + T_end background` (NeRF eq. 3), without the batch's rays mixing.

    nerfacc's functions of densities: those of alphas have a wrong gradient where an alpha is exactly 1.
    """
    if density.shape[1] == 0:  # nerfacc asserts on no rays
        empty = density.new_zeros(*density.shape[:2], 1)
        return Rendered(density.new_zeros(*density.shape[:2], 3), empty, empty)
    weights, _, _ = render_weight_from_density(edges[..., :-1], edges[..., 1:], density)
    return accumulate(weights, colours, at, background)


def accumulate(
    weights: Float[Tensor, "*samples"],
    colours: Float[Tensor, "*samples 3"],
    at: Float[Tensor, "*samples"],
    background: Float[Tensor, "3"] | None,
    ray: Int64[Tensor, " n"] | None = None,
    rays: int | None = None,
) -> Rendered:
    """Sums over the samples of each ray, by the light that reaches the eye from each; a `background` of None is white.

    Samples are (batch, ray, sample), or those of all `rays` in one row, of which `ray` says whose they are.
    """

    def total(values: Tensor | None) -> Tensor:
        summed = accumulate_along_rays(weights, values, ray, rays)
        return summed if ray is None else summed[None]

    opacity = total(None)
    behind = opacity.new_ones(3) if background is None else background.to(opacity)
    mean = total(at[..., None]) / opacity.clamp(min=1e-6)
    depth = torch.where(opacity > 1e-3, mean, torch.full_like(mean, torch.inf))
    return Rendered(total(colours) + (1 - opacity) * behind, opacity, depth)


def render_rays(
    function: ImplicitFunction,
    origins: Rays,
    directions: Rays,
    *,
    samples: int,
    importance: int = 0,
    jitter: Float[Tensor, "batch ray samples"] | None = None,
    background: Float[Tensor, "3"] | None = None,
) -> Rendered:
    """Rays of each function of a batch, all samples read out: differentiable, for training.

    Args:
        function: of a `NerfReadOut`.
        origins, directions: field coordinates; directions of unit length.
        samples: of a ray's way through the cube.
        importance: further samples where a first pass, without gradients, finds something (0: none).
        jitter: moves the samples within their intervals; None reads in the middle.
        background: seen where nothing stops a ray; default white.
    """
    near, far = box_interval(origins, directions)
    edges, at = sample_edges(near, far, samples, jitter)
    if importance:
        with torch.no_grad():
            _, density = read_samples(function, origins, directions, at)
            weights, _, _ = render_weight_from_density(edges[..., :-1], edges[..., 1:], density)
            edges = refine_edges(edges, weights, importance)
            at = (edges[..., :-1] + edges[..., 1:]) / 2
    colours, density = read_samples(function, origins, directions, at)
    return composite(colours, density, edges, at, background)


def read_samples(
    function: ImplicitFunction, origins: Rays, directions: Rays, at: Float[Tensor, "batch ray sample"]
) -> tuple[Float[Tensor, "batch ray sample 3"], Float[Tensor, "batch ray sample"]]:
    """Colour and density at distances along rays."""
    count = at.shape[-1]
    points = origins[:, :, None] + at[..., None] * directions[:, :, None]
    towards = directions[:, :, None].expand(-1, -1, count, -1)
    values = function(points.flatten(1, 2), towards.flatten(1, 2)).float().unflatten(1, (-1, count))
    return values[..., :3], values[..., 3]
