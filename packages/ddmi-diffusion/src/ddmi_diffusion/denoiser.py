"""What a denoiser must do, and its typed settings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from ddmi_diffusion.conditioning import Conditioning
from ddmi_diffusion.latent_space import Packing, PlaneShape


@runtime_checkable
class Denoiser(Protocol):
    """`denoiser(z, t, cond)`: the prediction at noisy latents and times in [0, 1000)."""

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
