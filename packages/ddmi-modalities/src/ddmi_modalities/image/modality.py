"""The image modality: one function is read out at every size, and trained at several."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ddmi_fields import ImplicitFunction, PlaneLayout, grid_coordinates
from ddmi_modalities.area_grid import area_grid
from ddmi_modalities.datasets.splits import Split
from ddmi_modalities.files.pixels import centre_square, open_picture, resize_square, to_bytes, to_float, to_tensor
from ddmi_modalities.grid_query import GridQuery, GridTargets, draw_mirrored, mirrored
from ddmi_modalities.image.data.sources import open_images
from ddmi_modalities.image.items import ImageItem
from ddmi_modalities.image.view import ImageRendering, ImageRenderOptions
from ddmi_modalities.modality import Batch, DataSet, Modality
from ddmi_modalities.progress import progress
from ddmi_vae import LIKELIHOODS, Distance, Randomness


@dataclass(frozen=True, kw_only=True)
class ImageModality(Modality[ImageItem, GridQuery, ImageRenderOptions, ImageRendering]):
    """Configuration and behaviour of images."""

    source: str = "openmoji"
    """'openmoji', or the path of a folder of images (files, tar shards, or tables), or of the files of CIFAR-10 or
    MNIST."""
    classes: tuple[str, ...] = ()
    """Sub-folders to take, of a folder or of its train and test folders, such as AFHQ's 'cat'; empty: all."""
    labels: tuple[str, ...] = ()
    """What numbered classes are called, as MNIST's files have them: captions.  Empty: numbers."""
    held_out: int = 0
    """Where neither folders nor lists split a folder: its last so many pictures; 0: every tenth, by name."""
    size: int = 64
    """Pixels a side of what the encoder sees; the read-out's native size, at which its condition is 1."""
    target_sizes: tuple[int, ...] = (64,)
    """Sizes at which the function is compared with the truth; a step takes one of them for its whole batch."""
    target_weights: tuple[float, ...] = (1.0,)
    """Relative frequency of each target size."""
    num_queries: int = 0
    """Compare this many pixels drawn over the whole image instead of a window: they teach much more a step."""
    crop: int = 64
    """Pixels a side of the window that is compared; the whole image where the target is not larger."""
    likelihood: Distance = "laplace"
    """Laplace is the L1 distance, Gaussian the squared one."""
    flip: bool = False
    """Mirror half of the training images left to right.  Not for drawings: arrows and letters have a side."""
    cache: Path | None = None
    """Folder for rasters and checked file lists; default $XDG_CACHE_HOME/ddmi or ~/.cache/ddmi."""

    def __post_init__(self) -> None:
        if min(self.size, self.crop) < 1:
            raise ValueError(
                f"ImageModality: size and crop count pixels and must be positive, got {self.size} and {self.crop}"
            )
        if self.held_out < 0:
            raise ValueError(f"ImageModality: held_out counts pictures, got {self.held_out}; 0 holds out by name")
        if self.num_queries < 0:
            raise ValueError(
                f"ImageModality: num_queries must not be negative, got {self.num_queries}; 0 compares windows"
            )
        self.targets.check("ImageModality")

    @property
    def targets(self) -> GridTargets:
        return GridTargets(self.target_sizes, self.target_weights)

    @property
    def layout(self) -> PlaneLayout:
        return PlaneLayout.image()

    @property
    def attribution(self) -> str | None:
        from ddmi_modalities.drawings.openmoji import ATTRIBUTION

        return ATTRIBUTION if self.source == "openmoji" else super().attribution

    @property
    def RenderOptions(self) -> type[ImageRenderOptions]:
        return ImageRenderOptions

    def dataset(self, split: Split) -> DataSet[ImageItem]:
        """The split of `source`; ValueError where there is none."""
        return open_images(
            self.source, split, classes=self.classes, labels=self.labels, held_out=self.held_out, cache=self.cache,
            sizes=(self.size, *self.target_sizes), whole=self.num_queries > 0,
        )  # fmt: skip

    def captions(self, item: ImageItem) -> tuple[str, ...]:
        return () if item.caption is None else (item.caption,)

    def inputs(self, items: Sequence[ImageItem]) -> tuple[Float[Tensor, "batch 3 size size"]]:
        """The whole images at `size`, in [-1, 1]."""
        return (to_float(torch.stack([item.pixels(self.size) for item in items])),)

    def collate(self, items: Sequence[ImageItem], rng: Randomness) -> Batch[GridQuery]:
        """Whole images for the encoder; random pixels, or a window, at one random target size to compare with."""
        size = self.targets.draw(rng)
        flipped = draw_mirrored(len(items), self.flip, rng)
        draw = self._random_pixels if self.num_queries else self._random_windows
        query, target = draw(items, size, flipped, rng)
        (images,) = self.inputs(items)
        return Batch(inputs=(mirrored(images, flipped),), query=query, target=to_float(target))

    def _random_pixels(
        self, items: Sequence[ImageItem], size: int, flipped: Tensor, rng: Randomness
    ) -> tuple[GridQuery, UInt8[Tensor, "batch query 3"]]:
        chosen = rng.integers(size * size, self.num_queries)
        coords = grid_coordinates((size, size))[0][chosen]
        # the mirrored image's pixel is the image's pixel on the other side
        columns = torch.where(flipped[:, None], size - 1 - chosen % size, chosen % size)
        source = chosen - chosen % size + columns
        target = torch.stack([i.pixels(size).flatten(1)[:, at].T for i, at in zip(items, source, strict=True)])
        return GridQuery(coords, torch.full((len(items),), self.size / size)), target

    def _random_windows(
        self, items: Sequence[ImageItem], size: int, flipped: Tensor, rng: Randomness
    ) -> tuple[GridQuery, UInt8[Tensor, "batch query 3"]]:
        side = min(self.crop, size)
        corners = rng.integers(size - side + 1, 2).tolist()
        targets, coords = [], []
        for item, (top, left), mirror in zip(items, corners, flipped.tolist(), strict=True):
            # the window of the mirrored image is the mirrored window on the other side
            target = item.window(size, top, size - left - side if mirror else left, side)
            targets.append((target.flip(-1) if mirror else target).flatten(1).T)
            coords.append(grid_coordinates((size, size), ((top, top + side), (left, left + side))))
        query = GridQuery(torch.cat(coords), torch.full((len(items),), self.size / size), (side, side))
        return query, torch.stack(targets)

    def predict(self, function: ImplicitFunction, query: GridQuery) -> Float[Tensor, "batch query 3"]:
        """The functions at the query's pixel centres."""
        return query.read(function)

    def nll(
        self, prediction: Float[Tensor, "batch query 3"], target: Float[Tensor, "batch query 3"]
    ) -> Float[Tensor, " batch"]:
        return LIKELIHOODS[self.likelihood](prediction, target)

    def memory(self, options: ImageRenderOptions, count: int) -> int:
        """Floats and bytes of the pictures, or of their crops."""
        (top, bottom), (left, right) = options.crop or [(0, side) for side in options.size]
        return 3 * (4 + 1) * count * (bottom - top) * (right - left)

    @torch.no_grad()
    def render(self, function: ImplicitFunction, options: ImageRenderOptions) -> ImageRendering:
        self.check_memory(options, len(function))

        def shown(tiles: Iterable[tuple[slice, ...]]) -> Iterable[tuple[slice, ...]]:
            return progress(tiles, what=f"reading {options.size[0]} x {options.size[1]}", delay=3)

        values = area_grid(
            function, options.size, min(self.size, *self.target_sizes), options.crop,
            tolerance=options.tolerance, progress=shown,
        )  # fmt: skip
        return ImageRendering(to_bytes(values).cpu())

    def truth(self, items: Sequence[ImageItem], options: ImageRenderOptions) -> ImageRendering:
        """The data at the wanted size.  Raises ValueError for other than square images: the data are squares."""
        rows, columns = options.size
        if rows != columns:
            raise ValueError(f"the data are square pictures; {rows} x {columns} has no true image, ask for {rows}")
        images = torch.stack([item.pixels(rows) for item in items])
        if options.crop is not None:
            (top, bottom), (left, right) = options.crop
            images = images[..., top:bottom, left:right]
        return ImageRendering(images)

    def read(self, path: Path) -> tuple[Float[Tensor, "1 3 size size"]]:
        """One image file, its centred square at `size`.  Raises ValueError naming the file."""
        picture = resize_square(centre_square(open_picture(Path(path))), self.size)
        return (to_float(to_tensor(picture))[None],)
