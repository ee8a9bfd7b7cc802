"""Rendering by nerfacc's CUDA extension: samples exist in occupied cells only, those of all rays in one row."""

from __future__ import annotations

import sys
from importlib import import_module

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from ddmi_fields import ImplicitFunction
from ddmi_modalities.nerf.render.volume import Rays, Rendered, accumulate, box_interval, slanted


def available(device: torch.device) -> bool:
    """Whether rays on this device can be rendered so: on CUDA, with the extension compiled.

    nerfacc compiles it at its first use, or prints that it cannot.  Here it is taken where it is installed, or where
    this process has loaded it before.
    """
    if device.type != "cuda":
        return False
    name = "nerfacc.cuda._backend"
    try:
        if name not in sys.modules:
            import_module("nerfacc.csrc")  # where this is, the backend takes it instead of compiling
        return import_module(name)._C is not None
    except (ImportError, OSError):  # absent, of another torch, or no folder may be made for what is never compiled
        return False


def render_packed(
    function: ImplicitFunction,
    origins: Rays,
    directions: Rays,
    *,
    samples: int,
    cells: Bool[Tensor, "z y x"],
    background: Float[Tensor, "3"] | None = None,
) -> Rendered:
    """Rays of one function, of whose samples those in cells that are not marked are not read out.

    The samples are those of `render_rays`, which reads out all.  Differentiable with regard to the function.
    """
    from nerfacc import render_weight_from_density

    near, far = box_interval(origins, directions)
    near, length = near[0, :, 0], (far - near)[0, :, 0]
    (hits,) = torch.nonzero(length > 0, as_tuple=True)
    starts = origins[0, hits] + near[hits, None] * directions[0, hits]
    begin, end, ray, chunks = march(starts, directions[0, hits] * length[hits, None], samples, cells)
    ray = hits[ray]
    at = near[ray] + (begin + end) / 2 * length[ray]
    values = origins.new_zeros(0, 4)
    weights = values[:, 0]
    if len(ray):
        towards = directions[:, ray]
        values = function(origins[:, ray] + at[:, None] * towards, towards).float()[0]
        weights, _, _ = render_weight_from_density(begin * length[ray], end * length[ray], values[:, 3], chunks)
    return accumulate(weights, values[:, :3], at, background, ray, origins.shape[1])


def march(
    origins: Float[Tensor, "ray 3"], directions: Float[Tensor, "ray 3"], samples: int, cells: Bool[Tensor, "z y x"]
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"], Int64[Tensor, " n"], Int64[Tensor, "ray 2"]]:
    """The intervals of rays whose middles lie in marked cells of the cube [-1, 1]^3.

    A ray crosses the cube from `origins` to `origins + directions`, in `samples` equal intervals.

    Returns:
        Begin and end of each as parts of its ray's way, its ray, in ascending order, and of each ray the number of its
        first interval and how many it has.
    """
    # nerfacc has one length of intervals for all rays, so that of each ray's way is made one; and its own search for
    # the way's ends is not needed.
    from nerfacc import traverse_grids

    count = len(origins)
    if count == 0:  # nerfacc divides by it
        none = torch.zeros(0, dtype=torch.int64, device=origins.device)
        return origins[:, 0], origins[:, 0], none, none.new_zeros(0, 2)
    begin, end = torch.zeros_like(origins[:, 0]), torch.ones_like(origins[:, 0])
    intervals, middles, _ = traverse_grids(
        origins,
        slanted(directions),
        cells.permute(2, 1, 0)[None],
        origins.new_tensor([[-1.0, -1.0, -1.0, 1.0, 1.0, 1.0]]),
        near_planes=begin,
        far_planes=end,
        step_size=1 / samples,
        t_sorted=torch.stack((begin, end), dim=1),
        t_indices=torch.tensor([[0, 1]], device=origins.device).expand(count, 2),
        hits=torch.ones(count, 1, dtype=torch.bool, device=origins.device),
    )
    edges = intervals.vals
    return edges[intervals.is_left], edges[intervals.is_right], middles.ray_indices, middles.packed_info
