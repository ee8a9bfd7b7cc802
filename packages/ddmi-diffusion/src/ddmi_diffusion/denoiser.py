"""What a denoiser must do, and its typed settings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn

from ddmi_diffusion.conditioning import Conditioning
from ddmi_diffusion.latent_space import Packing, PlaneShape
from ddmi_diffusion.pretrained import Pretrained, describe_settings, described_settings

Built = TypeVar("Built", bound="PlaneDenoiser")


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


class PlaneDenoiser(Pretrained):
    """A denoiser that its settings build, and folders can hold.

    Args:
        plane_shapes, packing, condition: as of `DenoiserConfig.build`.
        config: its settings.
    """

    def __init__(
        self,
        plane_shapes: Sequence[PlaneShape],
        packing: Packing,
        config: DenoiserConfig,
        condition: int | None = None,
    ) -> None:
        super().__init__()
        self.plane_shapes = tuple((int(c), int(h), int(w)) for c, h, w in plane_shapes)
        self.packing: Packing = packing
        self.config = config
        self.condition = condition

    def described(self) -> dict[str, Any]:
        with torch.device("meta"):
            built = self.config.build(self.plane_shapes, self.packing, self.condition)
        if type(built) is not type(self):
            name = type(self).__name__
            raise ValueError(
                f"{name}: its settings build a {type(built).__name__}, so what is saved could not be loaded; give it "
                "settings of its own, or save its state_dict"
            )
        return {
            "plane_shapes": [list(shape) for shape in self.plane_shapes],
            "packing": self.packing,
            "condition": self.condition,
            "config": describe_settings(self.config),
        }

    @classmethod
    def build_described(cls: type[Built], description: dict[str, Any]) -> Built:
        config = described_settings(description["config"], DenoiserConfig)  # type: ignore[type-abstract]
        built = config.build(description["plane_shapes"], description["packing"], description["condition"])
        if not isinstance(built, cls):
            raise ValueError(f"its settings build a {type(built).__name__}, not a {cls.__name__}")
        return built
