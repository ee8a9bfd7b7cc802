"""Frames as files: MP4 by PyAV, and GIF, which every viewer plays."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from jaxtyping import UInt8
from torch import Tensor

from ddmi_modalities.files.whole import whole

SLOWEST, FASTEST = 0.01, 1000.0
"""Frames a second."""
BT709, SRGB, LIMITED = 1, 13, 1
"""How H.273 numbers the matrix and the primaries, the transfer function (IEC 61966-2-1) and the range of our files."""
GIF_FASTEST = 50
"""Frames a second: viewers play GIFs that ask for more much slower."""


def keep_log_out_of_python() -> None:
    """FFmpeg's log goes to standard error, wherever PyAV is about to open something.

    Whoever called `av.logging.set_level` (torchvision does) has its lines sent to Python from FFmpeg's threads,
    which then wait for the interpreter's lock while the thread that holds it waits for them to end.
    """
    import av

    av.logging.set_level(None)


def save_mp4(
    frames: Sequence[UInt8[Tensor, "3 _ _"]] | UInt8[Tensor, "frame 3 _ _"], path: Path, fps: int | float
) -> None:
    """H.264 of high quality (libx264, yuv420p, CRF 15), which every player takes; makes the directory.

    Colours are converted by the matrix of BT.709 and the file says so: players guess it where nobody does.
    Colour is stored for two by two pixels, so an odd number of rows or columns gets one more, a copy of the last.
    The file is there as a whole or not at all.  Raises ValueError for no frames, frames of several sizes, or an fps
    that is not from 0.01 to 1000.
    """
    import av
    import torch.nn.functional as F
    from av.video.reformatter import Colorspace

    _check("save_mp4", frames, path, fps)
    rows, columns = frames[0].shape[-2:]
    keep_log_out_of_python()
    with whole(path) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        stream.height, stream.width, stream.pix_fmt = rows + rows % 2, columns + columns % 2, "yuv420p"
        stream.options = {"crf": "15"}
        context = stream.codec_context
        context.colorspace, context.color_primaries, context.color_trc, context.color_range = (
            BT709,
            BT709,
            SRGB,
            LIMITED,
        )
        for frame in frames:
            if rows % 2 or columns % 2:
                frame = F.pad(frame[None].float(), (0, columns % 2, 0, rows % 2), mode="replicate")[0].to(frame.dtype)
            picture = av.VideoFrame.from_ndarray(frame.permute(1, 2, 0).contiguous().cpu().numpy(), format="rgb24")
            picture = picture.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def save_gif(
    frames: Sequence[UInt8[Tensor, "3 _ _"]] | UInt8[Tensor, "frame 3 _ _"], path: Path, fps: int | float
) -> None:
    """An endless GIF; makes the directory.

    GIFs count hundredths of a second: delays vary by one, so that the whole lasts as long as it should.  Above 50
    frames a second only every second frame is written, or every third, ...  Raises ValueError as `save_mp4` does.
    """
    from PIL import Image

    _check("save_gif", frames, path, fps)
    every = -(-fps // GIF_FASTEST)
    shown = frames[:: int(every)]
    pictures = [Image.fromarray(frame.permute(1, 2, 0).contiguous().cpu().numpy()) for frame in shown]
    ends = [round(100 * (index + 1) * every / fps) for index in range(len(shown))]
    delays = [10 * (end - start) for start, end in zip([0, *ends], ends, strict=False)]
    with whole(path) as temporary:
        pictures[0].save(temporary, format="GIF", save_all=True, append_images=pictures[1:], duration=delays, loop=0)


def check_fps(name: str, fps: int | float) -> None:
    """Raises ValueError unless MP4 and GIF can say so many frames a second."""
    if not SLOWEST <= fps <= FASTEST:
        raise ValueError(f"{name}: fps is a number of frames a second, from {SLOWEST:g} to {FASTEST:g}, got {fps}")


def _check(name: str, frames: Sequence[Tensor] | Tensor, path: Path, fps: int | float) -> None:
    if len(frames) == 0:
        raise ValueError(f"{name}: there are no frames to write to {str(path)!r}")
    check_fps(f"{name}: {str(path)!r}", fps)
    sizes = {tuple(frame.shape[-2:]) for frame in frames}
    if len(sizes) > 1:
        raise ValueError(f"{name}: the frames of {str(path)!r} must be of one size, got {sorted(sizes)}")
