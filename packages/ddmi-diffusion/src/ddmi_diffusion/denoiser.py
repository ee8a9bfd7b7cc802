"""What a denoiser must do, and its typed settings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from ddmi_diffusion.conditioning import Conditioning
from ddmi_diffusion.latent_space import Packing, PlaneShape


@runtime_checkable
class Denoiser(Protocol):
    """`denoiser(z, t, cond)`: the prediction at noisy latents and times in [0, 1000).

    One of a mean flow has a module or parameter `span`, and takes spans of time as a fourth argument of this name.
    """

    def __call__(self, z: Tensor, t: Tensor, cond: Conditioning | None = None) -> Tensor: ...


class DenoiserConfig(ABC):
    """The settings of a denoiser: a frozen dataclass that builds it."""

    @abstractmethod
    def build(self, plane_shapes: Sequence[PlaneShape], packing: Packing, condition: int | None = None) -> nn.Module:
        """A `Denoiser` of packed latents.

        Args:
            plane_shapes: (channels, rows, columns) of each latent plane.
            packing: how the latent comes, see `LatentSpace`.
            condition: width of the conditioning tokens for cross-attention, or None.
        """

    def of_mean_flow(self) -> DenoiserConfig:
        """The same network that also takes spans of time.  ValueError where there is none."""
        if "mean_flow" not in {field.name for field in fields(self)}:  # type: ignore[arg-type]
            raise ValueError(f"{type(self).__name__} has no mean flow; choose a U-Net or DiT, or sample in more steps")
        return replace(self, mean_flow=True)  # type: ignore[type-var]
