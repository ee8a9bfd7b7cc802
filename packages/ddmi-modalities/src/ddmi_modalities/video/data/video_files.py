"""Video files by PyAV: frames at chosen places, decoded as a stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import av
import numpy as np
import torch
from jaxtyping import Int, UInt8
from PIL import Image
from torch import Tensor

from ddmi_modalities.files.clips import keep_log_out_of_python
from ddmi_modalities.files.pixels import centre_square, resize_square, to_tensor

SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts"})
STREAMS = frozenset({"mpegts"})
"""Formats without an index, which are entered anywhere; they are read from the beginning."""


@dataclass(frozen=True)
class VideoFile:
    """The frames of a file at equal steps of time.

    Where the rate varies, position k is the frame whose presentation time is nearest to k of the usual intervals.
    """

    path: Path
    name: str

    @cached_property
    def _index(self) -> tuple[Int[np.ndarray, " frame"], Fraction]:
        """Presentation times of all frames, in order, in units of so many seconds.  Packets are read, none decoded."""
        with _opened(self.path) as container:
            stream = container.streams.video[0]
            stamps = [packet.pts for packet in container.demux(stream) if packet.size and not packet.is_discard]
            if not stamps or stream.time_base is None:
                raise ValueError(f"cannot read the video {str(self.path)!r}: it has no frames")
            if None in stamps:
                raise ValueError(
                    f"cannot read the video {str(self.path)!r}: frames without presentation times; "
                    "convert it, such as by `ffmpeg -i FILE out.mp4`"
                )
            times = np.array(stamps, dtype=np.int64)
            # AVI keeps the order of decoding only; frames that refer to later ones are shown in another.
            shuffled = stream.codec_context.has_b_frames and (np.diff(times) > 0).all()
            # MPEG program streams have times of packets, in which several frames may begin.
            if container.format.name == "mpeg" or (container.format.name == "avi" and shuffled):
                raise ValueError(
                    f"cannot read the video {str(self.path)!r}: its format does not say when each frame is shown; "
                    "convert it, such as by `ffmpeg -i FILE out.mp4`"
                )
            unit = stream.time_base
            return np.unique(times), Fraction(unit.numerator, unit.denominator)

    @cached_property
    def _places(self) -> Int[np.ndarray, " position"]:
        """The presentation time of each position."""
        stamps, _ = self._index
        if len(stamps) == 1:
            return stamps
        usual = float(np.median(np.diff(stamps)))
        wanted = stamps[0] + usual * np.arange(round((stamps[-1] - stamps[0]) / usual) + 1)
        after = np.searchsorted(stamps, wanted).clip(1, len(stamps) - 1)
        nearer = wanted - stamps[after - 1] <= stamps[after] - wanted
        places: Int[np.ndarray, " position"] = np.where(nearer, stamps[after - 1], stamps[after])
        return places

    @property
    def length(self) -> int:
        """Positions."""
        return len(self._places)

    @property
    def side(self) -> int:
        """Pixels of a frame's shorter side."""
        with _opened(self.path) as container:
            stream = container.streams.video[0]
            return min(stream.width, stream.height)

    @property
    def interval(self) -> float | None:
        """Seconds between two positions; None of a single frame."""
        stamps, unit = self._index
        return float(np.median(np.diff(stamps)) * unit) if len(stamps) > 1 else None

    def read(self, positions: Sequence[int], size: int) -> UInt8[Tensor, "frame 3 size size"]:
        """The centred squares of these frames at `size`, upright.

        Decodes from the key frame before the first (of `STREAMS` from the beginning) to the last of them, and
        holds one whole frame at a time.
        Raises ValueError that names the file and the time when a frame cannot be had.
        """
        wanted = [int(self._places[position]) for position in positions]
        _, unit = self._index
        found = self._decoded(wanted, size, seek=True)
        missing = sorted(set(wanted) - set(found))
        if missing:
            found |= self._decoded(missing, size, seek=False)
            missing = sorted(set(wanted) - set(found))
        if missing:
            raise ValueError(
                f"cannot read the video {str(self.path)!r}: no frame decoded at {float(missing[0] * unit):.3f} s; "
                "repair it, such as by `ffmpeg -i FILE out.mp4`, or remove it"
            )
        return torch.stack([found[stamp] for stamp in wanted])

    def _decoded(self, wanted: Sequence[int], size: int, *, seek: bool) -> dict[int, UInt8[Tensor, "3 size size"]]:
        """Those of the frames with these times that are found from a key frame, or from the beginning."""
        found: dict[int, Tensor] = {}
        with _opened(self.path) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            seek = seek and container.format.name not in STREAMS
            try:
                if seek:
                    container.seek(min(wanted), stream=stream, backward=True)
                whole = not seek  # what comes before a key frame refers to what was not decoded
                for frame in container.decode(stream):
                    whole = whole or frame.key_frame
                    if whole and frame.pts is not None and frame.pts in wanted:
                        found[frame.pts] = to_tensor(resize_square(centre_square(_upright(frame, self.path)), size))
                    if frame.pts is not None and frame.pts >= max(wanted):
                        break
            except av.FFmpegError as error:
                raise ValueError(f"cannot read the video {str(self.path)!r}: {error.strerror}") from error
        return found


def _opened(path: Path) -> av.container.InputContainer:
    keep_log_out_of_python()
    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError) as error:
        raise ValueError(f"cannot read the video {str(path)!r}: {error.strerror}") from error
    if not container.streams.video:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        container.close()
        raise ValueError(f"cannot read the video {str(path)!r}: it has no pictures, only {kinds}")
    return container


def _upright(frame: av.VideoFrame, path: Path) -> Image.Image:
    """The picture as a player shows it: cameras note how they were held."""
    if frame.rotation % 90:
        raise ValueError(
            f"the video {str(path)!r} is to be turned by {frame.rotation} degrees; only quarter turns can be"
        )
    return Image.fromarray(np.rot90(_pixels(frame), frame.rotation // 90).copy())


def _pixels(frame: av.VideoFrame) -> UInt8[np.ndarray, "rows columns 3"]:
    return frame.to_ndarray(format="rgb24")
