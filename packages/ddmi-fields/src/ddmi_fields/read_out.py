"""Read-outs: the MLPs that turn positional embeddings into values, coarse to fine (CFC)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ddmi_fields.blocks import ModulatedLinear, ResidualBlock, StyledBlock, read_joined, sinusoidal_embedding
from ddmi_fields.layout import PlaneLayout

Fusion = Literal["concat", "sum"]
Reading = Callable[[list[Tensor], Tensor], Tensor]
"""From embeddings, coarse to fine, and coordinates to values."""


class ReadOut(nn.Module, ABC):
    """`forward(embeddings, coords, condition=None)`: values at points from their embeddings, coarse to fine."""

    native: int | None = None
    """For read-outs conditioned on scale: rows of the grid at which the condition is 1."""
    out: nn.Module
    """The layer that makes values of the last hidden state."""
    style: nn.Module | None
    """Of read-outs conditioned on scale, else None: from the embedded scale to the style of every layer."""
    width: int

    @property
    def last_layer(self) -> Tensor:
        """The weight of `out`, where adversarial and likelihood gradients are balanced."""
        weight = self.out.weight
        assert isinstance(weight, Tensor)
        return weight

    @abstractmethod
    def forward(
        self,
        embeddings: list[Float[Tensor, "batch query _"]],
        coords: Float[Tensor, "batch query axis"],
        condition: Tensor | float | None = None,
    ) -> Float[Tensor, "batch query channel"]: ...

    def prepared(self, condition: Tensor | float | None, batch: int) -> Reading:
        """`forward` of `batch` functions under one condition, for many calls through which no gradient goes.

        Read-outs may do once here what depends on the condition alone.
        """
        return lambda embeddings, coords: self(embeddings, coords, condition)

    def _must_be_called(self, known: type[ReadOut]) -> bool:
        """Whether `forward` does more than that of the `known` class: in a subclass, or by hooks, as of pruning."""
        hooked = any(one._forward_pre_hooks or one._forward_hooks for one in self.modules())
        return hooked or type(self).forward is not known.forward

    def _style(self, batch: int, condition: Tensor | float | None) -> Tensor | None:
        """The style of a scale: one row, or one a function of the batch."""
        name = type(self).__name__
        if self.style is None:
            if condition is not None:
                raise ValueError(f"{name}: got a condition, but was built without one; native=ROWS conditions on scale")
            return None
        condition = 1.0 if condition is None else condition
        device = self.last_layer.device
        if isinstance(condition, float | int):  # filled on the device: nothing is sent there
            scale = torch.full((1,), condition, dtype=torch.float32, device=device)
        else:
            scale = torch.as_tensor(condition, dtype=torch.float32, device=device)
        if scale.ndim > 1 or scale.numel() not in (1, batch):
            raise ValueError(f"{name}: the scale must be one number or ({batch},), got {tuple(scale.shape)}")
        embedded = sinusoidal_embedding(scale.reshape(-1), self.width // 4)
        return self.style(embedded.to(self.last_layer.dtype))


class ReadOutConfig(ABC):
    """The settings of a read-out: a frozen dataclass that builds it."""

    @abstractmethod
    def build(self, layout: PlaneLayout, channels: Sequence[int]) -> ReadOut:
        """A read-out of embeddings of these widths, coarse to fine (`BasisField.channels`)."""


def _style_network(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width // 4, width), nn.GELU(), nn.Linear(width, width))


def _block(inputs: int, width: int, native: int | None, layers: int) -> nn.Module:
    if native is None:
        return ResidualBlock(inputs, width)
    return StyledBlock(inputs, width, style=width, layers=layers)


def _last(width: int, out_channels: int, native: int | None) -> nn.Module:
    if native is None:
        return nn.Linear(width, out_channels)
    return ModulatedLinear(width, out_channels, style=width, demodulate=False)


def _styled(block: nn.Module) -> StyledBlock:
    assert isinstance(block, StyledBlock)
    return block


def _modulated(layer: nn.Module) -> ModulatedLinear:
    assert isinstance(layer, ModulatedLinear)
    return layer


def _check_built(name: str, channels: Sequence[int], width: int, native: int | None) -> None:
    if not channels or min(channels) < 1:
        raise ValueError(f"{name}: channels must name at least one positive width, got {channels}")
    if native is not None and native < 1:
        raise ValueError(f"{name}: native counts rows of a grid, got {native}")
    if width < (1 if native is None else 4):
        raise ValueError(
            f"{name}: width counts hidden channels, at least 1, or 4 with native, a quarter of which say the scale; "
            f"got {width}"
        )


def _check_embeddings(name: str, embeddings: Sequence[Tensor], channels: Sequence[int]) -> None:
    widths = [p.shape[-1] for p in embeddings]
    if widths != list(channels):
        raise ValueError(
            f"{name}: made for embeddings of {list(channels)} channels (coarse to fine), got {widths}; "
            "build it with channels=basis.channels"
        )


class CoarseToFineReadOut(ReadOut):
    """`h_1 = block_1(p^1)`, `h_i = block_i([h_{i-1}, p^i])`, one more block after the last scale, value = `out(h)`.

    DDMI section 3.2 (CFC).  With one scale it is the ablation PE.

    Args:
        channels: width of each scale's embedding, coarse to fine (`BasisField.channels`).
        out_channels: channels of a value.
        width: channels of h.
        fusion: how p^i joins h_{i-1}: concatenation, or an element-wise sum after a linear map.
        coordinates: axes of the coordinate when it is itself an input (added after block 1), else 0.
        native: conditions every layer on the scale s = native / rows of the grid that is read (weights modulated as in
            StyleGAN2), so that a function knows the footprint of a cell; None builds plain residual blocks.
        layers: linear layers of a block (2 in plain blocks).

    Examples:
        >>> read_out = CoarseToFineReadOut([8, 16], out_channels=3, width=32)
        >>> coords = torch.zeros(2, 5, 2)
        >>> read_out([torch.randn(2, 5, 8), torch.randn(2, 5, 16)], coords).shape
        torch.Size([2, 5, 3])
    """

    def __init__(
        self,
        channels: Sequence[int],
        out_channels: int,
        *,
        width: int = 256,
        fusion: Fusion = "concat",
        coordinates: int = 0,
        native: int | None = None,
        layers: int = 3,
    ) -> None:
        super().__init__()
        _check_built("CoarseToFineReadOut", channels, width, native)
        if fusion not in ("concat", "sum"):
            raise ValueError(f"CoarseToFineReadOut: fusion must be 'concat' or 'sum', got {fusion!r}")
        self.channels = tuple(channels)
        self.native = native
        self.width = width
        self.fusion: Fusion = fusion
        inputs = [channels[0], *(width + c if fusion == "concat" else width for c in channels[1:]), width]
        self.blocks = nn.ModuleList(_block(n, width, native, layers) for n in inputs)
        self.lift = nn.ModuleList(nn.Linear(c, width) for c in channels[1:] if fusion == "sum")
        self.coordinates = nn.Linear(coordinates, width) if coordinates else None
        self.style = _style_network(width) if native else None
        self.out: nn.Module = _last(width, out_channels, native)

    def forward(
        self,
        embeddings: list[Float[Tensor, "batch query _"]],
        coords: Float[Tensor, "batch query axis"],
        condition: Tensor | float | None = None,
    ) -> Float[Tensor, "batch query channel"]:
        _check_embeddings("CoarseToFineReadOut", embeddings, self.channels)
        style = self._style(len(embeddings[0]), condition)
        dtype = self.last_layer.dtype
        h = self.blocks[0](embeddings[0].to(dtype), style)
        if self.coordinates is not None:
            h = h + self.coordinates(coords.to(dtype))
        for i, p in enumerate(embeddings[1:]):
            p = p.to(h.dtype)  # under autocast half precision, or concatenation would bring h back to float32
            h = torch.cat((h, p), dim=-1) if self.fusion == "concat" else h + self.lift[i](p)
            h = self.blocks[i + 1](h, style)
        h = self.blocks[-1](h, style)
        return self.out(h) if style is None else self.out(h, style)

    def prepared(self, condition: Tensor | float | None, batch: int) -> Reading:
        style = self._style(batch, condition)
        if style is None or self._must_be_called(CoarseToFineReadOut):
            return super().prepared(condition, batch)
        first, *others, last = [_styled(block).prepared(style) for block in self.blocks]
        out = _modulated(self.out).prepared(style)

        def read(embeddings: list[Tensor], coords: Tensor) -> Tensor:
            _check_embeddings("CoarseToFineReadOut", embeddings, self.channels)
            coarse, *finer = [p.to(self.last_layer.dtype) for p in embeddings]
            h = first([coarse])
            if self.coordinates is not None:
                h += self.coordinates(coords.to(h.dtype))
            for i, (p, block) in enumerate(zip(finer, others, strict=True)):
                h = block([h, p] if self.fusion == "concat" else [h.add_(self.lift[i](p))])
            return read_joined([last([h])], *out)

        return read


@dataclass(frozen=True, kw_only=True)
class CoarseToFineReadOutConfig(ReadOutConfig):
    """The MLP that reads values out of basis fields, scale after scale (CFC).

    Examples:
        >>> from ddmi_fields import PlaneLayout
        >>> CoarseToFineReadOutConfig(out_channels=1, width=32).build(PlaneLayout.triplane(), [8, 8]).channels
        (8, 8)
    """

    out_channels: int = 3
    """Channels of a value."""
    width: int = 256
    """Of the hidden layers."""
    fusion: Fusion = "concat"
    """How a scale joins the hidden state."""
    coordinates: bool = False
    """The coordinate itself is an input."""
    native: int | None = None
    """Rows of the grid at which the scale condition is 1; None: no condition."""
    layers: int = 3
    """Modulated layers a block (scale-conditioned read-outs)."""

    def build(self, layout: PlaneLayout, channels: Sequence[int]) -> CoarseToFineReadOut:
        return CoarseToFineReadOut(
            channels, self.out_channels, width=self.width, fusion=self.fusion,
            coordinates=len(layout.axes) if self.coordinates else 0, native=self.native, layers=self.layers,
        )  # fmt: skip


class ConcatReadOut(ReadOut):
    """All scales concatenated at the input of a residual MLP: the ablation PE+HDBF without CFC (Table 8).

    `channels`, `out_channels`, `width`, `native` and `layers` are those of `CoarseToFineReadOut`; `coordinates` is the
    axes of the coordinate when it is itself an input, else 0, and `blocks` counts residual blocks.

    Examples:
        >>> read_out = ConcatReadOut([8, 16], out_channels=3, width=32, blocks=2)
        >>> read_out([torch.randn(2, 5, 8), torch.randn(2, 5, 16)], torch.zeros(2, 5, 2)).shape
        torch.Size([2, 5, 3])
    """

    def __init__(
        self,
        channels: Sequence[int],
        out_channels: int,
        *,
        width: int = 256,
        blocks: int = 4,
        coordinates: int = 0,
        native: int | None = None,
        layers: int = 3,
    ) -> None:
        super().__init__()
        _check_built("ConcatReadOut", channels, width, native)
        if blocks < 1:
            raise ValueError(f"ConcatReadOut: at least one block, got {blocks}")
        self.channels = tuple(channels)
        self.native = native
        self.width = width
        self.coordinates = coordinates
        inputs = [sum(channels) + coordinates, *[width] * (blocks - 1)]
        self.blocks = nn.ModuleList(_block(n, width, native, layers) for n in inputs)
        self.style = _style_network(width) if native else None
        self.out = _last(width, out_channels, native)

    def forward(
        self,
        embeddings: list[Float[Tensor, "batch query _"]],
        coords: Float[Tensor, "batch query axis"],
        condition: Tensor | float | None = None,
    ) -> Float[Tensor, "batch query channel"]:
        _check_embeddings("ConcatReadOut", embeddings, self.channels)
        style = self._style(len(embeddings[0]), condition)
        inputs = [*embeddings, coords] if self.coordinates else embeddings
        h = torch.cat([one.to(self.last_layer.dtype) for one in inputs], dim=-1)
        for block in self.blocks:
            h = block(h, style)
        return self.out(h) if style is None else self.out(h, style)

    def prepared(self, condition: Tensor | float | None, batch: int) -> Reading:
        style = self._style(batch, condition)
        if style is None or self._must_be_called(ConcatReadOut):
            return super().prepared(condition, batch)
        blocks = [_styled(block).prepared(style) for block in self.blocks]
        out = _modulated(self.out).prepared(style)

        def read(embeddings: list[Tensor], coords: Tensor) -> Tensor:
            _check_embeddings("ConcatReadOut", embeddings, self.channels)
            parts = [p.to(self.last_layer.dtype) for p in ([*embeddings, coords] if self.coordinates else embeddings)]
            for block in blocks:
                parts = [block(parts)]
            return read_joined(parts, *out)

        return read


@dataclass(frozen=True, kw_only=True)
class ConcatReadOutConfig(ReadOutConfig):
    """The MLP that reads values out of all scales at once (the ablation PE+HDBF).

    Examples:
        >>> from ddmi_fields import PlaneLayout
        >>> ConcatReadOutConfig(width=32, blocks=2).build(PlaneLayout.image(), [8, 8]).channels
        (8, 8)
    """

    out_channels: int = 3
    """Channels of a value."""
    width: int = 256
    """Of the hidden layers."""
    blocks: int = 4
    """Residual blocks."""
    coordinates: bool = False
    """The coordinate itself is an input."""
    native: int | None = None
    """Rows of the grid at which the scale condition is 1; None: no condition."""
    layers: int = 3
    """Modulated layers a block (scale-conditioned read-outs)."""

    def build(self, layout: PlaneLayout, channels: Sequence[int]) -> ConcatReadOut:
        return ConcatReadOut(
            channels, self.out_channels, width=self.width, blocks=self.blocks,
            coordinates=len(layout.axes) if self.coordinates else 0, native=self.native, layers=self.layers,
        )  # fmt: skip
