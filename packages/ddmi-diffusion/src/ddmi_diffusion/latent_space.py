"""The boundary between a model's latent planes and the one tensor that diffusion sees."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

Planes = tuple[Tensor, ...]
Packing = Literal["grid", "row"]
PlaneShape = tuple[int, int, int]


@dataclass(frozen=True)
class LatentSpace:
    """Whitens latent planes and lays them out as one tensor; `unpack` undoes both.

    "grid": one plane, or equal planes stacked on channels: (batch, P C, rows, columns).
    "row": planes side by side: (batch, C, sum of rows x columns), plane after plane, row by row.

    Args:
        plane_shapes: (channels, rows, columns) of each plane, in layout order.
        mean: statistics per plane and channel, one vector (channels,) a plane.
        std: likewise.
        packing: "grid" or "row".

    Examples:
        >>> planes = (5 + 3 * torch.randn(100, 4, 8, 8), torch.randn(100, 4, 8, 8))
        >>> space = LatentSpace.fit(planes)
        >>> packed = space.pack(planes)
        >>> packed.shape, round(packed.std().item(), 1)
        (torch.Size([100, 8, 8, 8]), 1.0)
        >>> torch.allclose(space.unpack(packed)[0], planes[0], atol=1e-4)
        True
    """

    plane_shapes: tuple[PlaneShape, ...]
    mean: tuple[Float[Tensor, " channel"], ...]
    std: tuple[Float[Tensor, " channel"], ...]
    packing: Packing = "grid"
    _sent: dict[tuple[torch.device, torch.dtype], list[tuple[Tensor, Tensor]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "plane_shapes", tuple((int(c), int(h), int(w)) for c, h, w in self.plane_shapes))
        if not self.plane_shapes:
            raise ValueError("LatentSpace: no planes")
        if self.packing not in ("grid", "row"):
            raise ValueError(f"LatentSpace: packing must be 'grid' or 'row', got {self.packing!r}")
        if self.packing == "grid" and len(set(self.plane_shapes)) > 1:
            raise ValueError(
                f"LatentSpace: packing 'grid' stacks equal planes, got {list(self.plane_shapes)}; use packing='row'"
            )
        if len({channels for channels, _, _ in self.plane_shapes}) > 1:
            raise ValueError(f"LatentSpace: planes must have the same channels, got {list(self.plane_shapes)}")
        for name, vectors in (("mean", self.mean), ("std", self.std)):
            shapes = [tuple(v.shape) for v in vectors]
            if shapes != [(channels,) for channels, _, _ in self.plane_shapes]:
                raise ValueError(
                    f"LatentSpace: {name} needs one vector of {self.plane_shapes[0][0]} a plane, got {shapes}"
                )
        for plane, mean in enumerate(self.mean):
            if not bool(torch.isfinite(mean).all()):
                raise ValueError(
                    f"LatentSpace: mean of plane {plane} must be finite, got {mean}; fit it to finite latents"
                )
        for plane, std in enumerate(self.std):
            if not bool(torch.isfinite(std).all()) or not bool((std > 0).all()):
                raise ValueError(
                    f"LatentSpace: std of plane {plane} must be positive and finite (a collapsed channel has 0): {std}"
                )

    @classmethod
    def identity(cls, plane_shapes: Sequence[PlaneShape], packing: Packing = "grid") -> LatentSpace:
        """No whitening: for imported models, whose denoisers saw latents as they are."""
        shapes = tuple(plane_shapes)
        return cls(shapes, tuple(torch.zeros(s[0]) for s in shapes), tuple(torch.ones(s[0]) for s in shapes), packing)

    @classmethod
    def fit(
        cls,
        moments: Float[Tensor, "item channel rows columns"] | Planes | Iterable[tuple[Planes, Planes]],
        packing: Packing = "grid",
    ) -> LatentSpace:
        """Mean and standard deviation of z per plane and channel.

        Var z = Var(posterior mean) + E(posterior variance).  ValueError names the first item that is not finite.

        Args:
            moments: latents of one plane, or a tuple of planes; or batches of posterior (mean, std) planes.
            packing: "grid" or "row".

        Examples:
            >>> LatentSpace.fit(torch.randn(100, 4, 8, 8)).shape
            (4, 8, 8)
        """
        if isinstance(moments, Tensor):
            moments = (moments,)
        if isinstance(moments, tuple) and all(isinstance(plane, Tensor) for plane in moments):
            planes: Any = moments
            moments = [(planes, tuple(torch.zeros_like(plane) for plane in planes))]
        count, shapes = 0, None
        first: list[Tensor] = []
        second: list[Tensor] = []
        for means, stds in moments:
            if shapes is None:
                shapes = tuple((m.shape[1], m.shape[2], m.shape[3]) for m in means)
                first = [torch.zeros(s[0], dtype=torch.float64) for s in shapes]
                second = [torch.zeros(s[0], dtype=torch.float64) for s in shapes]
            for p, (mean, std) in enumerate(zip(means, stds, strict=True)):
                mean, std = mean.cpu().double(), std.cpu().double()  # not every device has float64
                bad = (~(mean + std).isfinite().flatten(1).all(1)).nonzero().flatten().tolist()
                if bad:
                    raise ValueError(
                        f"LatentSpace.fit: the moments of item {count + bad[0]}, plane {p}, are NaN or infinite; look "
                        "at that item, or at the autoencoder's weights and precision"
                    )
                first[p] += mean.mean((2, 3)).sum(0)
                second[p] += (mean.square() + std.square()).mean((2, 3)).sum(0)
            count += means[0].shape[0]
        if shapes is None:
            raise ValueError("LatentSpace.fit: no moments given; the data set is empty")
        centre = [f / count for f in first]
        spread = [(s / count - c.square()).clamp_min(1e-12).sqrt() for s, c in zip(second, centre, strict=True)]
        return cls(shapes, tuple(c.float() for c in centre), tuple(s.float() for s in spread), packing)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one packed latent, without the batch."""
        channels, rows, columns = self.plane_shapes[0]
        if self.packing == "grid":
            return (len(self.plane_shapes) * channels, rows, columns)
        return (channels, sum(h * w for _, h, w in self.plane_shapes))

    def pack(self, planes: Planes) -> Float[Tensor, "batch *packed"]:
        """Whitened: mean 0, std 1 per plane and channel over the data."""
        shapes = [tuple(plane.shape[1:]) for plane in planes]
        if shapes != list(self.plane_shapes):
            raise ValueError(f"pack: wanted planes of {list(self.plane_shapes)}, got {shapes}")
        white = [(plane - mean) / std for plane, (mean, std) in zip(planes, self._statistics(planes[0]), strict=True)]
        return torch.cat(white, dim=1) if self.packing == "grid" else torch.cat([p.flatten(2) for p in white], dim=2)

    def unpack(self, packed: Float[Tensor, "batch *packed"]) -> Planes:
        """The inverse of `pack`."""
        white = split_planes(packed, self.plane_shapes, self.packing)
        return tuple(plane * std + mean for plane, (mean, std) in zip(white, self._statistics(packed), strict=True))

    def _statistics(self, like: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Mean and std of each plane, (channels, 1, 1), where `like` is and as precise; sent to a device once."""
        key = (like.device, like.dtype)
        if key not in self._sent:
            with torch.inference_mode(False), torch.no_grad():  # others may differentiate by them
                self._sent[key] = [
                    (mean.to(like.device, like.dtype)[:, None, None], std.to(like.device, like.dtype)[:, None, None])
                    for mean, std in zip(self.mean, self.std, strict=True)
                ]
        return self._sent[key]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_sent": {}}

    def tensors(self) -> dict[str, Tensor]:
        """The statistics, for a safetensors file."""
        pairs = (("mean", self.mean), ("std", self.std))
        return {f"{name}.{p}": vector.contiguous() for name, vectors in pairs for p, vector in enumerate(vectors)}

    @classmethod
    def from_tensors(
        cls, tensors: dict[str, Tensor], plane_shapes: Sequence[PlaneShape], packing: Packing
    ) -> LatentSpace:
        missing = [f"{n}.{p}" for n in ("mean", "std") for p in range(len(plane_shapes)) if f"{n}.{p}" not in tensors]
        if missing:
            raise ValueError(f"LatentSpace: the statistics lack {missing}; have {sorted(tensors)}")
        mean, std = (tuple(tensors[f"{n}.{p}"] for p in range(len(plane_shapes))) for n in ("mean", "std"))
        return cls(tuple(plane_shapes), mean, std, packing)


def split_planes(packed: Tensor, plane_shapes: Sequence[PlaneShape], packing: Packing) -> list[Tensor]:
    """A packed tensor as planes (batch, channel, rows, columns).

    Examples:
        >>> packed = torch.zeros(1, 4, 8 * 8 + 4 * 8)  # side by side: 8 x 8 cells, and 4 x 8
        >>> first, second = split_planes(packed, [(4, 8, 8), (4, 4, 8)], "row")
        >>> first.shape, second.shape
        (torch.Size([1, 4, 8, 8]), torch.Size([1, 4, 4, 8]))
    """
    if packing == "grid":
        return list(packed.chunk(len(plane_shapes), dim=1))
    rows = packed.split([h * w for _, h, w in plane_shapes], dim=2)
    return [row.unflatten(2, shape[1:]) for row, shape in zip(rows, plane_shapes, strict=True)]
