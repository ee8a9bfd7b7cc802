"""How a person wants a clip rendered, and the clips."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor

from ddmi_modalities.area_grid import TOLERANCE, check_tolerance
from ddmi_modalities.files.clips import FASTEST, SLOWEST, check_fps, save_gif, save_mp4
from ddmi_modalities.files.whole import save_picture

STRIP, SHEET_STRIP = 16, 8
"""Frames of the strip beside a clip, and of a line of a sheet, at most; they are spread over the clip."""


@dataclass(frozen=True, kw_only=True)
class VideoRenderOptions:
    """Any number of frames of any size from the same function.

    The frames always span the whole clip: `frames` 32 of a model of 16 shows the same time in steps half as long.
    How long the clip plays is frames / fps.
    """

    frames: int | None = None
    """How many; by default seconds x fps where both are given, else as many as the model was trained on."""
    fps: int | float | None = None
    """Frames a second of playback; by default those of the clip that is `seconds` long, else 8."""
    seconds: float | None = None
    """How long the clip lasts, where that is known; `fps` then decides how many frames are made."""
    resolution: int | tuple[int, int] = 64
    """Pixels of a frame: one number for a square, or (rows, columns)."""
    tolerance: float | None = TOLERANCE
    """By which colours, in [-1, 1], may be off where frames are much finer than the planes; None: every pixel is read
    out."""

    def __post_init__(self) -> None:
        check_tolerance("VideoRenderOptions", self.tolerance)
        if self.frames is not None and self.frames < 1:
            raise ValueError(f"VideoRenderOptions: frames counts from 1, got {self.frames}")
        if self.fps is not None:
            check_fps("VideoRenderOptions", self.fps)
        if self.seconds is not None and not self.seconds > 0:
            raise ValueError(f"VideoRenderOptions: seconds is the positive length of the clip, got {self.seconds}")
        if self.frames is not None and self.seconds is not None:
            raise ValueError(
                f"VideoRenderOptions: {self.frames} frames and {self.seconds} seconds; give frames or seconds"
            )
        if min(self.size) < 1:
            raise ValueError(f"VideoRenderOptions: the resolution must be positive, got {self.resolution}")

    @property
    def size(self) -> tuple[int, int]:
        """(rows, columns) of a frame."""
        return (self.resolution, self.resolution) if isinstance(self.resolution, int) else self.resolution

    def count(self, native: int) -> int:
        """How many frames of a model that was trained on `native`."""
        if self.seconds is not None and self.fps is not None:
            return max(1, round(self.seconds * self.fps))
        return self.frames or native

    def rate(self, native: int) -> int | float:
        """Frames a second of playback, of a model that was trained on `native` frames."""
        if self.fps is not None:
            return self.fps
        return min(max(self.count(native) / self.seconds, SLOWEST), FASTEST) if self.seconds is not None else 8.0


@dataclass(frozen=True, eq=False)
class VideoRendering:
    """A batch of clips."""

    clips: UInt8[Tensor, "batch frame 3 rows columns"]
    fps: int | float = 8.0

    def __len__(self) -> int:
        return len(self.clips)

    def save(self, directory: Path, start: int = 0) -> list[Path]:
        """Writes 000.mp4, 001.mp4, ... (from `start`) into the directory, which is made; returns their paths.

        Beside each come 000.gif and 000.png, a strip of frames.
        """
        from ddmi_modalities.files.sheets import contact_sheet

        paths = [directory / f"{start + index:03d}.mp4" for index in range(len(self))]
        for path, clip in zip(paths, self.clips, strict=True):
            save_mp4(clip, path, self.fps)
            save_gif(clip, path.with_suffix(".gif"), self.fps)
            strip = _picked(clip, STRIP)
            save_picture(contact_sheet(strip, columns=len(strip)), path.with_suffix(".png"))
        return paths

    def save_sheet(self, path: Path) -> None:
        """Writes one picture: a line of frames for each clip, at most 96 pixels a frame."""
        from ddmi_modalities.files.sheets import contact_sheet

        lines = [_picked(clip, SHEET_STRIP) for clip in self.clips]
        size = min(96, max(self.clips.shape[-2:]))
        save_picture(contact_sheet(torch.cat(lines), columns=len(lines[0]), tile=size), path)


def _picked(clip: UInt8[Tensor, "frame 3 rows columns"], most: int) -> UInt8[Tensor, "_ 3 rows columns"]:
    """At most `most` frames, evenly spaced, the first and the last among them."""
    return clip if len(clip) <= most else clip[torch.linspace(0, len(clip) - 1, most).round().long()]
