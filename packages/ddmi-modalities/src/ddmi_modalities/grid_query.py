"""Where functions on a grid (images, clips) are compared with the truth in a training step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from ddmi_fields import ImplicitFunction
from ddmi_vae import Randomness


@dataclass(frozen=True)
class GridQuery:
    """Points of each function of a batch, of grids of one size: drawn at random, or windows."""

    coords: Float[Tensor, "batch query axis"]
    """In field coordinates, at cell centres; of a window with columns fastest, then rows, then frames."""
    condition: Float[Tensor, " batch"]
    """native size / rows of the full grid."""
    window: tuple[int, ...] | None = None
    """([frames,] rows, columns) of the windows, whose product is the query's length; None: single points."""

    def read(self, function: ImplicitFunction) -> Float[Tensor, "batch query channel"]:
        """The functions there; the condition goes only to a read-out that takes a scale."""
        return function(self.coords, None if function.native is None else self.condition)

    def pictures(self, values: Float[Tensor, "batch query 3"]) -> Float[Tensor, "_ 3 rows columns"]:
        """Values there as pictures, as perceptual and adversarial terms ask for them: frame after frame, item by item.

        ValueError for single points.
        """
        if self.window is None:
            raise ValueError(
                "perceptual and adversarial terms look at windows, and this run compares single points; "
                "set the modality's num_queries to 0"
            )
        rows, columns = self.window[-2:]
        return rearrange(values, "b (t h w) c -> (b t) c h w", h=rows, w=columns)


@dataclass(frozen=True)
class GridTargets:
    """The sizes at which functions are compared with the truth, and how often each."""

    sizes: tuple[int, ...]
    weights: tuple[float, ...]

    def check(self, owner: str) -> None:
        """Raises ValueError, which begins with `owner`, unless every size has a weight that makes sense."""
        if not self.sizes or len(self.sizes) != len(self.weights):
            raise ValueError(
                f"{owner}: {len(self.sizes)} target_sizes {self.sizes} and {len(self.weights)} target_weights "
                f"{self.weights}; give one weight for each size"
            )
        if min(self.sizes) < 1:
            raise ValueError(f"{owner}: target_sizes count pixels and must be positive, got {self.sizes}")
        if min(self.weights) < 0 or sum(self.weights) <= 0:
            raise ValueError(f"{owner}: target_weights {self.weights} must not be negative, and one must be positive")

    def draw(self, rng: Randomness) -> int:
        """One of the sizes, for the whole global batch of a step."""
        return self.sizes[rng.shared_choice(list(self.weights))]


def draw_mirrored(count: int, flip: bool, rng: Randomness) -> Bool[Tensor, " batch"]:
    """Which of the items of a batch are mirrored left to right: half of them where `flip`, else none."""
    return rng.integers(2).bool() if flip else torch.zeros(count, dtype=torch.bool)


def mirrored(values: Tensor, which: Bool[Tensor, " batch"]) -> Tensor:
    """A batch whose last axis runs to the right, with the items of `which` turned round."""
    return torch.where(which.reshape(-1, *[1] * (values.ndim - 1)), values.flip(-1), values)


def even_points(shifts: Float[Tensor, "batch axis"], count: int) -> Float[Tensor, "batch count axis"]:
    """Random points that cover a cube evenly: sums over them vary less than over independent ones.

    `(shift + i a) mod 1` for i < `count`, in float64, with `a_k = phi^-k` and `phi^(axes + 1) = phi + 1`: the additive
    recurrence R_d (Roberts 2018, "The unreasonable effectiveness of quasirandom sequences").  With uniform shifts every
    point is uniform in [0, 1)^axes (Cranley and Patterson 1976), so that means over points are unbiased.
    """
    axes, phi = shifts.shape[1], 2.0
    for _ in range(64):
        phi = (1 + phi) ** (1 / (axes + 1))
    steps = phi ** -torch.arange(1, axes + 1, dtype=torch.float64)
    return (shifts[:, None].double() + torch.arange(count)[:, None] * steps) % 1
