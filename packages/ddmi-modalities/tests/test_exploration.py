"""What explorers are answered: the right place, the right way up, of functions that are known."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from torch import Tensor

from ddmi_fields import BasisField, ImplicitFunction, PlaneLayout, ReadOut, cell_centres
from ddmi_modalities.exploration import Content, Exploration, Question
from ddmi_modalities.image import ImageModality
from ddmi_modalities.image import explore as image
from ddmi_modalities.nerf import NerfModality
from ddmi_modalities.nerf import explore as nerf
from ddmi_modalities.plain_exploration import EXPLORATION as PLAIN
from ddmi_modalities.plain_exploration import Sheet
from ddmi_modalities.progress import progress, watched_by
from ddmi_modalities.shape import ShapeModality
from ddmi_modalities.shape import explore as shape
from ddmi_modalities.video import VideoModality
from ddmi_modalities.video import explore as video

from .nerf.render.test_volume import Ball, function_of


class Written(ReadOut):
    """Values by a formula of the coordinates; ignores its embeddings."""

    def __init__(self, formula: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.formula = formula

    def forward(self, embeddings: list[Tensor], coords: Tensor, condition: Tensor | float | None = None) -> Tensor:
        return self.formula(coords)


def function(layout: PlaneLayout, formula: Callable[[Tensor], Tensor]) -> ImplicitFunction:
    return ImplicitFunction(BasisField(layout, [[torch.zeros(1, 1, 2, 2) for _ in layout.planes]]), Written(formula))


def pixels(content: Content) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content.data)).convert("RGB")).astype(float)


def ramp(coords: Tensor) -> Tensor:
    """Red to the right, green downwards."""
    return torch.cat((coords[..., :2], torch.zeros_like(coords[..., :1])), dim=-1)


def test_tiles_of_a_picture() -> None:
    modality = ImageModality(size=64, target_sizes=(64, 128), target_weights=(0.5, 0.5))
    drawn = function(PlaneLayout.image(), ramp)
    for z, x, y in ((0, 0, 0), (1, 1, 0), (3, 2, 7)):
        across = (x + (np.arange(256) + 0.5) / 256) / 2**z
        down = (y + (np.arange(256) + 0.5) / 256) / 2**z
        for question, tolerance in ((image.Tile, 8), (image.EnlargedTile, 12)):
            seen = pixels(question(z=z, x=x, y=y).answer(modality, drawn))
            inside = slice(16, 240)  # at its border a picture of pixels goes on as its last pixel
            assert np.abs(seen[inside, inside, 0] - (across * 255)[None, inside]).max() < tolerance
            assert np.abs(seen[inside, inside, 1] - (down * 255)[inside, None]).max() < tolerance
    assert pixels(image.Picture(size=48).answer(modality, drawn)).shape == (48, 48, 3)


def test_the_deepest_tiles_tell_their_pixels_apart() -> None:
    side = image.TILE * 2**image.DEEPEST
    assert len(cell_centres(side, side - image.TILE, side).float().unique()) == image.TILE


def test_slices_are_seen_from_the_front_from_above_and_from_the_right() -> None:
    def octant(coords: Tensor) -> Tensor:
        """Inside where x, y and z are positive."""
        return torch.where((coords > 0).all(-1, keepdim=True), 9.0, -9.0)

    made = function(PlaneLayout.triplane(), octant)
    modality = ShapeModality(items=4)
    for axis, black in (("z", "upper right"), ("y", "lower right"), ("x", "upper right")):
        picture = pixels(shape.Slice(axis=axis, at=0.5).answer(modality, made))[..., 0] < 128
        rows, columns = (slice(0, 96), slice(96, 192))
        assert picture[rows if black == "upper right" else columns, columns].all()
        assert picture.mean() == pytest.approx(0.25)
    assert not (pixels(shape.Slice(axis="x", at=-0.5).answer(modality, made)) < 128).any()


def test_meshes_are_those_of_the_surface_and_may_be_empty() -> None:
    modality = ShapeModality(items=4)
    ball = function(PlaneLayout.triplane(), lambda coords: 0.5 - coords.norm(dim=-1, keepdim=True))
    content = shape.Mesh(cells=32).answer(modality, ball)
    mesh = trimesh.load(io.BytesIO(content.data), file_type="glb", force="mesh")
    radius = 0.5 * modality.extent.scale[0] ** -1
    assert mesh.bounds == pytest.approx(np.array([[-radius] * 3, [radius] * 3]), abs=0.02)
    nothing = function(PlaneLayout.triplane(), lambda coords: -torch.ones_like(coords[..., :1]))
    assert shape.Mesh(cells=16).answer(modality, nothing).data == b""
    assert (pixels(shape.Shaded(size=16).answer(modality, nothing)) == 255).all()


def test_a_look_at_a_ball() -> None:
    modality = NerfModality()
    ball = function_of(Ball(200.0))
    seen = pixels(nerf.Look(size=64, elevation=0.0, azimuth=0.0).answer(modality, ball))
    assert (seen[:4] > 250).all()
    assert (seen[32, 32] < 250).any()
    depth = pixels(nerf.Look(size=64, depth=True).answer(modality, ball))
    assert depth[32, 32, 0] < depth[32, 26, 0] < 230 < depth[2, 2, 0]  # bulging towards the camera
    closer = pixels(nerf.Look(size=64, distance=3.5).answer(modality, ball))
    assert (closer < 250).any(-1).sum() > 1.4 * (seen < 250).any(-1).sum()


def test_frames_at_their_times(tmp_path: Path) -> None:
    modality = VideoModality(frames=8, size=16, items=4, target_sizes=(16,), target_weights=(1.0,), cache=tmp_path)
    clip = function(PlaneLayout.video(), lambda coords: coords[..., 2:].expand(-1, -1, 3))
    strip = pixels(video.Strip(frames=32, first=8, count=4, size=16).answer(modality, clip))
    assert strip.shape == (16, 64, 3)
    wanted = (np.arange(8, 12) + 0.5) / 32 * 255
    assert strip.reshape(16, 4, 16, 3).mean((0, 2, 3)) == pytest.approx(wanted, abs=2)
    # smaller than any frame of the training: means of the smallest
    wave = function(PlaneLayout.video(), lambda coords: (coords[..., :1] * 20).sin().expand(-1, -1, 3))
    times = torch.tensor([2.0])
    small, native = (modality.frames_at(wave, times, size)[0, 0].float() for size in (4, 16))
    assert (small - native.unflatten(-1, (4, 4)).mean(-1).unflatten(-2, (4, 4)).mean(-2)).abs().max() <= 1
    for gif, start in ((True, b"GIF8"), (False, b"ftyp")):
        assert start in video.Clip(frames=4, size=16, gif=gif).answer(modality, clip).data[:12]


@pytest.mark.parametrize(
    "question",
    [
        lambda: image.Tile(z=15), lambda: image.Tile(z=1, y=2), lambda: image.Tile(z=-1), lambda: image.Picture(size=0),
        lambda: shape.Mesh(cells=512), lambda: shape.Mesh(cells=17), lambda: shape.Shaded(size=5000),
        lambda: shape.Slice(axis="w"), lambda: shape.Slice(at=float("nan")),
        lambda: nerf.Look(size=4), lambda: nerf.Look(elevation=100.0), lambda: nerf.Look(azimuth=float("inf")),
        lambda: nerf.Look(distance=float("nan")), lambda: nerf.Mesh(cells=512),
        lambda: video.Strip(frames=4, first=3, count=2), lambda: video.Strip(size=1), lambda: video.Clip(frames=0),
        lambda: video.Clip(fps=float("nan")),
    ],
)  # fmt: skip
def test_questions_without_an_answer(question: Callable[[], Question]) -> None:
    with pytest.raises(ValueError, match=r"from|power of two|at most|fps"):
        question()


KINDS = (image.EXPLORATION, shape.EXPLORATION, nerf.EXPLORATION, video.EXPLORATION, PLAIN)


@pytest.mark.parametrize("exploration", KINDS)
def test_all_that_is_asked_can_be(exploration: Exploration) -> None:
    for asked in (exploration.picture, *exploration.downloads.values()):
        assert exploration.questions[asked.question](**asked.params)


def test_any_kind_shows_its_own_rendering() -> None:
    modality = ImageModality(size=64)
    seen = pixels(Sheet().answer(modality, function(PlaneLayout.image(), ramp)))
    assert min(seen.shape[:2]) >= 128


def test_a_watcher_is_told_and_may_end_the_work() -> None:
    told: list[tuple[str, int, int | None]] = []

    def watch(what: str, done: int, total: int | None) -> None:
        told.append((what, done, total))
        if done == 2:
            raise KeyboardInterrupt

    seen: list[int] = []
    with watched_by(watch), pytest.raises(KeyboardInterrupt):
        seen.extend(progress([5, 6, 7, 8], what="counting"))
    assert seen == [5, 6]
    assert told == [("counting", 0, 4), ("counting", 1, 4), ("counting", 2, 4)]
    assert list(progress([1], what="alone")) == [1]
    assert len(told) == 3
