"""Clips of real videos: files, or folders of frames, cut into pieces and split into what is trained on and what not."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from ddmi_modalities.datasets.array_cache import default_cache
from ddmi_modalities.datasets.checked_sources import check_sources, content_digest
from ddmi_modalities.datasets.folders import say_unread, walk
from ddmi_modalities.datasets.left_out import leave_out
from ddmi_modalities.datasets.splits import Split, check_split, listed_split, split_folders, split_of
from ddmi_modalities.files.kinds import FRAMES, VIDEOS
from ddmi_modalities.files.pixels import resize_square, to_picture, to_tensor
from ddmi_modalities.video.data.frame_folders import FrameFolder
from ddmi_modalities.video.data.video_files import VideoFile

MEMORY = 2**28
"""Bytes of decoded clips that a data set keeps: all of a few videos, so that they are decoded once."""
TAIL = 9
"""Where names cannot decide, every so many-th of a video's clips, at least one, is held out, from its end."""


FrameSequence = VideoFile | FrameFolder
"""A video as frames at equal steps of time: `name`, `length`, `interval`, `side` and `read(positions, size)`."""


@dataclass(frozen=True)
class StoredClip:
    """Some frames of a video; a `ClipItem`.  Between its frames nothing is known."""

    source: StoredClips
    index: int

    continuous = False
    captions = ()

    @property
    def name(self) -> str:
        sequence, first = self.source.clips[self.index]
        return f"{sequence.name}@{first}"

    def frames(self, times: Float[Tensor, " frame"], size: int) -> UInt8[Tensor, "frame 3 size size"]:
        last, chosen = self.source.count - 1, times.round().long()
        if not torch.equal(chosen.to(times.dtype), times) or chosen.min() < 0 or chosen.max() > last:
            raise ValueError(
                f"clip {self.name!r} has frames at the times 0, 1, ... {last} only, asked for {times.tolist()}"
            )
        return self.source.decoded(self.index, size)[chosen]

    def points(
        self, times: Float[Tensor, " query"], pixels: Int[Tensor, " query"], size: int
    ) -> UInt8[Tensor, "query 3"]:
        whole = self.frames(torch.arange(self.source.count, dtype=torch.float32), size)
        return whole.flatten(2)[times.long(), :, pixels]


class StoredClips:
    """Clips of `frames` frames, `stride` apart, one after the other, from all videos below `root`.

    Two folders named train and test (or val) decide what is held out, or with names that end so; or lists of names (see
    `listed_split`); otherwise about a ninth of the videos is, by the hash of their names; and where this leaves a split
    empty, as with one file, the last ninth of each video.  Every frame is decoded once, to be sure that training will
    not stop at a broken one, which is remembered; videos that cannot be read or are too short are left out, and named.

    Args:
        root: A video file; a folder of video files; or a folder of folders of frames.
        split: "train" or "test".
        frames, stride: Of a clip.
        size: Pixels a side at which decoded clips are kept; other sizes are made of those, larger ones decoded anew.
        strict: Refuse the folder when any video cannot be used, instead of leaving it out.
        cache: Where to remember which videos are sound, default `$XDG_CACHE_HOME/ddmi`.

    Raises:
        ValueError: There is no such file or folder, it has no usable clip in this split, or `strict` found a video that
            cannot be used; it names the videos.
    """

    def __init__(
        self,
        root: Path | str,
        split: Split,
        *,
        frames: int,
        stride: int = 1,
        size: int = 64,
        strict: bool = False,
        cache: Path | None = None,
    ) -> None:
        check_split(split)
        root = Path(root).expanduser()
        if not root.exists():
            raise ValueError(f"StoredClips: {str(root)!r} does not exist; give a video file or a folder of videos")
        folders = split_folders(root)
        where = folders.get(split, root)
        self.count, self.size = frames, size
        sequences = find_sequences(where)
        if not sequences:
            raise ValueError(
                f"StoredClips: no videos in {str(where)!r}; wanted {VIDEOS.wanted}, or folders of pictures"
            )
        self._folder, self._cache = (where.parent if where.is_file() else where), cache or default_cache()
        by_path = {sequence.path.relative_to(self._folder).as_posix(): sequence for sequence in sequences}
        sound = check_sources(
            self._folder, list(by_path), lambda path: by_path[path.relative_to(self._folder).as_posix()].check(),
            what="videos", cache=self._cache,
        )  # fmt: skip
        found: list[tuple[FrameSequence, list[int]]] = []
        self.skipped: dict[str, str] = {}
        """Why each video that is not in the data set was left out."""
        for name, sequence in by_path.items():
            try:
                if isinstance(reason := sound[name], str):
                    raise ValueError(reason)
                found.append((sequence, clip_starts(sequence, frames, stride)))
            except ValueError as error:
                self.skipped[sequence.name] = _reason(error, sequence.path)
        leave_out(
            f"StoredClips {str(where)!r}", "videos", self.skipped, len(sequences), strict=strict,
            remedy="repair or remove them, or take fewer frames or a smaller stride",
        )  # fmt: skip
        listed = None if folders else listed_split(where, split, [sequence.name for sequence in sequences])
        self.clips = tuple(_chosen(found, split, apart=bool(folders), listed=listed))
        """The video and first frame of each clip."""
        self.stride = stride
        if not self.clips:
            raise ValueError(
                f"StoredClips: nothing of {str(where)!r} is left for the split {split!r}, as there are less than two "
                f"clips of {frames} frames with stride {stride}; add videos, or take fewer frames or a smaller stride"
            )
        self._kept: OrderedDict[int, Tensor] = OrderedDict()

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> StoredClip:
        if not -len(self) <= index < len(self):
            raise IndexError(f"clip {index} of {len(self)}")
        return StoredClip(self, index % len(self))

    def digest(self) -> str:
        """A hash of the content of all videos."""
        names = sorted({sequence.path.relative_to(self._folder).as_posix() for sequence, _ in self.clips})
        return content_digest(self._folder, names, what="videos", cache=self._cache)

    def describe(self) -> str:
        """How many videos there are, and how many were left out."""
        videos = len({sequence.name for sequence, _ in self.clips})
        return f"of {videos} videos, {len(self.skipped)} left out"

    def one_a_video(self, seed: int) -> StoredClips:
        """The same videos with one clip each, from a random frame: the real side of published distances."""
        rng = np.random.default_rng(seed)
        longest = {sequence.name: sequence for sequence, _ in self.clips}
        needed = (self.count - 1) * self.stride + 1
        chosen = copy.copy(self)
        chosen.clips = tuple((s, int(rng.integers(s.length - needed + 1))) for s in longest.values())
        chosen._kept = OrderedDict()
        return chosen

    def decoded(self, index: int, size: int) -> UInt8[Tensor, "frame 3 size size"]:
        """All frames of clip `index`."""
        if size > self.size:
            return self._read(index, size)
        if index in self._kept:
            self._kept.move_to_end(index)
        else:
            self._kept[index] = self._read(index, self.size)
            while len(self._kept) > max(1, MEMORY // (3 * self.count * self.size**2)):
                self._kept.popitem(last=False)
        kept = self._kept[index]
        return kept if size == self.size else torch.stack([_resized(frame, size) for frame in kept])

    def _read(self, index: int, size: int) -> UInt8[Tensor, "frame 3 size size"]:
        sequence, first = self.clips[index]
        return sequence.read(range(first, first + self.count * self.stride, self.stride), size)


def held_by_name(names: Collection[str]) -> set[str]:
    """Those of the usable videos that are held out; none where names would leave a split empty."""
    held = {name for name in names if split_of(name) == "test"}
    return held if len(held) < len(names) else set()


def find_sequences(root: Path) -> list[FrameSequence]:
    """All videos at or below `root`, by name, also behind links.  Nothing is opened.

    Pictures beside video files are no frames.
    """
    if root.is_file():
        return [VideoFile(root, root.name)]
    videos: dict[str, FrameSequence] = {}
    for folder, here in walk(root):
        found = [path for path in here if VIDEOS.takes(path)]
        say_unread(folder, VIDEOS, here)
        for path in found:
            name = path.relative_to(root).as_posix()
            videos[name] = VideoFile(path, name)
        if not found and any(FRAMES.takes(path) for path in here):
            name = folder.relative_to(root).as_posix()
            videos[name] = FrameFolder(folder, name)
    return [videos[name] for name in sorted(videos)]


def open_sequence(path: Path, frames: int, stride: int) -> FrameSequence:
    """One video file or folder of frames, long enough for a clip.  Raises ValueError naming it."""
    if not path.exists():
        raise ValueError(f"{str(path)!r} does not exist; give a video file or a folder of frames")
    sequence = FrameFolder(path, path.name) if path.is_dir() else VideoFile(path, path.name)
    clip_starts(sequence, frames, stride)
    return sequence


def read_clip(path: Path, frames: int, stride: int, size: int) -> UInt8[Tensor, "frame 3 size size"]:
    """The first clip of a video file or folder of frames.  Raises ValueError naming it."""
    return open_sequence(path, frames, stride).read(range(0, frames * stride, stride), size)


def clip_seconds(path: Path, frames: int, stride: int) -> float | None:
    """How long such a clip plays, where the file says so."""
    interval = open_sequence(path, frames, stride).interval
    return None if interval is None else frames * stride * interval


def clip_starts(sequence: FrameSequence, frames: int, stride: int) -> list[int]:
    """The first frames of a video's clips, one after the other.  ValueError where it is too short or not readable."""
    needed = (frames - 1) * stride + 1
    if sequence.length < needed:
        raise ValueError(
            f"the video {str(sequence.path)!r} has {sequence.length} frames, and a clip of {frames} with stride "
            f"{stride} needs {needed}"
        )
    return list(range(0, sequence.length - needed + 1, frames * stride))


def _chosen(
    found: Sequence[tuple[FrameSequence, list[int]]], split: Split, *, apart: bool, listed: Collection[str] | None
) -> list[tuple[FrameSequence, int]]:
    """The clips of a split; all of them where the folders are the splits (`apart`), or of the `listed` videos."""
    held = held_by_name([sequence.name for sequence, _ in found])
    clips = []
    for sequence, starts in found:
        tail = len(starts) - (max(1, len(starts) // TAIL) if len(starts) > 1 else 0)
        if apart:
            kept = starts
        elif listed is not None:
            kept = starts if sequence.name in listed else []
        elif held:
            kept = starts if (sequence.name in held) == (split == "test") else []
        else:
            kept = starts[:tail] if split == "train" else starts[tail:]
        clips += [(sequence, first) for first in kept]
    return clips


def _reason(error: ValueError, path: Path) -> str:
    """The message without the file, which is named already."""
    return str(error).removeprefix(f"cannot read the video {str(path)!r}: ").removeprefix(f"the video {str(path)!r} ")


def _resized(frame: UInt8[Tensor, "3 _ _"], size: int) -> UInt8[Tensor, "3 size size"]:
    return to_tensor(resize_square(to_picture(frame), size))
