"""The video modality: one function of space and time is read out at every size and frame rate, and trained at many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from tqdm import tqdm

from ddmi_fields import ImplicitFunction, PlaneLayout, grid_coordinates
from ddmi_modalities.even_points import even_points
from ddmi_modalities.modality import Batch, DataSet, FunctionSource
from ddmi_modalities.pixels import to_bytes, to_float
from ddmi_modalities.splits import Split
from ddmi_modalities.video.evaluation_settings import VideoEvaluation
from ddmi_modalities.video.items import ClipItem
from ddmi_modalities.video.moving_openmoji import MovingOpenMoji
from ddmi_modalities.video.prepare import VideoPreparation
from ddmi_modalities.video.query import VideoQuery, field_time
from ddmi_modalities.video.stored_clips import StoredClips, read_clip
from ddmi_modalities.video.view import VideoArtefact, VideoView
from ddmi_vae import Randomness, gaussian_nll, laplace_nll

HELD_OUT = 500
"""Clips of the test split of 'moving-openmoji', which is unlimited."""


@dataclass(frozen=True, kw_only=True)
class VideoModality:
    """Configuration and behaviour of video; an implementation of `ddmi_modalities.Modality`.

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
    points: int = 1024
    """Points of space and time that are compared a clip and step, spread evenly; 0 compares windows of whole frames."""
    shown: int = 2
    """Consecutive frames of a window, from a random time."""
    crop: int = 64
    """Pixels a side of a window; the whole frame where the target is not larger."""
    likelihood: Literal["laplace", "gaussian"] = "laplace"
    """Laplace is the L1 distance, Gaussian the squared one."""
    flip: bool = False
    """Mirror half of the training clips left to right.  Latents are cached of clips as they are."""
    align_corners: bool = False
    """True for imported models: planes have values at the borders of frame and clip."""
    cache: Path | None = None
    """Folder for rasters; default $XDG_CACHE_HOME/ddmi or ~/.cache/ddmi."""

    def __post_init__(self) -> None:
        if min(self.frames, self.size, self.stride, self.items, self.shown, self.crop, *self.target_sizes, 1) < 1:
            raise ValueError(
                f"VideoModality: frames, size, stride, items, shown, crop and target_sizes count from 1, got "
                f"{self.frames}, {self.size}, {self.stride}, {self.items}, {self.shown}, {self.crop}, "
                f"{self.target_sizes}"
            )
        if self.points < 0:
            raise ValueError(f"VideoModality: points must not be negative, got {self.points}; 0 compares windows")
        if self.shown > self.frames:
            raise ValueError(f"VideoModality: {self.shown} frames cannot be shown of clips of {self.frames}")
        if not self.target_sizes or len(self.target_sizes) != len(self.target_weights):
            raise ValueError(
                f"VideoModality: {len(self.target_sizes)} target_sizes {self.target_sizes} and "
                f"{len(self.target_weights)} target_weights {self.target_weights}; give one weight for each size"
            )
        if min(self.target_weights) < 0 or sum(self.target_weights) <= 0:
            raise ValueError(
                f"VideoModality: target_weights {self.target_weights} must not be negative, and one must be positive"
            )

    @property
    def layout(self) -> PlaneLayout:
        return PlaneLayout.video(align_corners=self.align_corners)

    @property
    def View(self) -> type[VideoView]:
        return VideoView

    @property
    def Evaluation(self) -> type[VideoEvaluation]:
        return VideoEvaluation

    @property
    def Preparation(self) -> type[VideoPreparation]:
        return VideoPreparation

    def dataset(self, split: Split) -> DataSet[ClipItem]:
        """The split of `source`; ValueError where there is none."""
        sizes = (self.size, *self.target_sizes)
        if self.source == "moving-openmoji":
            items = self.items if split == "train" else min(HELD_OUT, self.items)
            return MovingOpenMoji(split, items, sizes=sizes, cache=self.cache)
        return StoredClips(self.source, split, frames=self.frames, stride=self.stride, size=max(sizes))

    def captions(self, item: ClipItem) -> tuple[str, ...]:
        return item.captions

    def inputs(self, items: Sequence[ClipItem]) -> tuple[Float[Tensor, "batch 3 frame size size"]]:
        """All frames at `size`, in [-1, 1]."""
        times = torch.arange(self.frames, dtype=torch.float32)
        clips = torch.stack([item.frames(times, self.size) for item in items])
        return (to_float(clips).transpose(1, 2).contiguous(),)

    def collate(self, items: Sequence[ClipItem], rng: Randomness) -> Batch[VideoQuery]:
        """Whole clips for the encoder; points or windows of one random target size to compare with."""
        size = self.target_sizes[rng.shared_choice(list(self.target_weights))]
        flipped = rng.integers(2).bool() if self.flip else torch.zeros(len(items), dtype=torch.bool)
        draw = self._random_points if self.points else self._random_windows
        query, target = draw(items, size, flipped, rng)
        (clips,) = self.inputs(items)
        inputs = torch.where(flipped[:, None, None, None, None], clips.flip(-1), clips)
        return Batch(inputs=(inputs,), query=query, target=to_float(target))

    def _random_points(
        self, items: Sequence[ClipItem], size: int, flipped: Tensor, rng: Randomness
    ) -> tuple[VideoQuery, UInt8[Tensor, "batch query 3"]]:
        x, y, t = even_points(rng.uniform(3), self.points).unbind(-1)
        columns, rows = (size * x).long(), (size * y).long()
        times = (self.frames * t).float()
        stored = torch.tensor([not item.continuous for item in items])
        times = torch.where(stored[:, None], times.floor().clamp(max=self.frames - 1), times - 0.5)
        places = grid_coordinates((size, size))[0][columns + size * rows]
        coords = torch.cat((places, self._field_time(times)[..., None]), dim=-1)
        # the mirrored clip's pixel is the clip's pixel on the other side
        pixels = torch.where(flipped[:, None], size - 1 - columns, columns) + size * rows
        target = torch.stack([i.points(t, p, size) for i, t, p in zip(items, times, pixels, strict=True)])
        return VideoQuery(coords, torch.full((len(items),), self.size / size)), target

    def _random_windows(
        self, items: Sequence[ClipItem], size: int, flipped: Tensor, rng: Randomness
    ) -> tuple[VideoQuery, UInt8[Tensor, "batch query 3"]]:
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
            at = self._field_time(times).repeat_interleave(len(places))
            coords.append(torch.cat((places.repeat(self.shown, 1), at[:, None]), dim=-1))
        condition = torch.full((len(items),), self.size / size)
        return VideoQuery(torch.stack(coords), condition, (self.shown, side, side)), torch.stack(targets)

    def _field_time(self, times: Tensor) -> Tensor:
        return field_time(times, self.frames)

    def predict(self, function: ImplicitFunction, query: VideoQuery) -> Float[Tensor, "batch query 3"]:
        """The functions at the query's points; the condition goes only to a read-out that takes a scale."""
        return function(query.coords, None if function.native is None else query.condition)

    def nll(
        self, prediction: Float[Tensor, "batch query 3"], target: Float[Tensor, "batch query 3"]
    ) -> Float[Tensor, " batch"]:
        return {"laplace": laplace_nll, "gaussian": gaussian_nll}[self.likelihood](prediction, target)

    @torch.no_grad()
    def render(self, function: ImplicitFunction, view: VideoView) -> VideoArtefact:
        """Frames that span the whole clip, in tiles; clip by clip, so that floats of one clip are held at a time."""
        size = (view.count(self.frames), *view.size)

        def progress(tiles: Iterable[tuple[slice, ...]]) -> Iterable[tuple[slice, ...]]:
            return tqdm(tiles, desc=f"reading {' x '.join(map(str, size))}", delay=3, leave=False, disable=None)

        clips = [to_bytes(one.grid(size, progress=progress)).cpu() for one in function]
        return VideoArtefact(torch.cat(clips).transpose(1, 2).contiguous(), view.rate(self.frames))

    @torch.no_grad()
    def frames_at(
        self, function: ImplicitFunction, times: Float[Tensor, " frame"], size: int
    ) -> UInt8[Tensor, "batch frame 3 size size"]:
        """Square frames at any times in frames, such as between those of a view."""
        places, frames = grid_coordinates((size, size))[0], []
        condition = None if function.native is None else torch.full((len(function),), function.native / size)
        for time in self._field_time(times).tolist():
            at = torch.cat((places, torch.full((len(places), 1), time)), dim=-1)[None].to(function.basis.device)
            frames.append(to_bytes(function(at, condition)).cpu())
        return torch.stack(frames, dim=1).transpose(2, 3).unflatten(3, (size, size)).contiguous()

    def truth(self, items: Sequence[ClipItem], view: VideoView) -> VideoArtefact:
        """The data at the view's size and times.  Raises ValueError for times at which nothing is known."""
        rows, columns = view.size
        if rows != columns:
            raise ValueError(f"the data are square clips; {rows} x {columns} has no true frames, ask for {rows}")
        count = view.count(self.frames)
        times = (torch.arange(count) + 0.5) * (self.frames / count) - 0.5
        if count != self.frames and not all(item.continuous for item in items):
            raise ValueError(f"stored clips have {self.frames} frames and none between; {count} have no true frames")
        return VideoArtefact(torch.stack([item.frames(times, rows) for item in items]), view.rate(self.frames))

    def read(self, path: Path) -> tuple[Float[Tensor, "1 3 frame size size"]]:
        """The first clip of a video file or folder of frames, its centred square.  Raises ValueError naming it."""
        frames = read_clip(Path(path), self.frames, self.stride, self.size)
        return (to_float(frames).transpose(0, 1)[None].contiguous(),)

    def view_of(self, path: Path, view: VideoView) -> VideoView:
        """The view of what `read` takes from a file: with the file's own duration, unless frames are asked for."""
        from ddmi_modalities.video.stored_clips import clip_seconds

        if view.frames is not None or view.seconds is not None:
            return view
        return replace(view, seconds=clip_seconds(Path(path), self.frames, self.stride))

    def evaluate(
        self,
        model: FunctionSource,
        settings: VideoEvaluation,
        *,
        seed: int = 0,
        note: Callable[[str], None] = lambda _: None,
    ) -> dict[str, float]:
        """PSNR and SSIM of reconstructions, also between frames, and Frechet distances: see `evaluate_videos`."""
        from ddmi_modalities.video.evaluation import evaluate_videos

        return evaluate_videos(self, model, settings, seed=seed, note=note)

    def report(
        self,
        model: FunctionSource,
        directory: Path,
        *,
        seed: int = 0,
        note: Callable[[str], None] = lambda _: None,
    ) -> list[Path]:
        """Strips and GIFs of reconstructions and samples, one of them in slow motion: see `report_videos`."""
        from ddmi_modalities.video.report import report_videos

        return report_videos(self, model, directory, seed=seed, note=note)

    def metrics(self, made: VideoArtefact, true: VideoArtefact) -> dict[str, float]:
        """PSNR in dB and SSIM, each per frame, then the mean."""
        from ddmi_modalities.image.metrics import psnr, ssim  # torchmetrics takes seconds to import

        pairs = made.clips.flatten(0, 1), true.clips.flatten(0, 1)
        return {"psnr": psnr(*pairs).mean().item(), "ssim": ssim(*pairs).mean().item()}
