"""A batch of continuous functions: basis fields and the read-out that turns their embeddings into values."""

from __future__ import annotations

import copy
import itertools
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, SupportsIndex

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ddmi_fields.adaptive_grid import TILE as ADAPTIVE_TILE
from ddmi_fields.adaptive_grid import AdaptiveGrid, read_adaptively, strides_for
from ddmi_fields.basis_field import BasisField
from ddmi_fields.grids import Crop, boxes, cell_centres, check_crop
from ddmi_fields.read_out import ReadOut

Progress = Callable[[Iterable[tuple[slice, ...]]], Iterable[tuple[slice, ...]]]
Condition = Tensor | float | None
Draw = Callable[..., Any]
"""From a batch of functions, and options of how, to a picture that notebooks show, such as one of Pillow."""

TILE, TILE_OF_ACCELERATORS = 4096, 2**18
"""Coordinates read out at once (times batch): memory does not grow with the grid.  The activations of the first stay in
a CPU's cache; those of the second keep a GPU busy, at about 1 KiB a coordinate for each 256 channels of a read-out."""


class ImplicitFunction:
    """`w(c) = read_out(embed(c; Xi), c)` for a batch of basis fields.

    Call it at points, or read a regular grid with `.grid(size)`.  `len(f)` is the batch, `f[i]` one function of it or
    several (again a batch), `f.to(dtype)` the same functions in another precision or on another device.

    Examples:
        >>> from ddmi_fields import CoarseToFineReadOut, PlaneLayout
        >>> basis = BasisField(PlaneLayout.image(), [[torch.randn(2, 8, 16, 16)]])
        >>> function = ImplicitFunction(basis, CoarseToFineReadOut([8], out_channels=3, width=16))
        >>> function(torch.zeros(1, 5, 2)).shape, function.grid((30, 40)).shape
        (torch.Size([2, 5, 3]), torch.Size([2, 3, 30, 40]))
        >>> len(function), len(function[0])
        (2, 1)
    """

    def __init__(
        self, basis: BasisField, read_out: ReadOut, *, tile: int | None = None, draw: Draw | None = None
    ) -> None:
        if tile is not None and tile < 1:
            raise ValueError(f"ImplicitFunction: tile counts the coordinates read out at once, got {tile}")
        self.basis = basis
        self.read_out = read_out
        self.tile = tile
        """Coordinates read out at once (times batch); None: as many as suit the device."""
        self.draw = draw
        """How these functions are shown; None: nobody knows what their values mean."""

    def with_basis(self, basis: BasisField) -> ImplicitFunction:
        """The functions of other basis fields, read out and shown alike."""
        return ImplicitFunction(basis, self.read_out, tile=self.tile, draw=self.draw)

    def show(self, **options: Any) -> Any:
        """A picture of the batch, which a notebook shows; options are those of whoever drew it, such as resolution=512.

        ValueError where nobody knows what the values mean: functions of a trained `DDMI` are pictures, shapes, ...
        """
        if self.draw is None:
            raise ValueError(
                "show: nobody said how these functions are drawn; give ImplicitFunction a `draw`, or read them by "
                "grid(size)"
            )
        return self.draw(self, **options)

    def _repr_png_(self) -> Any:
        """What notebooks show by themselves."""
        return None if self.draw is None else self.show()._repr_png_()

    def __len__(self) -> int:
        return self.basis.batch

    def __getitem__(self, index: SupportsIndex | slice | Sequence[SupportsIndex] | Tensor) -> ImplicitFunction:
        """The function of a whole number (a batch of one), or those of a slice, of several numbers or of a mask.

        Numbers and masks come as Python, NumPy or torch have them.  IndexError outside the batch.
        """
        chosen = index if isinstance(index, slice) else self._chosen(index)
        return self.with_basis(self.basis.map(lambda plane: plane[chosen]))

    def _chosen(self, index: SupportsIndex | Sequence[SupportsIndex] | Tensor) -> slice | Tensor:
        count = len(self)
        given = index.tolist() if hasattr(index, "tolist") else index  # of NumPy and torch
        several = isinstance(given, Sequence)
        items: list[Any] = list(given) if isinstance(given, Sequence) else [given]
        masks = [isinstance(one, bool) for one in items]
        if several and all(masks) and len(masks) == count:
            items = [i for i, kept in enumerate(items) if kept]
        elif any(masks) or not all(isinstance(one, SupportsIndex) for one in items):
            raise IndexError(
                f"functions of a batch of {count}: wanted a whole number, several of them or a mask of {count}, got "
                f"{index!r}"
            )
        numbers = [operator.index(one) for one in items]
        for i in numbers:
            if not -count <= i < count:
                raise IndexError(f"function {i} of a batch of {count}")
        if several:
            return torch.tensor([i % count for i in numbers], dtype=torch.long, device=self.basis.device)
        first = numbers[0] % count
        return slice(first, first + 1)  # a view

    def __iter__(self) -> Iterator[ImplicitFunction]:
        return (self[i] for i in range(len(self)))

    @property
    def native(self) -> int | None:
        """Rows of the grid at which the condition is 1, None when the read-out is not conditioned on scale."""
        return self.read_out.native

    def to(self, *args: Any, **kwargs: Any) -> ImplicitFunction:
        """A copy in another precision or on another device, with the arguments of `torch.nn.Module.to`.

        The read-out's weights are copied, not changed, and no gradient goes back to the planes.  In bfloat16 only the
        read-out computes in bfloat16; planes are interpolated in float32, because their look-up costs little and
        rounding them twice would show.
        """
        read_out = copy.deepcopy(self.read_out).to(*args, **kwargs)
        device, dtype, non_blocking, _ = torch._C._nn._parse_to(*args, **kwargs)
        dtype = torch.float32 if dtype in (torch.bfloat16, torch.float16) else dtype
        basis = self.basis.map(lambda plane: plane.detach().to(device, dtype, non_blocking))
        return ImplicitFunction(basis, read_out, tile=self.tile, draw=self.draw)

    def detach(self) -> ImplicitFunction:
        """The same functions for reading: no gradient goes back to their planes, or to the weights of the read-out.

        Both are shared, not copied.
        """
        shared: dict[int, Any] = {}
        for one in self.read_out.modules():
            pruned = {id(value): value.detach() for value in vars(one).values() if isinstance(value, Tensor)}
            shared |= pruned | {id(hooks): hooks for hooks in (one._forward_hooks, one._forward_pre_hooks)}
        shared |= {id(one): one for one in self.read_out.buffers()}
        shared |= {id(one): nn.Parameter(one.detach(), requires_grad=False) for one in self.read_out.parameters()}
        read_out = copy.deepcopy(self.read_out, shared)
        return ImplicitFunction(self.basis.map(Tensor.detach), read_out, tile=self.tile, draw=self.draw)

    def _tile(self) -> int:
        """Coordinates of each function read out at once."""
        suits = TILE if self.basis.device.type == "cpu" else TILE_OF_ACCELERATORS
        return max(1, (self.tile or suits) // max(1, len(self)))

    def _is_differentiated(self, *inputs: object) -> bool:
        """Whether autograd follows a reading: then in one piece, since it keeps all activations anyway.

        It decides on time and memory only; values and gradients of tiles are the same.
        """
        read = [*inputs, *self.read_out.parameters(), *itertools.chain(*self.basis.fields)]
        return torch.is_grad_enabled() and any(isinstance(one, Tensor) and one.requires_grad for one in read)

    def __call__(
        self,
        coords: Float[Tensor, "#batch query axis"],
        condition: Condition = None,
        *,
        twice_differentiable: bool = False,
    ) -> Float[Tensor, "batch query channel"]:
        """Values at points in field coordinates ([-1, 1] per axis, in the layout's order).

        A coordinate batch of 1 is read at by every function.  `condition` is what the read-out takes: a scale per
        function (batch,) or, here and in `grid`, a vector per query (batch, query, d); None means the read-out's
        default.  Values outside the cube use the border of the planes.  Where nothing that is read requires gradients,
        the points are read in tiles.
        """
        if coords.ndim != 3:
            raise ValueError(f"ImplicitFunction: coordinates must be (batch, query, axis), got {tuple(coords.shape)}")

        differentiated = self._is_differentiated(coords, condition)
        read_out = self._read_out(condition, prepared=not differentiated)

        def read(part: slice) -> Tensor:
            at = coords[:, part]
            given = condition[:, part] if isinstance(condition, Tensor) and condition.ndim == 3 else condition
            embeddings = self.basis.embed(at, twice_differentiable=twice_differentiable)
            return read_out(embeddings, at.expand(len(self), -1, -1), given)

        count, step = coords.shape[1], self._tile()
        if count <= step or differentiated:
            return read(slice(0, count))
        parts = [read(slice(start, start + step)) for start in range(0, count, step)]
        return torch.cat(parts, dim=1)

    def _read_out(self, condition: Condition, *, prepared: bool) -> Callable[[list[Tensor], Tensor, Condition], Tensor]:
        """The read-out, for one condition where every query has the same."""
        if not prepared or (isinstance(condition, Tensor) and condition.ndim == 3):
            return self.read_out
        reading = self.read_out.prepared(condition, len(self))
        return lambda embeddings, coords, _: reading(embeddings, coords)

    def grid(
        self,
        size: Sequence[int],
        crop: Crop | None = None,
        condition: Condition = None,
        *,
        tolerance: float | None = None,
        progress: Progress | None = None,
    ) -> Float[Tensor, "batch channel ..."]:
        """Values at the cell centres of a regular grid, or of a crop of it.

        `size` and the output's dimensions after (batch, channel) are in reverse axis order: (y, x) for an image,
        (z, y, x) for a volume.  `crop` counts cells of the full grid.  Planes are resampled one axis after the other
        and, where nothing that is read requires gradients, read out in tiles, so that memory is that of the result.  A
        scale-conditioned read-out gets native / rows of the full grid, unless `condition` is given.  `progress` wraps
        the tiles (such as `tqdm.tqdm`).

        With a `tolerance`, in units of values, a grid finer than the planes costs far less: see `adaptive_grid`.  None:
        every cell is read, as it is where gradients are followed.
        """
        if tolerance is not None and not self._is_differentiated(condition):
            return self.adaptive_grid(size, tolerance, crop, condition, progress=progress).values
        window, condition = self._window(size, crop, condition)
        shape = [stop - start for start, stop in window]
        dtype = torch.float64 if self.basis.dtype == torch.float64 else torch.float32
        centres = [cell_centres(n, start, stop, device="cpu") for n, (start, stop) in zip(size, window, strict=True)]
        lines = torch.cat(centres).to(self.basis.device, dtype).split(shape)  # sent to the device at once
        sample = self.basis.grid_sampler()
        differentiated = self._is_differentiated(condition)
        read_out = self._read_out(condition, prepared=not differentiated)

        def read(tile: tuple[slice, ...]) -> Tensor:
            local = [line[part] for line, part in zip(lines, tile, strict=True)]
            mesh = torch.meshgrid(*local, indexing="ij")
            coords = torch.stack([axis.reshape(-1) for axis in reversed(mesh)], dim=-1)
            given = condition
            if isinstance(given, Tensor) and given.ndim == 3:
                given = given.unflatten(1, shape)[(slice(None), *tile)].flatten(1, -2)
            values = read_out(sample(local[::-1]), coords.expand(len(self), -1, -1), given)
            return values.transpose(1, 2).unflatten(2, [len(line) for line in local])

        tiles = list(boxes(shape, self._tile()))
        if 0 in shape or differentiated:
            tiles = [tuple(slice(0, count) for count in shape)]
        result: Tensor | None = None
        for tile in progress(tiles) if progress else tiles:
            values = read(tile)
            if result is None:
                result = values if len(tiles) == 1 else values.new_empty(len(self), values.shape[1], *shape)
            if len(tiles) > 1:
                result[(slice(None), slice(None), *tile)] = values
        assert result is not None
        return result

    def _window(
        self, size: Sequence[int], crop: Crop | None, condition: Condition
    ) -> tuple[tuple[tuple[int, int], ...], Condition]:
        """What of a grid is read, and its condition.  ValueError where there is no such grid."""
        axes = self.basis.layout.axes
        if len(size) != len(axes):
            raise ValueError(
                f"grid: {len(size)} sizes {tuple(size)} for the axes {axes!r}; "
                f"give one an axis in the order ({', '.join(reversed(axes))})"
            )
        window = check_crop(size, crop)
        return window, self.native / size[-2] if condition is None and self.native is not None else condition

    @torch.no_grad()
    def adaptive_grid(
        self,
        size: Sequence[int],
        tolerance: float,
        crop: Crop | None = None,
        condition: Condition = None,
        *,
        progress: Progress | None = None,
    ) -> AdaptiveGrid:
        """`grid` to a tolerance: values are off by about so much at most, and it is told how many cells were read.

        Between texels of the finest plane a function is mostly smooth.  A few cells of each are read, the others are
        interpolated from them, and read only where interpolation was seen to fail next to them.  Grids that are not
        much finer than the planes are read as they are.  ValueError for a tolerance that is not positive, and for a
        condition of each query.
        """
        window, condition = self._window(size, crop, condition)
        if not 0 < tolerance < math.inf or (isinstance(condition, Tensor) and condition.ndim == 3):
            raise ValueError(
                f"adaptive_grid: wanted a positive tolerance and a condition that all cells share, got {tolerance} and "
                f"{tuple(condition.shape) if isinstance(condition, Tensor) else condition}; grid() reads all cells"
            )
        shape = [stop - start for start, stop in window]
        strides = strides_for(size, self.basis.cells)
        # cells that are read in any case, with the margin: nearly all of a thin window
        least = math.prod(n if step == 1 else 2 * n // step + 9 for n, step in zip(shape, strides, strict=True))
        if max(strides) == 1 or not len(self) or least >= math.prod(shape):
            values = self.grid(size, crop, condition, progress=progress)
            return AdaptiveGrid(values, len(self) * math.prod(shape))
        tiles = list(boxes(shape, ADAPTIVE_TILE))
        result: Tensor | None = None
        evaluated = 0
        for k, tile in enumerate(progress(tiles * len(self)) if progress else tiles * len(self)):
            item = k // len(tiles)
            scale = condition[item : item + 1] if isinstance(condition, Tensor) and condition.numel() > 1 else condition
            one = self[item]

            def read(cells: Sequence[Tensor], one: ImplicitFunction = one, scale: Condition = scale) -> Tensor:
                return one(self._centres(size, cells), scale).transpose(1, 2)

            part = [(start + box.start, start + box.stop) for box, (start, _) in zip(tile, window, strict=True)]
            made = read_adaptively(read, size, part, strides, tolerance)
            if result is None:
                result = made.values.new_empty(len(self), made.values.shape[1], *shape)
            result[(slice(item, item + 1), slice(None), *tile)] = made.values
            evaluated += made.evaluated
        assert result is not None
        return AdaptiveGrid(result, evaluated)

    def _centres(self, size: Sequence[int], cells: Sequence[Tensor]) -> Float[Tensor, "1 cell axis"]:
        """Coordinates of cells of a grid, as `cell_centres` has them."""
        lines = [(2 * line.double() + 1) / count - 1 for count, line in zip(size, cells, strict=True)]
        dtype = torch.float64 if self.basis.dtype == torch.float64 else torch.float32
        return torch.stack(lines[::-1], dim=-1)[None].float().to(self.basis.device, dtype)
