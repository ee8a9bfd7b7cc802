"""Points onto the surface of a function, and normals from its gradient."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ddmi_modalities.extent import Extent

GRADIENT_TILE = 2**13
"""Points differentiated at once: autograd keeps the activations of all of them."""


def project_to_surface(
    points: Float[np.ndarray, "n 3"],
    field: Callable[[Tensor], Tensor],
    extent: Extent,
    level: float,
    steps: int,
    reach: float,
    device: torch.device | str = "cpu",
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"]]:
    """Points moved along the field's gradient to where the field equals `level`, and the outward unit normals there.

    Newton's method in world coordinates: p <- p - (w(p) - level) grad w / |grad w|^2, the gradient by the chain rule
    through the extent.  A step is at most half of `reach`, and every point ends where its value was closest to the
    level, so that a kink or a flat region costs accuracy and never the shape.

    Args:
        points: near the surface, in the world.
        field: values (1, n, 1) at field coordinates (1, n, 3), differentiable by autograd.
        extent: the world box of field coordinates [-1, 1].
        level: the value on the surface.
        steps: of Newton's method; 0 when only the normals are wanted.
        reach: about the distance of the points from each other, in the world.
        device: where the field wants its coordinates.

    Returns:
        The points, and -grad w / |grad w|: outward, since values are higher inside; zero without a gradient.
    """
    moved, outward = points.copy(), np.zeros_like(points)
    for start in range(0, len(points), GRADIENT_TILE):
        part = slice(start, start + GRADIENT_TILE)
        at, gradient = _newton(torch.from_numpy(points[part]), field, extent, level, steps, reach / 2, device)
        length = gradient.norm(dim=1, keepdim=True).clamp_min(1e-30)
        moved[part], outward[part] = at.numpy(), (-gradient / length).numpy()
    return moved, outward


def _newton(
    start: Float[Tensor, "n 3"],
    field: Callable[[Tensor], Tensor],
    extent: Extent,
    level: float,
    steps: int,
    longest: float,
    device: torch.device | str,
) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 3"]]:
    """The best points met and the gradients there, both in world coordinates."""
    at, best, best_gradient = start, start.clone(), torch.zeros_like(start)
    least = torch.full((len(start),), torch.inf, dtype=start.dtype)
    for step in range(steps + 1):
        values, gradient = _values_and_gradient(at, field, extent, level, device)
        better = values.abs() < least
        least[better], best[better], best_gradient[better] = values[better].abs(), at[better], gradient[better]
        if step < steps:
            move = -values[:, None] * gradient / gradient.square().sum(1, keepdim=True).clamp_min(1e-30)
            at = at + move * (longest / move.norm(dim=1, keepdim=True).clamp_min(longest))
    return best, best_gradient


def _values_and_gradient(
    world: Float[Tensor, "n 3"],
    field: Callable[[Tensor], Tensor],
    extent: Extent,
    level: float,
    device: torch.device | str,
) -> tuple[Float[Tensor, " n"], Float[Tensor, "n 3"]]:
    """Value minus level, and d value / d world."""
    coords = extent.to_field(world).float()[None].to(device).requires_grad_()
    with torch.enable_grad():
        values = field(coords)
        check_values(values, len(world))
        if not values.requires_grad:
            raise ValueError(
                "extract_surface: refine and normals need a field that autograd can differentiate, and this one's "
                "values do not depend on the coordinates; pass refine=0 and normals=False"
            )
        (gradient,) = torch.autograd.grad(values.float().sum(), coords)
    scale = torch.tensor(extent.scale, dtype=world.dtype)
    return values.detach().float().flatten().to(world) - level, gradient[0].to(world) * scale


def check_values(values: Tensor, count: int) -> None:
    """ValueError unless the field's values are finite and (1, count, 1)."""
    if values.shape != (1, count, 1):
        raise ValueError(
            f"extract_surface: the field gave values of shape {tuple(values.shape)} at {count} points, wanted "
            f"(1, {count}, 1); pass one function of one channel, such as functions[i]"
        )
    if not values.isfinite().all():
        raise ValueError(
            f"extract_surface: the field is not finite at {int((~values.isfinite()).sum())} of {count} points; "
            "the model has diverged, or its precision is too low: try float32"
        )
