"""Videos of any kind to folders of frames of one size, which are read at any place without decoding what is before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ddmi_modalities.datasets.preparation import Item, Plan
from ddmi_modalities.datasets.splits import SPLITS, listed_split, split_folders, split_of
from ddmi_modalities.files.kinds import VIDEOS
from ddmi_modalities.files.pixels import to_png
from ddmi_modalities.video.data.stored_clips import (
    FrameSequence,
    clip_starts,
    find_sequences,
    held_by_name,
)
from ddmi_modalities.video.modality import VideoModality

CHUNK = 32
"""Frames that are held at a time."""


@dataclass(frozen=True, kw_only=True)
class VideoPreparation:
    """Centred squares as PNG, OUT/train/NAME/frame00000.png and OUT/test/NAME/frame00000.png.

    NAME is all of the video's, such as clip.mp4.  Where it is not names or folders that split the videos but time,
    OUT/NAME/frame00000.png has all frames, and whoever reads it splits them as those of the source.
    """

    size: int | None = None
    """Pixels a side; default the largest size at which the preset compares."""
    allow_small: bool = False
    """Keep smaller videos at their own size instead of leaving them out; none is enlarged."""

    def __post_init__(self) -> None:
        if self.size is not None and self.size < 1:
            raise ValueError(f"VideoPreparation: size counts pixels, got {self.size}; give 1 or more")

    def plan(self, modality: VideoModality) -> Plan:
        """All videos of the modality's source, in the splits that it assigns.  ValueError where there are none."""
        root = Path(modality.source).expanduser().resolve()
        if not root.exists():
            raise ValueError(f"prepare: {modality.source!r} does not exist; give a video file or a folder of videos")
        size = self.size or max(modality.size, *modality.target_sizes)
        items = []
        for split, sequence in _with_splits(root, modality.frames, modality.stride):
            name = sequence.name if split == "time" else f"{split}/{sequence.name}"
            make = partial(_frames, sequence, name, size, self.allow_small)
            sources = (sequence.path.relative_to(root).as_posix(),)
            items.append(Item(name=name, split=split, sources=sources, make=make))
        if not items:
            raise ValueError(
                f"prepare: no videos in {modality.source!r}; wanted {VIDEOS.wanted}, or folders of pictures"
            )
        return Plan(
            what="videos",
            source=root,
            items=items,
            settings={"size": size, "allow_small": self.allow_small},
            folders=() if any(item.split == "time" for item in items) else SPLITS,
            remedy="repair or remove them; with --allow-small, smaller ones keep their size",
        )


def _with_splits(root: Path, frames: int, stride: int) -> list[tuple[str, FrameSequence]]:
    """All videos with the splits that `StoredClips` gives them: by folder, by list, by name, or 'time'."""
    if folders := split_folders(root):
        return [(split, sequence) for split, folder in folders.items() for sequence in find_sequences(folder)]
    sequences = find_sequences(root)
    names = [sequence.name for sequence in sequences]
    if root.is_dir() and listed_split(root, "train", names) is not None:
        listed = {split: {*(listed_split(root, split, names) or ())} for split in SPLITS}
        return [(split, sequence) for split in SPLITS for sequence in sequences if sequence.name in listed[split]]
    held = held_by_name([sequence.name for sequence in sequences if _is_usable(sequence, frames, stride)])
    if not held:
        return [("time", sequence) for sequence in sequences]
    return [("test" if split_of(sequence.name) == "test" else "train", sequence) for sequence in sequences]


def _is_usable(sequence: FrameSequence, frames: int, stride: int) -> bool:
    try:
        return bool(clip_starts(sequence, frames, stride))
    except ValueError:
        return False


def _frames(sequence: FrameSequence, name: str, size: int, allow_small: bool) -> Iterator[tuple[str, bytes]]:
    if sequence.side < size and not allow_small:
        raise ValueError(f"{sequence.side} pixels on its shorter side, wanted {size}")
    side = min(size, sequence.side)
    for start in range(0, sequence.length, CHUNK):
        first = max(0, start - 1)  # one of those before, so that frames of several sizes are noticed
        frames = sequence.read(range(first, min(start + CHUNK, sequence.length)), side)
        for position, frame in enumerate(frames[start - first :], start):
            yield f"{name}/frame{position:05}.png", to_png(frame)
