"""Frames written as MP4 and GIF are read back by independent decoders."""

from __future__ import annotations

from pathlib import Path

import av
import pytest
import torch
from PIL import Image, ImageSequence
from torch import Tensor

from ddmi_modalities.files.clips import save_gif, save_mp4
from ddmi_modalities.video.data.video_files import VideoFile


def ramp(count: int, rows: int, columns: int) -> Tensor:
    """Smooth grey frames that get brighter."""
    line = torch.linspace(0, 100, columns)[None, None, None]
    step = torch.arange(count)[:, None, None, None] * 10
    return (line + step).expand(count, 3, rows, columns).to(torch.uint8)


@pytest.mark.parametrize(("rows", "columns"), [(32, 48), (31, 45), (1, 1)])
def test_mp4_is_what_was_written(tmp_path: Path, rows: int, columns: int) -> None:
    frames, path = ramp(5, rows, columns), tmp_path / "new" / "clip.mp4"
    save_mp4(frames, path, 12.5)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt, stream.average_rate) == ("h264", "yuv420p", 12.5)
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    read = torch.stack([torch.from_numpy(frame).permute(2, 0, 1) for frame in decoded])
    assert read.shape == (5, 3, rows + rows % 2, columns + columns % 2)
    assert (read[..., :rows, :columns].float() - frames).abs().mean() < 3
    assert [file.name for file in path.parent.iterdir()] == ["clip.mp4"]


def test_ffmpegs_threads_do_not_wait_for_python(tmp_path: Path) -> None:
    for use in (lambda path: save_mp4(ramp(2, 8, 8), path, 5), lambda path: VideoFile(path, path.name).read([0], 8)):
        av.logging.set_level(av.logging.ERROR)  # as torchvision does when it is imported
        use(tmp_path / "clip.mp4")
        assert av.logging.get_level() is None


def test_gif_lasts_as_long_as_it_should(tmp_path: Path) -> None:
    for fps, count, delays in ((8, 4, [120, 130, 130, 120]), (100, 5, [20, 20, 20]), (10, 1, None)):
        path = tmp_path / f"{fps}.gif"
        save_gif(list(ramp(count, 8, 8)), path, fps)
        with Image.open(path) as gif:
            shown = [
                (frame.info.get("duration"), frame.convert("RGB").getpixel((0, 0)))
                for frame in ImageSequence.Iterator(gif)
            ]
            assert gif.info["loop"] == 0
        if delays is None:
            assert len(shown) == 1
        else:
            assert [delay for delay, _ in shown] == delays
        step = 2 if fps == 100 else 1
        assert [pixel[0] for _, pixel in shown] == [10 * step * i for i in range(len(shown))]


@pytest.mark.parametrize("save", [save_mp4, save_gif])
def test_bad_input_leaves_no_file(tmp_path: Path, save: object) -> None:
    assert callable(save)
    path = tmp_path / "a.mp4"
    with pytest.raises(ValueError, match=r"there are no frames to write to .*a\.mp4"):
        save([], path, 8)
    with pytest.raises(ValueError, match=r"fps is a number of frames a second, from 0.01 to 1000, got 0"):
        save(ramp(2, 4, 4), path, 0)
    with pytest.raises(ValueError, match=r"must be of one size, got \[\(4, 4\), \(4, 6\)\]"):
        save([*ramp(1, 4, 4), *ramp(1, 4, 6)], path, 8)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_file_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"old")
    wrong = torch.zeros(2, 4, 4, 4, dtype=torch.uint8)  # four channels
    with pytest.raises(Exception):  # noqa: B017, PT011
        save_mp4(list(wrong), path, 8)
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]
