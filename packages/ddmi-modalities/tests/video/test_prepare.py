"""Videos prepared as folders of frames: the same splits and the same pixels as those of the videos themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image

from ddmi_modalities.datasets.preparation import Prepared, prepare
from ddmi_modalities.datasets.splits import SPLITS
from ddmi_modalities.files.pixels import open_picture
from ddmi_modalities.video import VideoModality
from ddmi_modalities.video import prepare as module
from ddmi_modalities.video.prepare import VideoPreparation


def video(file: Path, frames: int, rows: int = 32, columns: int = 48) -> Path:
    """A bright square that goes from left to right, by one pixel a frame."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = columns, rows, "yuv420p"
        for index in range(frames):
            pixels = np.full((rows, columns, 3), 40, np.uint8)
            pixels[8:24, index % 40 : index % 40 + 8] = (250, 200, 90)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return file


def folder(path: Path, frames: int, size: tuple[int, int] = (48, 32)) -> Path:
    path.mkdir(parents=True)
    for number in range(frames):
        Image.new("RGB", size, (number, 100, 50)).save(path / f"shot{number + 7}.png")
    return path


def modality(source: Path, frames: int = 4) -> VideoModality:
    return VideoModality(source=str(source), frames=frames, size=8, target_sizes=(8, 24), target_weights=(0.5, 0.5))


def run(source: Path, out: Path, **settings: Any) -> Prepared:
    plan = VideoPreparation(**settings).plan(modality(source))
    return prepare(plan, out, workers=1)


def by_folders(root: Path) -> Path:
    folder(root / "train" / "one", 9)
    folder(root / "train" / "one" / "nested", 5)
    video(root / "train" / "two.mp4", 10)
    folder(root / "val" / "one", 8)
    return root


def by_names(root: Path) -> Path:
    for number in range(12):
        folder(root / f"{number}", 9)
    return root


def by_time(root: Path) -> Path:
    video(root / "a.mp4", 45)
    folder(root / "b", 9)
    return root


def one_file(root: Path) -> Path:
    return video(root / "a.mp4", 45)


def one_folder(root: Path) -> Path:
    return folder(root / "frames", 30)


@pytest.mark.parametrize("write", [by_folders, by_names, by_time, one_file, one_folder])
def test_splits_and_pixels_are_those_of_the_videos(write: Any, tmp_path: Path) -> None:
    source = write(tmp_path / "in")
    run(source, tmp_path / "out")
    for frames in (4, 7):
        for split in SPLITS:
            true, made = (
                {
                    item.name: item.frames(torch.arange(float(frames)), 24)
                    for item in modality(root, frames).dataset(split)
                }
                for root in (source, tmp_path / "out")
            )
            assert true.keys() == made.keys()
            assert true
            assert all(torch.equal(true[name], made[name]) for name in true)
    names = sorted(file.relative_to(tmp_path / "out").as_posix() for file in (tmp_path / "out").rglob("*.png"))
    assert names[0].endswith("frame00000.png")
    if write is by_folders:
        assert {name.rpartition("/")[0] for name in names} == {
            "train/one",
            "train/one/nested",
            "train/two.mp4",
            "test/one",
        }


def test_long_videos_are_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video(tmp_path / "in" / "a.mp4", 21)
    run(tmp_path / "in", tmp_path / "whole")
    monkeypatch.setattr(module, "CHUNK", 4)
    run(tmp_path / "in", tmp_path / "pieces")
    whole, pieces = (
        {file.relative_to(root): file.read_bytes() for file in sorted(root.rglob("*.png"))}
        for root in (tmp_path / "whole", tmp_path / "pieces")
    )
    assert whole == pieces
    assert len(whole) == 21


def test_videos_that_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]) -> None:
    monkeypatch.setattr(module, "CHUNK", 4)
    root = tmp_path / "in"
    by_folders(root)
    video(root / "train" / "small.mp4", 5, rows=16)
    (root / "train" / "broken.mp4").write_bytes(b"no video")
    mixed = folder(root / "train" / "mixed", 8)
    Image.new("RGB", (40, 32)).save(mixed / "shot11.png")  # the first of the second piece
    cut = folder(root / "train" / "cut", 8)
    (cut / "shot14.png").write_bytes(b"broken")
    done = run(root, tmp_path / "out")
    assert done.left_out["train/small.mp4"] == "16 pixels on its shorter side, wanted 24"
    assert done.left_out["train/broken.mp4"].startswith("cannot read the video 'train/broken.mp4'")
    assert "shot11.png' has 40 x 32 pixels, others of its video 48 x 32" in done.left_out["train/mixed"]
    assert "cannot read the image" in done.left_out["train/cut"]
    assert "left out 4 of 8 videos" in said[0]
    assert len(done.made) == 4
    assert not [file for name in ("mixed", "cut") for file in (tmp_path / "out" / "train" / name).glob("*")]
    small = run(root, tmp_path / "small", allow_small=True)
    assert "train/small.mp4" in small.made
    assert open_picture(tmp_path / "small" / "train" / "small.mp4" / "frame00000.png").size == (16, 16)


def test_messages(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not exist; give a video file or a folder of videos"):
        run(tmp_path / "none", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no videos in '.*empty'; wanted files that end in"):
        run(tmp_path / "empty", tmp_path / "out")
    with pytest.raises(ValueError, match="size counts pixels, got -1"):
        VideoPreparation(size=-1)
