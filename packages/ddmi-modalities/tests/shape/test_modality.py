"""Batches, inputs and files: the seam between shapes and functions, and its evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from torch import Tensor

from ddmi_fields import BasisField, ImplicitFunction, PlaneLayout, ReadOut
from ddmi_modalities import Modality
from ddmi_modalities.shape import Furniture, ShapeModality, ShapeRendering, ShapeRenderOptions
from ddmi_modalities.shape.data.furniture import FurnitureItem
from ddmi_modalities.shape.data.sources import read_cloud
from ddmi_modalities.shape.evaluation import (
    ShapeEvaluation,
    compare_sets,
    compare_sets_by_emd,
    evaluate_shapes,
    is_one_piece,
    nearest_training_iou,
    occupied,
    surface_cloud,
)
from ddmi_modalities.shape.items import ShapeItem
from ddmi_modalities.shape.prompts import evaluate_prompts, prompted_items, unit_cube_volume

SMALL = ShapeModality(items=20, cloud=50, num_queries=40)
FEW = ShapeEvaluation(count=10, pairs=2, guidance_scales=(1.0,))


class Solids(ReadOut):
    """A read-out that knows which item each function is by its only basis value, and answers exactly."""

    def __init__(self, items: Sequence[FurnitureItem]) -> None:
        super().__init__()
        self.items = items
        self.out = torch.nn.Linear(1, 1)

    def forward(self, embeddings: list[Tensor], coords: Tensor, condition: Tensor | float | None = None) -> Tensor:
        world = (coords * 0.55).numpy().astype(np.float32)
        inside = [
            self.items[int(number.round())].inside(points)
            for number, points in zip(embeddings[0][:, 0, 0], world, strict=True)
        ]
        return torch.from_numpy(np.stack(inside)).float()[..., None] * 2 - 1


def functions_of(items: Sequence[FurnitureItem]) -> ImplicitFunction:
    """The items themselves as a batch of functions."""
    numbers = torch.arange(float(len(items)))[:, None, None, None] / 3  # three planes are summed
    return ImplicitFunction(BasisField(PlaneLayout.triplane(), [[numbers] * 3]), Solids(items))


class Oracle:
    """A model that reconstructs, and samples, exactly what it is asked for."""

    can_sample = can_prompt = True

    def __init__(self, modality: ShapeModality) -> None:
        self.items: list[Any] = [modality.dataset("test")[i] for i in range(2)]
        train = modality.dataset("train")
        self.samples: list[Any] = [train[i] for i in range(len(train))]
        asked = prompted_items(modality)
        self.by_prompt = {asked[i].captions[0]: asked[i] for i in range(20)}

    def reconstruct(self, inputs: tuple[Tensor, ...]) -> ImplicitFunction:
        return functions_of(self.items[: len(inputs[0])])

    def sample(self, count: int, *, seed: int, start: int = 0, prompts: Any = None, guidance_scale: Any = None) -> Any:
        if prompts is not None:
            return functions_of([self.by_prompt[prompt] for prompt in prompts])
        return functions_of(self.samples[start : start + count])

    prior = sample


def test_it_is_a_modality() -> None:
    modality: Modality[ShapeItem, Tensor, ShapeRenderOptions, ShapeRendering] = ShapeModality()
    assert modality.RenderOptions is ShapeRenderOptions
    assert modality.layout == PlaneLayout.triplane()
    assert ShapeModality(align_corners=True).layout == PlaneLayout.triplane(align_corners=True)


def test_batches_hold_true_occupancy_in_field_coordinates(randomness: Callable[..., Any]) -> None:
    data = SMALL.dataset("train")
    items: list[Any] = [data[i] for i in range(3)]
    batch = SMALL.collate(items, randomness(3))
    assert [tuple(t.shape) for t in (*batch.inputs, batch.query, batch.target)] == [(3, 50, 3), (3, 40, 3), (3, 40, 1)]
    for item, query, target in zip(items, batch.query, batch.target, strict=True):
        assert np.array_equal(item.inside((query * 0.55).numpy()), target[:, 0].numpy() > 0.5)
    # 0.005 of noise in the world: the points are near the surface, and not on it
    clean = ShapeModality(items=20, cloud=50, num_queries=40, noise=0.0).collate(items, randomness(3))
    moved = ((batch.inputs[0] - clean.inputs[0]) * 0.55).std()
    assert moved == pytest.approx(0.005, rel=0.2)


def test_draws_depend_on_the_global_position_only(randomness: Callable[..., Any]) -> None:
    data = SMALL.dataset("train")
    whole = SMALL.collate([data[i] for i in range(4)], randomness(4))
    part = SMALL.collate([data[2], data[3]], randomness([2, 3]))
    assert torch.equal(whole.query[2:], part.query)
    assert torch.equal(whole.inputs[0][2:], part.inputs[0])


def test_inputs_depend_on_the_item_only() -> None:
    data = SMALL.dataset("test")
    (both,), (second,) = SMALL.inputs([data[0], data[1]]), SMALL.inputs([data[1]])
    assert torch.equal(both[1:], second)
    assert both.abs().max() <= 0.5 / 0.55 + 1e-6


def test_training_does_not_see_held_out_combinations() -> None:
    modality = ShapeModality(items=300, hold_out="combinations")
    train, asked = modality.dataset("train"), prompted_items(modality)
    assert isinstance(modality.dataset("test"), Furniture)
    unseen = {asked[i].attributes for i in range(200)}  # type: ignore[attr-defined]
    assert not unseen & {train[i].attributes for i in range(300)}  # type: ignore[attr-defined]


def test_a_perfect_model_is_measured_as_perfect() -> None:
    scores = evaluate_shapes(SMALL, Oracle(SMALL), ShapeEvaluation(count=4, pairs=2))
    assert scores["iou"] == 1
    assert scores["chamfer_l1"] < 0.01
    assert scores["f_score"] > 0.5
    assert scores["normal_consistency"] > 0.9
    assert scores["iou/nearest_train"] < 0.9
    assert scores["cov/samples"] == scores["cov/prior"]
    assert scores["empty/samples"] == 0
    assert scores["one_piece/samples"] == scores["one_piece/reconstructions"] == 1
    assert scores["count/sets"] == 4


def test_what_lies_apart_is_another_piece() -> None:
    box, far = trimesh.creation.box(), trimesh.creation.box(transform=np.diag([0.01, 0.01, 0.01, 1]))
    far.apply_translation((2, 0, 0))
    assert is_one_piece(box)
    assert not is_one_piece(trimesh.util.concatenate([box, far]))
    assert not is_one_piece(trimesh.Trimesh())


@pytest.mark.slow
def test_prompts_are_followed_by_who_follows_them() -> None:
    modality = ShapeModality(items=60, hold_out="combinations")
    scores = evaluate_prompts(modality, Oracle(modality), FEW)
    assert scores["count/prompted"] == 10
    assert scores["kind/w1"] == scores["top/w1"] == scores["legs/w1"] == 1
    assert scores["class/w1"] >= 0.9
    assert scores["class/true"] > 0.8
    assert scores["tmd/w1"] == pytest.approx(0, abs=0.02)  # ten times the same shape, sampled anew


def test_volumes_are_in_the_order_of_grids() -> None:
    data = Furniture("test", 1)
    volume = unit_cube_volume(SMALL, functions_of([data[0]]), 48)
    z, y, x = (int(n[0]) for n in np.nonzero(volume))
    point = (np.array([[x, y, z]]) + 0.5) / 48 - 0.5
    assert data[0].inside(point.astype(np.float32))
    assert occupied(SMALL, functions_of([data[0]]), point.astype(np.float32))


def test_nearest_training_shape() -> None:
    data = Furniture("train", 5)
    items = [data[i] for i in range(5)]
    assert nearest_training_iou(items[:2], data) == 1  # an item of the data is its own nearest


def test_sets_and_pairs() -> None:
    data = Furniture("train", 6)
    clouds = np.stack([surface_cloud(data[i], 200) for i in range(6)])
    assert compare_sets(clouds, clouds)["mmd"] == pytest.approx(0, abs=1e-6)
    by_emd = compare_sets_by_emd(clouds[:2], clouds[2:4], "none")
    assert by_emd["mmd_emd"] > 0.01
    assert set(by_emd) == {"mmd_emd", "cov_emd", "1nna_emd"}


def test_read_clouds_and_meshes(tmp_path: Path) -> None:
    box = trimesh.creation.box((0.5, 0.5, 0.5))
    box.export(tmp_path / "box.ply")
    (inputs,) = SMALL.read(tmp_path / "box.ply")
    assert inputs.shape == (1, 50, 3)
    assert inputs.abs().max() == pytest.approx(0.25 / 0.55, abs=1e-3)
    trimesh.PointCloud(np.array([[0, 0, 0], [4.0, 2, 0]])).export(tmp_path / "far.ply")
    assert read_cloud(tmp_path / "far.ply", 50).tolist() == [[-0.5, -0.25, 0], [0.5, 0.25, 0]]
    np.savez(tmp_path / "cloud.npz", points=np.full((7, 3), 0.25))
    assert read_cloud(tmp_path / "cloud.npz", 50).shape == (7, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read as a point cloud"),
        (b"ply\nformat ascii 1.0\nelement vertex 5", "cannot be read as a point cloud"),
    ],
)
def test_broken_files(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "broken.ply").write_bytes(content)
    with pytest.raises(ValueError, match=f"broken.ply.*{message}"):
        SMALL.read(tmp_path / "broken.ply")
    np.savez(tmp_path / "nan.npz", points=np.full((7, 3), np.nan))
    with pytest.raises(ValueError, match="not finite"):
        SMALL.read(tmp_path / "nan.npz")
    np.savez(tmp_path / "flat.npz", points=np.zeros((7, 2)))
    with pytest.raises(ValueError, match=r"points of shape \(7, 2\)"):
        SMALL.read(tmp_path / "flat.npz")
    with pytest.raises(ValueError, match="cannot be read"):
        SMALL.read(tmp_path / "none.ply")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cloud": 0}, "count from 1"),
        ({"near": 1.5}, "near is a fraction"),
        ({"noise": -0.1}, "noise is a standard deviation"),
    ],
)
def test_bad_configurations(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ShapeModality(**options)
