"""Video files by PyAV: frames at chosen places, decoded as a stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from av.stream import Disposition
from av.video.reformatter import Colorspace
from jaxtyping import Int, UInt8
from PIL import Image
from torch import Tensor

from ddmi_modalities.files.clips import keep_log_out_of_python
from ddmi_modalities.files.pixels import centre_square, resize_square, square_pixels, to_tensor

STREAMS = frozenset({"mpegts"})
"""Formats without an index, which are entered anywhere; they are read from the beginning."""
HIGH_DYNAMIC_RANGE = frozenset({16, 18})
"""Transfer functions (H.273) that are not for screens like sRGB's: PQ and HLG."""
WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""Decoders of the layer of opacity that WebM files may have, which FFmpeg's own ones leave out."""
REPAIR = "repair it, such as by `ffmpeg -i FILE out.mp4`, or remove it"
SHORT = 1.25
"""A film may last so many times, and a second, longer by its header than its frames do."""
UNSAID = 2
"""H.273: nobody says by which matrix colours were converted."""


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
            stream = _film(container, self.path)
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
            stream = _film(container, self.path)
            aspect = _aspect(stream)
            return min(round(stream.width * max(1.0, aspect)), round(stream.height * max(1.0, 1 / aspect)))

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
                f"{REPAIR}"
            )
        return torch.stack([found[stamp] for stamp in wanted])

    def check(self) -> int:
        """`length`, after all frames were decoded.  Raises ValueError that names the file and where it is damaged."""
        stamps, unit = self._index
        found: set[int] = set()
        with _opened(self.path) as container:
            stream = _film(container, self.path)
            stream.thread_type = "AUTO"
            try:
                for frame in _frames(container, stream):
                    if not found:
                        _pixels(frame, self.path)  # refuses what no frame of the file can be shown of
                    if frame.pts is not None and not frame.is_corrupt:
                        found.add(frame.pts)
            except av.FFmpegError as error:
                at = max(found, default=int(stamps[0]))
                raise ValueError(
                    f"cannot read the video {str(self.path)!r}: {error.strerror} after {float(at * unit):.3f} s; "
                    f"{REPAIR}"
                ) from error
        said, last = self._said_length, float((stamps[-1] - stamps[0]) * unit)
        if said is not None and said > SHORT * last + 1:
            raise ValueError(
                f"cannot read the video {str(self.path)!r}: it ends after {last:.3f} of {said:.3f} s, as half a copy "
                f"does; {REPAIR}"
            )
        missing = sorted({int(stamp) for stamp in stamps} - found)
        if missing:
            raise ValueError(
                f"cannot read the video {str(self.path)!r}: {len(missing)} of {len(stamps)} frames do not decode, the "
                f"first at {float(missing[0] * unit):.3f} s; {REPAIR}"
            )
        return self.length

    @property
    def _said_length(self) -> float | None:
        """Seconds that the film should last, where its header says so."""
        with _opened(self.path) as container:
            stream = _film(container, self.path)
            if stream.duration is not None and stream.time_base is not None:
                return float(stream.duration * stream.time_base)
            if container.duration is None or container.streams.audio:  # which may last longer
                return None
            return float(container.duration / av.time_base)

    def _decoded(self, wanted: Sequence[int], size: int, *, seek: bool) -> dict[int, UInt8[Tensor, "3 size size"]]:
        """Those of the frames with these times that are found from a key frame, or from the beginning."""
        found: dict[int, Tensor] = {}
        with _opened(self.path) as container:
            stream = _film(container, self.path)
            stream.thread_type = "AUTO"
            aspect, seek = _aspect(stream), seek and container.format.name not in STREAMS
            if seek:
                container.seek(min(wanted), stream=stream, backward=True)
            whole = not seek  # what comes before a key frame refers to what was not decoded
            for frame in _frames(container, stream):
                whole = whole or frame.key_frame
                if whole and frame.pts is not None and frame.pts in wanted:
                    square = centre_square(_upright(frame, aspect, self.path))
                    found[frame.pts] = to_tensor(resize_square(square, size))
                if frame.pts is not None and frame.pts >= max(wanted):
                    break
        return found


@contextmanager
def _opened(path: Path) -> Iterator[av.container.InputContainer]:
    """A container; what goes wrong with it is a ValueError that names the file."""
    keep_log_out_of_python()
    try:
        with av.open(str(path)) as container:
            yield container
    except MemoryError:
        raise
    except Exception as error:  # of streams without a decoder even attributes are missing
        if repr(str(path)) in str(error) and not isinstance(error, av.FFmpegError | OSError):
            raise
        reason = (error.strerror if isinstance(error, av.FFmpegError | OSError) else None) or error
        raise ValueError(f"cannot read the video {str(path)!r}: {reason}; {REPAIR}") from error


def _film(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    """The largest stream of pictures that is not the cover."""
    films = [one for one in container.streams.video if not one.disposition & Disposition.attached_pic]
    if any(one.codec_context is None for one in films):
        raise ValueError(f"cannot read the video {str(path)!r}: there is no decoder for its pictures; {REPAIR}")
    if not films:
        kinds = ", ".join(sorted({one.type for one in container.streams})) or "nothing"
        what = "only a cover" if container.streams.video else f"only {kinds}"
        raise ValueError(f"cannot read the video {str(path)!r}: it has no pictures, {what}")
    return max(films, key=lambda one: (one.width or 0) * (one.height or 0))


def _frames(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
    """Frames from where the container stands."""
    decoder = WITH_ALPHA.get(stream.codec_context.codec.canonical_name)
    if decoder is None or stream.metadata.get("alpha_mode") != "1":
        yield from container.decode(stream)
        return
    context: Any = av.CodecContext.create(decoder, "r")
    for packet in container.demux(stream):
        yield from context.decode(packet)


def _aspect(stream: av.VideoStream) -> float:
    """Of a pixel: its width by its height."""
    return float(stream.sample_aspect_ratio or 1)


def _upright(frame: av.VideoFrame, aspect: float, path: Path) -> Image.Image:
    """The picture as a player shows it: cameras note how they were held, and how wide their pixels are."""
    if frame.rotation % 90:
        raise ValueError(
            f"the video {str(path)!r} is to be turned by {frame.rotation} degrees; only quarter turns can be"
        )
    shown = np.asarray(square_pixels(Image.fromarray(_pixels(frame, path)), aspect))
    return Image.fromarray(np.rot90(shown, frame.rotation // 90).copy())


def _pixels(frame: av.VideoFrame, path: Path) -> UInt8[np.ndarray, "rows columns 3"]:
    """RGB on white, by the matrix that the file names; where it names none by the usual one of its size."""
    if frame.color_trc in HIGH_DYNAMIC_RANGE:
        raise ValueError(
            f"cannot read the video {str(path)!r}: it is of high dynamic range, whose colours no sRGB picture has; "
            "map its tones first, such as by ffmpeg's filters zscale and tonemap"
        )
    large = frame.width >= 1280 or frame.height > 576
    matrix = Colorspace.ITU709 if frame.colorspace == UNSAID and large else None
    transparent = any(component.is_alpha for component in frame.format.components)
    pixels = frame.to_ndarray(format="rgba" if transparent else "rgb24", src_colorspace=matrix)
    if not transparent:
        return pixels
    opacity = pixels[..., 3:].astype(np.uint16)
    return ((pixels[..., :3] * opacity + 255 * (255 - opacity) + 127) // 255).astype(np.uint8)
