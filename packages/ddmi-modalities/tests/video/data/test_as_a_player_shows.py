"""What comes of a video is what a player shows: square pixels, the film, white behind it; damage is found at once."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from av.stream import Disposition
from PIL import Image

from ddmi_modalities.files.clips import save_mp4
from ddmi_modalities.video import StoredClips
from ddmi_modalities.video.data.video_files import VideoFile


def written(
    path: Path, picture: np.ndarray, codec: str, pix: str, *, count: int = 8, prepare: Callable[[Any], object] = id,
    **options: str,
) -> Path:  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.height, stream.width, stream.pix_fmt = *picture.shape[:2], pix
        stream.options = options
        prepare(stream)
        for _ in range(count):
            frame = av.VideoFrame.from_ndarray(picture, format="rgba" if picture.shape[2] == 4 else "rgb24")
            container.mux(stream.encode(frame.reformat(format=pix)))
        container.mux(stream.encode())
    return path


def disc(rows: int, columns: int, wide: float) -> np.ndarray:
    """White on black, a circle where pixels are `wide` times as wide as high."""
    y, x = np.mgrid[:rows, :columns]
    inside = ((x - columns / 2) * wide) ** 2 + (y - rows / 2) ** 2 < (rows / 4) ** 2
    return np.repeat(inside[..., None], 3, axis=2).astype(np.uint8) * 255


@pytest.mark.parametrize("aspect", [Fraction(16, 15), Fraction(2), Fraction(8, 9), Fraction(1, 2)])
def test_a_circle_is_a_circle(tmp_path: Path, aspect: Fraction) -> None:
    def anamorphic(stream: Any) -> None:
        stream.codec_context.sample_aspect_ratio = aspect

    picture = disc(64, 96, float(aspect))
    file = VideoFile(written(tmp_path / "a.mp4", picture, "libx264", "yuv420p", prepare=anamorphic, crf="3"), "a")
    assert file.side == min(round(96 * max(1, float(aspect))), round(64 * max(1, 1 / float(aspect))))
    seen = file.read([3], 64)[0, 0] > 128
    assert seen.any(0).sum() == pytest.approx(seen.any(1).sum(), abs=2)


def test_the_film_and_not_the_cover(tmp_path: Path) -> None:
    """A file whose first stream of pictures is a large cover."""
    cover, film = np.full((64, 64, 3), (0, 0, 250), np.uint8), np.full((32, 48, 3), 100, np.uint8)
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        streams = []
        for picture, codec, pix in ((cover, "mjpeg", "yuvj420p"), (film, "libx264", "yuv420p")):
            stream = container.add_stream(codec, rate=10)
            stream.height, stream.width, stream.pix_fmt = *picture.shape[:2], pix
            streams.append(stream)
        streams[0].disposition = Disposition.attached_pic
        for number, (picture, stream) in enumerate(zip((cover, film), streams, strict=True)):
            for _ in range(1 if number == 0 else 12):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode())
    file = VideoFile(path, "a")
    assert (file.check(), file.side) == (12, 32)
    assert file.read([5], 8).float().mean() == pytest.approx(100, abs=3)


@pytest.mark.parametrize(("ending", "codec", "pix"), [
    ("mov", "png", "rgba"), ("mov", "qtrle", "argb"), ("mov", "prores_ks", "yuva444p10le"),
    ("webm", "libvpx-vp9", "yuva420p"),
])  # fmt: skip
def test_what_is_transparent_is_white(tmp_path: Path, ending: str, codec: str, pix: str) -> None:
    picture = np.full((64, 64, 4), (200, 30, 30, 0), np.uint8)
    picture[:, 32:, 3] = 255
    frame = VideoFile(written(tmp_path / f"a.{ending}", picture, codec, pix), "a").read([4], 64)[0]
    assert (frame[:, :, :24] > 250).all()
    assert (frame[:, :, 40:].float().mean((1, 2)) - torch.tensor([200.0, 30, 30])).abs().max() < 6


def test_colours_by_the_matrix_that_the_file_names(tmp_path: Path) -> None:
    red = torch.zeros(3, 64, 64, dtype=torch.uint8)
    red[0], red[1] = 220, 40
    save_mp4([red] * 3, tmp_path / "a.mp4", 10)
    with av.open(str(tmp_path / "a.mp4")) as container:
        frame = next(container.decode(video=0))
        assert (frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range) == (1, 1, 13, 1)
        luma = frame.to_ndarray()[:64].mean()
    assert luma == pytest.approx(16 + 219 * (0.2126 * 220 + 0.7152 * 40) / 255, abs=1.5), "Y' of BT.709, by hand"
    assert (VideoFile(tmp_path / "a.mp4", "a").read([1], 64)[0].float() - red).abs().max() < 5


def test_high_dynamic_range_is_refused(tmp_path: Path) -> None:
    def hdr(stream: Any) -> None:
        stream.codec_context.color_trc = 16

    file = written(tmp_path / "a.mp4", disc(64, 64, 1), "libx264", "yuv420p", prepare=hdr)
    with pytest.raises(ValueError, match=r"a\.mp4': it is of high dynamic range, .*; map its tones first"):
        VideoFile(file, "a").check()


def test_only_sound_is_no_video(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 2048), np.float32), format="fltp", layout="mono")
        frame.rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(ValueError, match=r"a\.mp4': it has no pictures, only audio"):
        VideoFile(tmp_path / "a.mp4", "a").check()


def holed(path: Path) -> Path:
    """Noise, in the middle of which a tenth of the file is zero."""
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    content = bytearray(
        written(path, noise, "libx264", "yuv420p", count=60, crf="8", movflags="faststart").read_bytes()
    )
    middle, hole = len(content) // 2, len(content) // 10
    content[middle : middle + hole] = bytes(hole)
    path.write_bytes(content)
    return path


def test_damage_is_found_before_training_and_remembered(tmp_path: Path, said: list[str]) -> None:
    root, cache = tmp_path / "data", tmp_path / "cache"
    for split in ("train", "test"):
        written(root / split / "sound.mp4", disc(64, 64, 1), "libx264", "yuv420p", count=20)
        holed(root / split / "hole.mp4")
        for number in range(9):
            frame = root / split / "frames" / f"{number}.png"
            frame.parent.mkdir(exist_ok=True)
            Image.new("RGB", (32, 32)).save(frame)
        frame.write_bytes(frame.read_bytes()[:40])
    clips = StoredClips(root, "train", frames=4, cache=cache)
    assert {sequence.name for sequence, _ in clips.clips} == {"sound.mp4"}
    assert sorted(clips.skipped) == ["frames", "hole.mp4"]
    assert "8.png" in clips.skipped["frames"]
    assert "repair it, such as by `ffmpeg" in clips.skipped["hole.mp4"]
    assert any("left out 2 of 3 videos" in one for one in said)
    for index in range(len(clips)):
        clips[index].frames(torch.arange(4.0), 16)
    before = {path: path.read_bytes() for path in (cache / "checked").iterdir()}
    StoredClips(root, "train", frames=4, cache=cache)
    assert {path: path.read_bytes() for path in (cache / "checked").iterdir()} == before


def test_videos_by_lists(tmp_path: Path) -> None:
    for name in "abc":
        written(tmp_path / f"{name}.mp4", disc(32, 32, 1), "libx264", "yuv420p", count=6)
    (tmp_path / "train.txt").write_text("a\nc.mp4\n")
    (tmp_path / "val.txt").write_text("b.mp4\n")
    names = {
        split: {clip.name for clip in StoredClips(tmp_path, split, frames=6, cache=tmp_path)}  # type: ignore[arg-type, attr-defined]
        for split in ("train", "test")
    }
    assert names == {"train": {"a.mp4@0", "c.mp4@0"}, "test": {"b.mp4@0"}}


def test_half_a_copy_is_no_video(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    content = written(tmp_path / "a.mkv", noise, "libx264", "yuv420p", count=60, crf="8", g="5").read_bytes()
    assert VideoFile(tmp_path / "a.mkv", "a").check() == 60
    (tmp_path / "a.mkv").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"a\.mkv': it ends after [\d.]+ of 6\.\d+ s, as half a copy does; repair it"):
        VideoFile(tmp_path / "a.mkv", "a").check()
