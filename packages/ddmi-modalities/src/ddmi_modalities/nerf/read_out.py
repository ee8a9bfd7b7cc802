"""The read-out of radiance fields: density from the position, colour from the position and the ray's direction."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ddmi_fields import CoarseToFineReadOut, ImplicitFunction, PlaneLayout, ReadOut, ReadOutConfig
from ddmi_fields.read_out import Fusion

DENSITY_SCALE = 20.0
"""Densities are this many times a softplus: what is opaque within a thin leg has logits of about 10, not of 200."""
DENSITY_SHIFT = -4.0
"""Added to the logits, so that an untrained field is a thin fog: light still reaches every sample."""
DENSITY_LIMIT = 30.0
"""Logits above it are cut: 600 per field unit, opaque within a hundredth of it."""


def fourier_encoding(directions: Float[Tensor, "*shape 3"], octaves: int) -> Float[Tensor, "*shape _"]:
    """The unit vector itself, then sine and cosine of it times 1, 2, 4, ... for each octave (NeRF, eq. 4)."""
    angles = [directions * 2**octave for octave in range(octaves)]
    return torch.cat([directions, *(part for angle in angles for part in (angle.sin(), angle.cos()))], dim=-1)


class RadianceField(ReadOut, ABC):
    """A read-out of (red, green, blue, density) whose condition is the direction of the ray through each point."""

    @abstractmethod
    def density(
        self, embeddings: list[Float[Tensor, "batch query _"]], coords: Float[Tensor, "batch query 3"]
    ) -> Float[Tensor, "batch query 1"]:
        """Density per unit of field coordinates, not negative."""


class NerfReadOut(RadianceField):
    """Density from a coarse-to-fine trunk, colour from its features and the encoded direction of the ray.

    Values are (red, green, blue, density): colour in [0, 1], density per unit of field coordinates, from 0 to 600:
    `20 softplus(min(logit - 4, 30))`.  Like NeRF (Mildenhall et al. 2020), density does not depend on the direction.

    Args:
        channels: width of each scale's embedding, coarse to fine (`BasisField.channels`).
        width: of the hidden layers; the colour's has half of it.
        fusion: how scales join, see `CoarseToFineReadOut`.
        coordinates: axes of the coordinate when it is itself an input, else 0.
        octaves: of the encoding of directions.
    """

    def __init__(
        self,
        channels: Sequence[int],
        *,
        width: int = 256,
        fusion: Fusion = "concat",
        coordinates: int = 3,
        octaves: int = 4,
    ) -> None:
        super().__init__()
        if octaves < 0 or width < 2:
            raise ValueError(f"NerfReadOut: octaves {octaves} count from 0, width {width} from 2")
        self.trunk = CoarseToFineReadOut(channels, 1 + width, width=width, fusion=fusion, coordinates=coordinates)
        self.octaves = octaves
        self.view = nn.Linear(width + 3 + 6 * octaves, width // 2)
        self.out: nn.Module = nn.Linear(width // 2, 3)

    def density(
        self, embeddings: list[Float[Tensor, "batch query _"]], coords: Float[Tensor, "batch query 3"]
    ) -> Float[Tensor, "batch query 1"]:
        return _density(self.trunk(embeddings, coords)[..., :1])

    def forward(
        self,
        embeddings: list[Float[Tensor, "batch query _"]],
        coords: Float[Tensor, "batch query 3"],
        condition: Tensor | float | None = None,
    ) -> Float[Tensor, "batch query 4"]:
        """`condition` is the unit direction of the ray through each point, (batch, query, 3)."""
        if not isinstance(condition, Tensor) or condition.shape[-1:] != (3,) or condition.ndim != 3:
            got = tuple(condition.shape) if isinstance(condition, Tensor) else condition
            raise ValueError(
                f"NerfReadOut: wanted directions (batch, query, 3) as the condition, got {got}; colours depend on "
                "where they are seen from, `density_of(function)` does not"
            )
        features = self.trunk(embeddings, coords)
        directions = fourier_encoding(condition.to(features.dtype), self.octaves)
        directions = directions.expand(*features.shape[:2], -1)
        hidden = F.relu(self.view(torch.cat((F.relu(features[..., 1:]), directions), dim=-1)))
        return torch.cat((torch.sigmoid(self.out(hidden).float()), _density(features[..., :1])), dim=-1)


@dataclass(frozen=True, kw_only=True)
class NerfReadOutConfig(ReadOutConfig):
    """The MLP that reads density and colour out of basis fields."""

    width: int = 256
    """Of the hidden layers."""
    fusion: Fusion = "concat"
    """How a scale joins the hidden state."""
    coordinates: bool = True
    """The coordinate itself is an input."""
    octaves: int = 4
    """Of the encoding of a ray's direction."""

    def build(self, layout: PlaneLayout, channels: Sequence[int]) -> NerfReadOut:
        coordinates = len(layout.axes) if self.coordinates else 0
        return NerfReadOut(
            channels, width=self.width, fusion=self.fusion, coordinates=coordinates, octaves=self.octaves
        )


def _density(logits: Tensor) -> Tensor:
    # float32 also under autocast: optical depths are sums of hundreds of them
    return DENSITY_SCALE * F.softplus((logits.float() + DENSITY_SHIFT).clamp(max=DENSITY_LIMIT))


class DensityReadOut(ReadOut):
    """The density alone of a radiance field, in the form of a read-out of one channel."""

    def __init__(self, radiance: RadianceField) -> None:
        super().__init__()
        self.radiance = radiance
        self.out = radiance.out

    def forward(
        self,
        embeddings: list[Float[Tensor, "batch query _"]],
        coords: Float[Tensor, "batch query 3"],
        condition: Tensor | float | None = None,
    ) -> Float[Tensor, "batch query 1"]:
        return self.radiance.density(embeddings, coords)


def density_of(function: ImplicitFunction) -> ImplicitFunction:
    """The same functions without colour: density per unit of field coordinates, at points and on grids."""
    read_out = function.read_out
    if not isinstance(read_out, RadianceField):
        raise ValueError(f"density_of: wanted functions of a RadianceField, got those of a {type(read_out).__name__}")
    return ImplicitFunction(function.basis, DensityReadOut(read_out), tile=function.tile)
