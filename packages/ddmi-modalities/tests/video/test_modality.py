"""The modality's batches compare a function with the truth at the right places and times."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest
import torch
from PIL import Image
from torch import Tensor

from ddmi_fields import BasisField, ImplicitFunction, PlaneLayout, ReadOut, cell_centres
from ddmi_modalities.grid_query import GridQuery
from ddmi_modalities.modality import Modality, Rendering
from ddmi_modalities.video import (
    ClipItem,
    VideoModality,
    VideoRendering,
    VideoRenderOptions,
    field_time,
)

from .data.test_stored_clips import shades, write_video


class Coordinates(ReadOut):
    """Returns the coordinate it is given: (x, y, t)."""

    def forward(self, embeddings: list[Tensor], coords: Tensor, condition: Tensor | float | None = None) -> Tensor:
        return coords


def coordinate_function(batch: int = 1) -> ImplicitFunction:
    layout = PlaneLayout.video()
    return ImplicitFunction(BasisField(layout, [[torch.zeros(batch, 1, 2, 2) for _ in layout.planes]]), Coordinates())


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rasters")


def modality(cache: Path, **options: Any) -> VideoModality:
    return VideoModality(
        **{
            "frames": 8,
            "size": 16,
            "items": 12,
            "cache": cache,
            "target_sizes": (16, 32),
            "target_weights": (0.5, 0.5),
            "num_queries": 50,
            **options,
        }
    )


def test_frames_sit_at_the_centres_of_their_cells() -> None:
    assert torch.equal(field_time(torch.arange(8.0), 8), cell_centres(8))


def test_points_are_true_at_their_times(cache: Path, randomness: Callable[..., Any]) -> None:
    video = modality(cache)
    assert isinstance(video.layout, PlaneLayout)
    items = [video.dataset("train")[i] for i in range(3)]
    sizes = set()
    for step in range(6):
        batch = video.collate(items, randomness(3, step))
        (clips,) = batch.inputs
        assert clips.shape == (3, 3, 8, 16, 16)
        assert batch.query.coords.shape == (3, 50, 3)
        assert batch.target.shape == (3, 50, 3)
        size = round(16 / batch.query.condition[0].item())
        sizes.add(size)
        x, y, t = batch.query.coords[1, 7].tolist()
        time = (t * 8 + 8 - 1) / 2
        assert -0.5 <= time <= 7.5
        frame = items[1].frames(torch.tensor([time]), size)[0].float() / 127.5 - 1
        column, row = (round(((place + 1) * size - 1) / 2) for place in (x, y))
        assert (frame[:, row, column] - batch.target[1, 7]).abs().max() < 0.02
    assert sizes == {16, 32}


def test_a_batch_depends_on_its_positions_only(cache: Path, randomness: Callable[..., Any]) -> None:
    video = modality(cache)
    items = [video.dataset("train")[i] for i in range(4)]
    whole = video.collate(items, randomness(4))
    part = video.collate(items[2:], randomness([2, 3]))
    assert torch.equal(whole.target[2:], part.target)
    assert torch.equal(whole.query.coords[2:], part.query.coords)


@pytest.mark.parametrize("size", [16, 32])
def test_windows_are_pieces_of_consecutive_frames(cache: Path, randomness: Callable[..., Any], size: int) -> None:
    video = modality(cache, num_queries=0, shown=3, crop=16, target_sizes=(size,), target_weights=(1.0,))
    items = [video.dataset("train")[i] for i in range(2)]
    batch = video.collate(items, randomness(2))
    assert batch.query.window == (3, 16, 16)
    pictures = batch.query.pictures(batch.target)
    assert pictures.shape == (6, 3, 16, 16)
    clip = batch.target.reshape(2, 3, 16, 16, 3)  # item, frame, row, column, channel
    assert torch.equal(pictures[4].permute(1, 2, 0), clip[1, 1])
    places = batch.query.coords.reshape(2, 3, 16, 16, 3)  # (x, y, t) of each pixel
    times = (places[1, :, 0, 0, 2] * 8 + 7) / 2
    assert times.diff().tolist() == pytest.approx([1.0, 1.0], abs=1e-5)
    assert times.min() >= 0
    assert times.max() <= 7
    column, row = (round(((places[1, 0, 0, 0, axis].item() + 1) * size - 1) / 2) for axis in (0, 1))
    frames = items[1].frames(times, size)[..., row : row + 16, column : column + 16].float() / 127.5 - 1
    assert (frames.permute(0, 2, 3, 1) - clip[1]).abs().max() < 0.02


@pytest.mark.parametrize("points", [0, 200])
def test_flip_mirrors_input_and_target_together(cache: Path, randomness: Callable[..., Any], points: int) -> None:
    options = {"num_queries": points, "crop": 12, "target_sizes": (16,), "target_weights": (1.0,)}
    items = [modality(cache).dataset("train")[i] for i in range(12)]
    as_they_are, flipped = (
        modality(cache, flip=flip, **options).collate(items, randomness(12)) for flip in (False, True)
    )
    mirrored = []
    for plain, clip, values, at in zip(
        as_they_are.inputs[0], flipped.inputs[0], flipped.target, flipped.query.coords.expand(12, -1, -1), strict=True
    ):
        mirrored.append(torch.equal(clip, plain.flip(-1)))
        assert mirrored[-1] or torch.equal(clip, plain)
        # the nearest frame of what the encoder sees is nearly the truth at the point
        pixel = (((at[:, :2] + 1) * 16 - 1) / 2).round().long()
        frame = ((at[:, 2] * 8 + 7) / 2).round().long().clamp(0, 7)
        near, far = (
            (one[:, frame, pixel[:, 1], pixel[:, 0]].T - values).abs().mean().item() for one in (clip, clip.flip(-1))
        )
        assert near < 0.1
        assert near < far / 2
    assert 0 < sum(mirrored) < 12


def test_stored_clips_are_asked_for_their_own_frames(tmp_path: Path, randomness: Callable[..., Any]) -> None:
    path = write_video(tmp_path / "a.mp4", [4 * i for i in range(60)])
    for options in ({"num_queries": 40}, {"num_queries": 0, "shown": 2, "crop": 16}):
        video = VideoModality(source=str(path), frames=8, size=16, target_sizes=(16,), target_weights=(1.0,), **options)
        items = [video.dataset("train")[i] for i in range(2)]
        batch = video.collate(items, randomness(2))
        times = (batch.query.coords[..., 2] * 8 + 7) / 2
        assert (times - times.round()).abs().max() < 1e-4
        assert len(times.round().unique()) > 1
    with pytest.raises(ValueError, match="stored clips have 8 frames and none between; 16 have no true frames"):
        video.truth(items, VideoRenderOptions(frames=16, resolution=16))
    assert shades(video.truth(items, VideoRenderOptions(resolution=16)).clips[1]) == list(range(8, 16))


def test_read_and_view_of_a_file(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [4 * i for i in range(60)])
    video = VideoModality(frames=8, size=16, stride=2)
    (clip,) = video.read(path)
    assert clip.shape == (1, 3, 8, 16, 16)
    assert shades((clip[0].transpose(0, 1) + 1) * 127.5) == list(range(0, 16, 2))
    options = video.options_of(path, VideoRenderOptions(fps=60))
    assert options.seconds == pytest.approx(8 * 2 * 0.04)
    assert options.count(8) == 38  # the file's own duration, at 60 frames a second
    assert video.options_of(path, VideoRenderOptions(frames=5)).count(8) == 5


def test_rendering_spans_the_clip(cache: Path) -> None:
    video = modality(cache)
    made = video.render(coordinate_function(2), VideoRenderOptions(frames=4, resolution=(3, 5)))
    assert isinstance(made, Rendering)
    assert made.clips.shape == (2, 4, 3, 3, 5)
    shown = made.clips[1].float() / 127.5 - 1
    assert shown[0, 0, 0].tolist() == pytest.approx(cell_centres(5).tolist(), abs=0.01)
    assert shown[0, 1, :, 0].tolist() == pytest.approx(cell_centres(3).tolist(), abs=0.01)
    assert shown[:, 2, 0, 0].tolist() == pytest.approx(cell_centres(4).tolist(), abs=0.01)
    assert video.render(coordinate_function(), VideoRenderOptions(resolution=2)).clips.shape[1] == 8
    between = video.frames_at(coordinate_function(2), torch.tensor([0.0, 3.5]), 4)
    assert between.shape == (2, 2, 3, 4, 4)
    assert between[0, :, 2, 0, 0].tolist() == [pytest.approx((t + 1) * 127.5, abs=0.6) for t in (1 / 8 - 1, 0.0)]


def test_truth_is_at_the_times_of_the_view(cache: Path) -> None:
    video = modality(cache)
    items = [video.dataset("test")[i] for i in range(2)]
    fast = video.truth(items, VideoRenderOptions(frames=16, resolution=16)).clips
    wanted = items[1].frames(torch.tensor([-0.25, 0.25, 7.25]), 16)
    assert torch.equal(fast[1, [0, 1, 15]], wanted)
    with pytest.raises(ValueError, match="the data are square clips; 4 x 6 has no true frames"):
        video.truth(items, VideoRenderOptions(resolution=(4, 6)))


def test_saved_clips(tmp_path: Path) -> None:
    clips = torch.randint(256, (2, 20, 3, 12, 10), dtype=torch.uint8)
    made = VideoRendering(clips, fps=10)
    paths = made.save(tmp_path / "new", start=3)
    assert [path.name for path in paths] == ["003.mp4", "004.mp4"]
    assert {path.name for path in (tmp_path / "new").iterdir()} == {
        f"00{i}.{kind}" for i in (3, 4) for kind in ("mp4", "gif", "png")
    }
    with av.open(str(paths[1])) as container:
        assert sum(1 for _ in container.decode(video=0)) == 20
    with Image.open(tmp_path / "new" / "003.png") as strip:
        assert strip.width > 16 * 10
        assert strip.height < 2 * 12
    made.save_sheet(tmp_path / "sheets" / "a.png")
    with Image.open(tmp_path / "sheets" / "a.png") as sheet:
        assert sheet.width > 8 * 10


def test_it_is_a_modality() -> None:
    video: Modality[ClipItem, GridQuery, VideoRenderOptions, VideoRendering] = VideoModality()
    assert video.RenderOptions is VideoRenderOptions
    assert video.layout == PlaneLayout.video()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frames": 0}, "count from 1, got 0"),
        ({"num_queries": -1}, "num_queries must not be negative, got -1; 0 compares windows"),
        ({"shown": 20}, "20 frames cannot be shown of clips of 16"),
        ({"target_sizes": (32, 64)}, r"2 target_sizes \(32, 64\) and 1 target_weights"),
        ({"target_weights": (0.0,)}, "must not be negative, and one must be positive"),
    ],
)
def test_messages(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VideoModality(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frames": 0}, "frames counts from 1, got 0"),
        ({"fps": 0.0}, "fps is a number of frames a second, from 0.01 to 1000, got 0"),
        ({"fps": float("inf")}, "fps is a number of frames a second, .* got inf"),
        ({"fps": float("nan")}, "fps is a number of frames a second, .* got nan"),
        ({"seconds": -1.0}, "seconds is the positive length of the clip"),
        ({"frames": 3, "seconds": 1.0}, "give frames or seconds"),
        ({"resolution": 0}, "resolution must be positive"),
    ],
)
def test_view_messages(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VideoRenderOptions(**options)


def test_random_points_are_no_pictures() -> None:
    query = GridQuery(torch.zeros(1, 4, 3), torch.ones(1))
    with pytest.raises(ValueError, match="this run compares single points; set the modality's num_queries to 0"):
        query.pictures(torch.zeros(1, 4, 3))
