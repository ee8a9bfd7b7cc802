"""The image modality: one function is read out at every size, and trained at several."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from tqdm import tqdm

from ddmi_fields import ImplicitFunction, PlaneLayout, grid_coordinates
from ddmi_modalities.image.evaluation_settings import ImageEvaluation
from ddmi_modalities.image.items import ImageItem
from ddmi_modalities.image.prepare import ImagePreparation
from ddmi_modalities.image.sources import open_source
from ddmi_modalities.image.view import ImageArtefact, ImageView
from ddmi_modalities.modality import Batch, DataSet, FunctionSource
from ddmi_modalities.pixels import centre_square, open_picture, resize_square, to_bytes, to_float, to_tensor
from ddmi_modalities.splits import Split
from ddmi_vae import Randomness, gaussian_nll, laplace_nll


@dataclass(frozen=True)
class ImageQuery:
    """Pixels of each image of a batch, in grids of one size: drawn at random, or a window of rows x columns."""

    coords: Float[Tensor, "batch query 2"]
    """(x, y) of the pixel centres in the full grid; of a window row by row, so that query = rows * columns."""
    condition: Float[Tensor, " batch"]
    """native size / rows of the full grid."""
    window: tuple[int, int] | None = None
    """(rows, columns) of the window."""

    def pictures(self, values: Float[Tensor, "batch query 3"]) -> Float[Tensor, "batch 3 rows columns"]:
        """`as_image`, as perceptual and adversarial terms ask for it."""
        return as_image(values, self)


def as_image(values: Float[Tensor, "batch query 3"], query: ImageQuery) -> Float[Tensor, "batch 3 rows columns"]:
    """Values at a query as pictures, for perceptual and adversarial terms.  ValueError for random pixels."""
    if query.window is None:
        raise ValueError(
            "perceptual and adversarial terms look at windows, and this run compares random pixels; "
            "set the modality's points to 0"
        )
    return values.transpose(1, 2).reshape(len(values), -1, *query.window)


@dataclass(frozen=True, kw_only=True)
class ImageModality:
    """Configuration and behaviour of images; an implementation of `ddmi_modalities.Modality`."""

    source: str = "openmoji"
    """'openmoji', or the path of a folder of images, or of CIFAR-10's binary files."""
    classes: tuple[str, ...] = ()
    """Sub-folders to take, of a folder or of its train and test folders, such as AFHQ's 'cat'; empty: all."""
    held_out: int = 0
    """Where neither folders nor lists split a folder: its last so many pictures; 0: every tenth, by name."""
    size: int = 64
    """Pixels a side of what the encoder sees; the read-out's native size, at which its condition is 1."""
    target_sizes: tuple[int, ...] = (64,)
    """Sizes at which the function is compared with the truth; a step takes one of them for its whole batch."""
    target_weights: tuple[float, ...] = (1.0,)
    """Relative frequency of each target size."""
    crop: int = 64
    """Pixels a side of the window that is compared; the whole image where the target is not larger."""
    points: int = 0
    """Compare this many pixels drawn over the whole image instead of a window: they teach much more a step."""
    likelihood: Literal["laplace", "gaussian"] = "laplace"
    """Laplace is the L1 distance, Gaussian the squared one."""
    flip: bool = False
    """Mirror half of the training images left to right.  Not for drawings: arrows and letters have a side."""
    cache: Path | None = None
    """Folder for rasters and checked file lists; default $XDG_CACHE_HOME/ddmi or ~/.cache/ddmi."""

    def __post_init__(self) -> None:
        if min(self.size, self.crop, *self.target_sizes, 1) < 1:
            raise ValueError(
                f"ImageModality: sizes count pixels and must be positive, got size {self.size}, crop {self.crop}, "
                f"target_sizes {self.target_sizes}"
            )
        if self.held_out < 0:
            raise ValueError(f"ImageModality: held_out counts pictures, got {self.held_out}; 0 holds out by name")
        if self.points < 0:
            raise ValueError(f"ImageModality: points must not be negative, got {self.points}; 0 compares windows")
        if not self.target_sizes or len(self.target_sizes) != len(self.target_weights):
            raise ValueError(
                f"ImageModality: {len(self.target_sizes)} target_sizes {self.target_sizes} and "
                f"{len(self.target_weights)} target_weights {self.target_weights}; give one weight for each size"
            )
        if min(self.target_weights) < 0 or sum(self.target_weights) <= 0:
            raise ValueError(
                f"ImageModality: target_weights {self.target_weights} must not be negative, and one must be positive"
            )

    @property
    def layout(self) -> PlaneLayout:
        return PlaneLayout.image()

    @property
    def View(self) -> type[ImageView]:
        return ImageView

    @property
    def Evaluation(self) -> type[ImageEvaluation]:
        return ImageEvaluation

    @property
    def Preparation(self) -> type[ImagePreparation]:
        return ImagePreparation

    def dataset(self, split: Split) -> DataSet[ImageItem]:
        """The split of `source`; ValueError where there is none."""
        return open_source(self, split)

    def captions(self, item: ImageItem) -> tuple[str, ...]:
        return () if item.caption is None else (item.caption,)

    def inputs(self, items: Sequence[ImageItem]) -> tuple[Float[Tensor, "batch 3 size size"]]:
        """The whole images at `size`, in [-1, 1]."""
        return (to_float(torch.stack([item.pixels(self.size) for item in items])),)

    def collate(self, items: Sequence[ImageItem], rng: Randomness) -> Batch[ImageQuery]:
        """Whole images for the encoder; random pixels, or a window, at one random target size to compare with."""
        size = self.target_sizes[rng.shared_choice(list(self.target_weights))]
        flipped = rng.integers(2).bool() if self.flip else torch.zeros(len(items), dtype=torch.bool)
        draw = self._random_pixels if self.points else self._random_windows
        query, target = draw(items, size, flipped, rng)
        (images,) = self.inputs(items)
        return Batch(
            inputs=(torch.where(flipped[:, None, None, None], images.flip(-1), images),),
            query=query,
            target=to_float(target).transpose(1, 2).contiguous(),
        )

    def _random_pixels(
        self, items: Sequence[ImageItem], size: int, flipped: Tensor, rng: Randomness
    ) -> tuple[ImageQuery, UInt8[Tensor, "batch 3 query"]]:
        chosen = rng.integers(size * size, self.points)
        coords = grid_coordinates((size, size))[0][chosen]
        # the mirrored image's pixel is the image's pixel on the other side
        columns = torch.where(flipped[:, None], size - 1 - chosen % size, chosen % size)
        source = chosen - chosen % size + columns
        target = torch.stack([i.pixels(size).flatten(1)[:, at] for i, at in zip(items, source, strict=True)])
        return ImageQuery(coords, torch.full((len(items),), self.size / size)), target

    def _random_windows(
        self, items: Sequence[ImageItem], size: int, flipped: Tensor, rng: Randomness
    ) -> tuple[ImageQuery, UInt8[Tensor, "batch 3 query"]]:
        side = min(self.crop, size)
        corners = rng.integers(size - side + 1, 2).tolist()
        targets, coords = [], []
        for item, (top, left), mirror in zip(items, corners, flipped.tolist(), strict=True):
            # the window of the mirrored image is the mirrored window on the other side
            target = item.window(size, top, size - left - side if mirror else left, side)
            targets.append(target.flip(-1) if mirror else target)
            coords.append(grid_coordinates((size, size), ((top, top + side), (left, left + side))))
        query = ImageQuery(torch.cat(coords), torch.full((len(items),), self.size / size), (side, side))
        return query, torch.stack(targets).flatten(2)

    def predict(self, function: ImplicitFunction, query: ImageQuery) -> Float[Tensor, "batch query 3"]:
        """The functions at the query's pixel centres; the condition goes only to a read-out that takes a scale."""
        return function(query.coords, None if function.native is None else query.condition)

    def nll(
        self, prediction: Float[Tensor, "batch query 3"], target: Float[Tensor, "batch query 3"]
    ) -> Float[Tensor, " batch"]:
        likelihoods = {"laplace": laplace_nll, "gaussian": gaussian_nll}
        return likelihoods[self.likelihood](prediction, target)

    @torch.no_grad()
    def render(self, function: ImplicitFunction, view: ImageView) -> ImageArtefact:
        def progress(tiles: Iterable[tuple[slice, ...]]) -> Iterable[tuple[slice, ...]]:
            return tqdm(tiles, desc=f"reading {view.size[0]} x {view.size[1]}", delay=3, leave=False, disable=None)

        return ImageArtefact(to_bytes(function.grid(view.size, view.crop, progress=progress)).cpu())

    def truth(self, items: Sequence[ImageItem], view: ImageView) -> ImageArtefact:
        """The data at the view's size.  Raises ValueError for other than square images: the data are squares."""
        rows, columns = view.size
        if rows != columns:
            raise ValueError(f"the data are square pictures; {rows} x {columns} has no true image, ask for {rows}")
        images = torch.stack([item.pixels(rows) for item in items])
        if view.crop is not None:
            (top, bottom), (left, right) = view.crop
            images = images[..., top:bottom, left:right]
        return ImageArtefact(images)

    def read(self, path: Path) -> tuple[Float[Tensor, "1 3 size size"]]:
        """One image file, its centred square at `size`.  Raises ValueError naming the file."""
        picture = resize_square(centre_square(open_picture(Path(path))), self.size)
        return (to_float(to_tensor(picture))[None],)

    def view_of(self, path: Path, view: ImageView) -> ImageView:
        return view

    def evaluate(
        self,
        model: FunctionSource,
        settings: ImageEvaluation,
        *,
        seed: int = 0,
        note: Callable[[str], None] = lambda _: None,
    ) -> dict[str, float]:
        """PSNR and SSIM of reconstructions at several sizes, and Frechet distances: see `evaluate_images`."""
        from ddmi_modalities.image.evaluation import evaluate_images
        from ddmi_modalities.image.features import EfficientNetLite0Features, InceptionFeatures

        weights = settings.weights
        network = InceptionFeatures(weights) if weights is not None else EfficientNetLite0Features()
        return evaluate_images(self, model, network, settings, seed=seed, note=note)

    def report(
        self,
        model: FunctionSource,
        directory: Path,
        *,
        seed: int = 0,
        note: Callable[[str], None] = lambda _: None,
    ) -> list[Path]:
        """Reconstructions, samples, one sample at several sizes, a zoom: see `report.report_images`."""
        from ddmi_modalities.image.report import report_images

        return report_images(self, model, directory, seed=seed, note=note)

    def metrics(self, made: ImageArtefact, true: ImageArtefact) -> dict[str, float]:
        """PSNR in dB and SSIM, each per image, then the mean."""
        from ddmi_modalities.image.metrics import psnr, ssim  # torchmetrics takes seconds to import

        return {
            "psnr": psnr(made.images, true.images).mean().item(),
            "ssim": ssim(made.images, true.images).mean().item(),
        }
