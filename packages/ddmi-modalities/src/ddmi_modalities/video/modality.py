"""The video modality: one function of space and time is read out at every size and frame rate, and trained at many."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ddmi_fields import ImplicitFunction, PlaneLayout, grid_coordinates
from ddmi_modalities.area_grid import area_grid
from ddmi_modalities.datasets.splits import Split
from ddmi_modalities.files.pixels import to_bytes, to_float
from ddmi_modalities.grid_query import GridQuery, GridTargets, draw_mirrored, even_points, mirrored
from ddmi_modalities.modality import Batch, DataSet, Modality
from ddmi_modalities.progress import progress
from ddmi_modalities.video.data.sources import open_clips
from ddmi_modalities.video.data.stored_clips import clip_seconds, read_clip
from ddmi_modalities.video.items import ClipItem
from ddmi_modalities.video.view import VideoRendering, VideoRenderOptions
from ddmi_vae import LIKELIHOODS, Distance, Randomness


@dataclass(frozen=True, kw_only=True)
class VideoModality(Modality[ClipItem, GridQuery, VideoRenderOptions, VideoRendering]):
    """Configuration and behaviour of video.

    Times are in frames: the clip's own are 0, 1, ... frames - 1, at the centres of the cells of the t axis.
    """

    source: str = "moving-openmoji"
    """'moving-openmoji', a video file, or a folder of video files or of folders of frames."""
    frames: int = 16
    """Frames of a clip that the encoder sees."""
    size: int = 64
    """Pixels a side of what the encoder sees; the read-out's native size, at which its condition is 1."""
    stride: int = 1
    """Of stored videos, take every so many-th frame."""
    items: int = 4000
    """Training clips of 'moving-openmoji', which is unlimited."""
    target_sizes: tuple[int, ...] = (64,)
    """Sizes at which the function is compared with the truth; a step takes one of them for its whole batch."""
    target_weights: tuple[float, ...] = (1.0,)
    """Relative frequency of each target size."""
    num_queries: int = 1024
    """Points of space and time that are compared a clip and step, spread evenly; 0 compares windows of whole frames."""
    shown: int = 2
    """Consecutive frames of a window, from a random time."""
    crop: int = 64
    """Pixels a side of a window; the whole frame where the target is not larger."""
    likelihood: Distance = "laplace"
    """Laplace is the L1 distance, Gaussian the squared one."""
    flip: bool = False
    """Mirror half of the training clips left to right.  Latents are cached of clips as they are."""
    align_corners: bool = False
    """True for imported models: planes have values at the borders of frame and clip."""
    cache: Path | None = None
    """Folder for rasters; default $XDG_CACHE_HOME/ddmi or ~/.cache/ddmi."""

    def __post_init__(self) -> None:
        if min(self.frames, self.size, self.stride, self.items, self.shown, self.crop) < 1:
            raise ValueError(
                "VideoModality: frames, size, stride, items, shown and crop count from 1, got "
                f"{self.frames}, {self.size}, {self.stride}, {self.items}, {self.shown} and {self.crop}"
            )
        if self.num_queries < 0:
            raise ValueError(
                f"VideoModality: num_queries must not be negative, got {self.num_queries}; 0 compares windows"
            )
        if self.shown > self.frames:
            raise ValueError(f"VideoModality: {self.shown} frames cannot be shown of clips of {self.frames}")
        self.targets.check("VideoModality")

    @property
    def targets(self) -> GridTargets:
        return GridTargets(self.target_sizes, self.target_weights)

    @property
    def layout(self) -> PlaneLayout:
        return PlaneLayout.video(align_corners=self.align_corners)

    @property
    def attribution(self) -> str | None:
        from ddmi_modalities.drawings.openmoji import ATTRIBUTION

        return ATTRIBUTION if self.source == "moving-openmoji" else super().attribution

    @property
    def RenderOptions(self) -> type[VideoRenderOptions]:
        return VideoRenderOptions

    def dataset(self, split: Split) -> DataSet[ClipItem]:
        """The split of `source`; ValueError where there is none."""
        return open_clips(
            self.source, split, frames=self.frames, stride=self.stride, items=self.items,
            sizes=(self.size, *self.target_sizes), cache=self.cache,
        )  # fmt: skip

    def captions(self, item: ClipItem) -> tuple[str, ...]:
        return item.captions

    def inputs(self, items: Sequence[ClipItem]) -> tuple[Float[Tensor, "batch 3 frame size size"]]:
        """All frames at `size`, in [-1, 1]."""
        times = torch.arange(self.frames, dtype=torch.float32)
        clips = torch.stack([item.frames(times, self.size) for item in items])
        return (to_float(clips).transpose(1, 2).contiguous(),)

    def collate(self, items: Sequence[ClipItem], rng: Randomness) -> Batch[GridQuery]:
        """Whole clips for the encoder; points or windows of one random target size to compare with."""
        size = self.targets.draw(rng)
        flipped = draw_mirrored(len(items), self.flip, rng)
        draw = self._random_points if self.num_queries else self._random_windows
        query, target = draw(items, size, flipped, rng)
        (clips,) = self.inputs(items)
        return Batch(inputs=(mirrored(clips, flipped),), query=query, target=to_float(target))

    def _random_points(
        self, items: Sequence[ClipItem], size: int, flipped: Tensor, rng: Randomness
    ) -> tuple[GridQuery, UInt8[Tensor, "batch query 3"]]:
        x, y, t = even_points(rng.uniform(3), self.num_queries).unbind(-1)
        columns, rows = (size * x).long(), (size * y).long()
        times = (self.frames * t).float()
        stored = torch.tensor([not item.continuous for item in items])
        times = torch.where(stored[:, None], times.floor().clamp(max=self.frames - 1), times - 0.5)
        places = grid_coordinates((size, size))[0][columns + size * rows]
        coords = torch.cat((places, field_time(times, self.frames)[..., None]), dim=-1)
        # the mirrored clip's pixel is the clip's pixel on the other side
        pixels = torch.where(flipped[:, None], size - 1 - columns, columns) + size * rows
        target = torch.stack([i.points(t, p, size) for i, t, p in zip(items, times, pixels, strict=True)])
        return GridQuery(coords, torch.full((len(items),), self.size / size)), target

    def _random_windows(
        self, items: Sequence[ClipItem], size: int, flipped: Tensor, rng: Randomness
    ) -> tuple[GridQuery, UInt8[Tensor, "batch query 3"]]:
        side, room = min(self.crop, size), self.frames - self.shown
        coords, targets = [], []
        starts, corners = rng.uniform(1)[:, 0], rng.integers(size - side + 1, 2).tolist()
        for item, start, (top, left), mirror in zip(items, starts, corners, flipped.tolist(), strict=True):
            first = start * room if item.continuous else (start * (room + 1)).floor()
            times = first + torch.arange(self.shown)
            frames = item.frames(times, size)
            frames = (frames.flip(-1) if mirror else frames)[..., top : top + side, left : left + side]
            targets.append(frames.permute(0, 2, 3, 1).flatten(0, 2))
            places = grid_coordinates((size, size), ((top, top + side), (left, left + side)))[0]
            at = field_time(times, self.frames).repeat_interleave(len(places))
            coords.append(torch.cat((places.repeat(self.shown, 1), at[:, None]), dim=-1))
        condition = torch.full((len(items),), self.size / size)
        return GridQuery(torch.stack(coords), condition, (self.shown, side, side)), torch.stack(targets)

    def predict(self, function: ImplicitFunction, query: GridQuery) -> Float[Tensor, "batch query 3"]:
        """The functions at the query's points."""
        return query.read(function)

    def nll(
        self, prediction: Float[Tensor, "batch query 3"], target: Float[Tensor, "batch query 3"]
    ) -> Float[Tensor, " batch"]:
        return LIKELIHOODS[self.likelihood](prediction, target)

    def memory(self, options: VideoRenderOptions, count: int) -> int:
        """Floats of one clip and bytes of all, twice."""
        rows, columns = options.size
        return 3 * options.count(self.frames) * rows * columns * (4 + 2 * count)

    @torch.no_grad()
    def render(self, function: ImplicitFunction, options: VideoRenderOptions) -> VideoRendering:
        """Frames that span the whole clip, in tiles; clip by clip, so that floats of one clip are held at a time."""
        self.check_memory(options, len(function))
        size = (options.count(self.frames), *options.size)

        def shown(tiles: Iterable[tuple[slice, ...]]) -> Iterable[tuple[slice, ...]]:
            return progress(tiles, what=f"reading {' x '.join(map(str, size))}", delay=3)

        how: dict[str, Any] = dict(tolerance=options.tolerance, progress=shown)
        least = min(self.size, *self.target_sizes)
        clips = [to_bytes(area_grid(one, size, least, **how)).cpu() for one in function]
        return VideoRendering(torch.cat(clips).transpose(1, 2).contiguous(), options.rate(self.frames))

    @torch.no_grad()
    def frames_at(
        self, function: ImplicitFunction, times: Float[Tensor, " frame"], size: int
    ) -> UInt8[Tensor, "batch frame 3 size size"]:
        """Square frames at any times in frames, such as between those of a rendering; small ones are means, as of
        `area_grid`."""
        fold = max(1, -(-min(self.size, *self.target_sizes) // size))
        fine = size * fold
        places, frames = grid_coordinates((fine, fine))[0], []
        condition = None if function.native is None else torch.full((len(function),), function.native / fine)
        for time in field_time(times, self.frames).tolist():
            at = torch.cat((places, torch.full((len(places), 1), time)), dim=-1)[None].to(function.basis.device)
            values = function(at, condition).transpose(1, 2).unflatten(2, (size, fold, size, fold)).mean((3, 5))
            frames.append(to_bytes(values).cpu())
        return torch.stack(frames, dim=1)

    def truth(self, items: Sequence[ClipItem], options: VideoRenderOptions) -> VideoRendering:
        """The data at the wanted size and times.  Raises ValueError for times at which nothing is known."""
        rows, columns = options.size
        if rows != columns:
            raise ValueError(f"the data are square clips; {rows} x {columns} has no true frames, ask for {rows}")
        count = options.count(self.frames)
        times = (torch.arange(count) + 0.5) * (self.frames / count) - 0.5
        if count != self.frames and not all(item.continuous for item in items):
            raise ValueError(f"stored clips have {self.frames} frames and none between; {count} have no true frames")
        return VideoRendering(torch.stack([item.frames(times, rows) for item in items]), options.rate(self.frames))

    def read(self, path: Path) -> tuple[Float[Tensor, "1 3 frame size size"]]:
        """The first clip of a video file or folder of frames, its centred square.  Raises ValueError naming it."""
        frames = read_clip(Path(path), self.frames, self.stride, self.size)
        return (to_float(frames).transpose(0, 1)[None].contiguous(),)

    def options_of(self, path: Path, options: VideoRenderOptions) -> VideoRenderOptions:
        """With the file's own duration, unless frames or seconds are asked for."""
        if options.frames is not None or options.seconds is not None:
            return options
        return replace(options, seconds=clip_seconds(Path(path), self.frames, self.stride))


def field_time(times: Float[Tensor, "*shape"], frames: int) -> Float[Tensor, "*shape"]:
    """Times in frames (0 is the first of `frames`) as field coordinates: frame k sits at the centre of its cell."""
    return (2 * times + 1) / frames - 1
