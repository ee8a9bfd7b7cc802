"""Exploring videos: any number of frames of any size, and clips to take away."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ddmi_fields import ImplicitFunction
from ddmi_modalities.exploration import Asked, Content, Exploration
from ddmi_modalities.files.pixels import to_picture
from ddmi_modalities.video.modality import VideoModality
from ddmi_modalities.video.view import VideoRenderOptions

AHEAD = 96
"""Pixels a side of the frames that a page without a server has."""
BETWEEN = 2
"""Frames that it has for each one of the training data."""
TOGETHER = 32
"""Of them in a strip."""


@dataclass(frozen=True, kw_only=True)
class Strip:
    """Frames side by side: numbers `first` to `first + count` of the clip that is read out at `frames` times."""

    frames: int = 16
    first: int = 0
    count: int = 1
    size: int = 64
    """Pixels a side of each."""

    def __post_init__(self) -> None:
        if not (1 <= self.frames <= 1024 and self.first >= 0 and 1 <= self.count <= 64):
            raise ValueError(
                "strip: frames are from 1 to 1024, first from 0 and count from 1 to 64, got "
                f"{self.frames}, {self.first} and {self.count}"
            )
        if self.first + self.count > self.frames or not 8 <= self.size <= 512:
            raise ValueError(
                f"strip: {self.count} frames from number {self.first} are not among {self.frames}, or their size "
                f"{self.size} is not from 8 to 512"
            )

    def answer(self, modality: VideoModality, function: ImplicitFunction) -> Content:
        times = (torch.arange(self.first, self.first + self.count) + 0.5) * (modality.frames / self.frames) - 0.5
        (frames,) = modality.frames_at(function, times, self.size)
        return Content.picture(to_picture(torch.cat(list(frames), dim=-1)), "webp")


@dataclass(frozen=True, kw_only=True)
class Clip:
    """The whole clip as MP4 or GIF."""

    frames: int = 32
    fps: int | float = 16.0
    size: int = 128
    """Pixels a side."""
    gif: bool = False

    def __post_init__(self) -> None:
        if not (1 <= self.frames <= 1024 and 8 <= self.size <= 512):
            raise ValueError(
                f"clip: frames are from 1 to 1024 and size from 8 to 512, got {self.frames} and {self.size}"
            )
        VideoRenderOptions(frames=self.frames, fps=self.fps, resolution=self.size)

    def answer(self, modality: VideoModality, function: ImplicitFunction) -> Content:
        made = modality.render(function, VideoRenderOptions(frames=self.frames, fps=self.fps, resolution=self.size))
        with tempfile.TemporaryDirectory() as folder:
            (path,) = made.save(Path(folder))
            chosen = path.with_suffix(".gif") if self.gif else path
            return Content(chosen.read_bytes(), "image/gif" if self.gif else "video/mp4")


def facts(modality: VideoModality) -> dict[str, Any]:
    return {
        "frames": modality.frames,
        "between": BETWEEN,
        "ahead": AHEAD,
        "together": TOGETHER,
        "native": modality.size,
    }


def ahead(modality: VideoModality) -> list[Asked]:
    frames = BETWEEN * modality.frames
    starts = range(0, frames, TOGETHER)
    return [
        Asked("strip", {"frames": frames, "first": first, "count": min(TOGETHER, frames - first), "size": AHEAD})
        for first in starts
    ]


EXPLORATION = Exploration(
    questions={"strip": Strip, "clip": Clip},
    script="ddmi_modalities.video:explore.js",
    view="video",
    picture=Asked("clip", {"frames": 16, "fps": 8, "size": 96, "gif": True}),
    downloads={".mp4": Asked("clip"), ".gif": Asked("clip", {"gif": True})},
    facts=facts,
    ahead=ahead,
)
