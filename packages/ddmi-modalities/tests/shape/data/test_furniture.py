"""Furniture: exact solids, the data set, its captions, and attributes measured back from occupancy."""

from __future__ import annotations

import inspect
import pickle
from collections import Counter
from itertools import combinations
from math import pi, sqrt

import numpy as np
import pytest

from ddmi_modalities import DataSet
from ddmi_modalities.geometry.furniture_attributes import (
    HELD_OUT,
    THICK,
    FurnitureAttributes,
    all_combinations,
    held_out_combinations,
)
from ddmi_modalities.geometry.furniture_captions import captions_of, prompt_of
from ddmi_modalities.geometry.furniture_parts import ROLES, draw_parameters
from ddmi_modalities.geometry.solids import Box, Cylinder, Union
from ddmi_modalities.shape.data.furniture import Furniture, FurnitureItem
from ddmi_modalities.shape.furniture_measure import MeasuredFurniture, cell_centres, measure
from ddmi_modalities.shape.items import FIELD_HALF, ShapeItem

ORIGIN = (0.0, 0.0, 0.0)
CUBE = Box(centre=ORIGIN, half=(0.1, 0.1, 0.1))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def at(*points: tuple[float, float, float]) -> np.ndarray:
    return np.array(points, dtype=np.float32)


def unchecked(cls: type, *args: object, **kwargs: object) -> None:
    """Construct without the type checks of the test run, which are stricter than a user's Python."""
    inspect.unwrap(cls.__init__)(object.__new__(cls), *args, **kwargs)


def item_of(attributes: FurnitureAttributes, seed: int = 0) -> FurnitureItem:
    return FurnitureItem(str(seed), draw_parameters(attributes, rng(seed)), (prompt_of(attributes),))


def test_inside_by_hand() -> None:
    eighth = Union((Box(centre=(0.1, 0.0, 0.0), half=(0.1, 0.2, 0.05), angle=pi / 4),))
    end = 0.2 * sqrt(0.5)  # the long axis turns from y towards z
    points = at((0.1, 0, 0), (0.1, 0.9 * end, 0.9 * end), (0.1, 0.9 * end, -0.9 * end), (0.21, 0, 0), (0.1, 0.15, 0))
    assert eighth.inside(points).tolist() == [True, True, False, False, False]
    column = Union((Cylinder(centre=(0.0, 0.1, 0.0), radius=0.1, half_height=0.2),))
    points = at((0, 0.29, 0), (0, 0.31, 0), (0.07, 0, 0.07), (0.08, 0, 0.08), (0, -0.09, 0.09))
    assert column.inside(points).tolist() == [True, False, True, False, True]
    assert Union((CUBE, *column.solids)).inside(at((0.09, 0.09, 0.09), (0, 0.29, 0), (0.09, 0.2, 0.09))).tolist() == [
        True,
        True,
        False,
    ]
    assert eighth.inside(np.zeros((0, 3), dtype=np.float32)).shape == (0,)


def test_inside_equals_a_loop_over_parts_and_points() -> None:
    union = Furniture("test", 3)[1].union
    points = (rng().random((20_000, 3), dtype=np.float32) - np.float32(0.5)).astype(np.float32)
    answers = union.inside(points)  # more than one chunk
    slow = np.zeros(len(points), dtype=bool)
    for solid in union.solids:
        local = points.astype(np.float64) - solid.centre
        if isinstance(solid, Box):
            c, s = np.cos(solid.angle), np.sin(solid.angle)
            slow |= (np.abs(local @ np.array([[1, 0, 0], [0, c, s], [0, -s, c]]).T) <= solid.half).all(1)
        else:
            slow |= (np.hypot(local[:, 0], local[:, 2]) <= solid.radius) & (np.abs(local[:, 1]) <= solid.half_height)
    assert 0.01 < slow.mean() < 0.5
    assert (answers != slow).sum() <= 1  # a point on a face, in another precision


@pytest.mark.parametrize("index", range(6))
def test_surface_points_are_on_the_surface_and_normals_point_out(index: int) -> None:
    union = Furniture("train", 6)[index].union
    points, normals = union.surface(3000, rng())
    assert points.shape == normals.shape == (3000, 3)
    assert points.dtype == normals.dtype == np.float32
    assert np.allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)
    assert union.inside(points - np.float32(1e-4) * normals).mean() > 0.995  # near an edge a step may cross it
    assert union.inside(points + np.float32(1e-4) * normals).mean() < 0.005


def test_surface_is_even_by_area() -> None:
    points, normals = Union((Box(centre=ORIGIN, half=(0.1, 0.2, 0.3)),)).surface(40_000, rng())
    share = (np.abs(normals) > 0.5).mean(0)
    assert share == pytest.approx(np.array([6, 3, 2]) / 11, abs=0.01)  # areas hy*hz, hx*hz, hx*hy
    on_top = points[normals[:, 1] > 0.5]
    assert np.histogram2d(on_top[:, 0], on_top[:, 2], bins=2)[0] / len(on_top) == pytest.approx(
        np.full((2, 2), 0.25), abs=0.02
    )
    points, normals = Union((Cylinder(centre=ORIGIN, radius=0.2, half_height=0.05),)).surface(40_000, rng())
    assert (np.abs(normals[:, 1]) > 0.5).mean() == pytest.approx(2 / 3, abs=0.01)  # 2 pi r^2 of 2 pi r (r + h)
    caps = points[normals[:, 1] > 0.5]
    assert (np.hypot(caps[:, 0], caps[:, 2]) < 0.2 * sqrt(0.5)).mean() == pytest.approx(0.5, abs=0.02)


def test_surface_of_a_union_leaves_out_what_is_covered() -> None:
    stick = Box(centre=(0.0, 0.1, 0.0), half=(0.05, 0.1, 0.05))  # its lower half is in the cube
    points, _ = Union((CUBE, stick)).surface(40_000, rng())
    above = points[:, 1] > 0.1 + 1e-5
    # above: 4 sides of 0.1 x 0.1 and a lid of 0.01; below: 6 sides of 0.04 without 0.01
    assert above.mean() == pytest.approx(0.05 / (0.05 + 0.23), abs=0.01)
    covered = (np.abs(points[:, 0]) < 0.05) & (np.abs(points[:, 2]) < 0.05) & (np.abs(points[:, 1] - 0.1) < 1e-6)
    assert not covered.any()


@pytest.mark.parametrize("attributes", all_combinations()[::7], ids=prompt_of)
def test_mesh_is_watertight_one_body_and_has_the_solid_s_volume(attributes: FurnitureAttributes) -> None:
    item = item_of(attributes)
    mesh = item.mesh()
    assert mesh.is_watertight
    assert mesh.body_count == 1
    points = rng().random((400_000, 3), dtype=np.float32) - np.float32(0.5)
    assert mesh.volume == pytest.approx(item.inside(points).mean(), rel=0.025)  # three standard deviations
    assert np.allclose(mesh.bounds, item.union.bounds, atol=1e-3)


def test_all_combinations_stand_in_the_unit_cube() -> None:
    for seed, attributes in enumerate(all_combinations() * 3):
        parameters = draw_parameters(attributes, rng(seed))
        low, high = np.array(Union(tuple(part.solid for part in parameters.parts())).bounds)
        assert 0.8 <= (high - low).max() <= 1
        assert low == pytest.approx(-high, abs=1e-6)
        for name in ("top_thickness", "leg_thickness", "back_thickness"):
            assert 0.03 <= getattr(parameters, name) <= 0.10
        assert (parameters.leg_thickness >= THICK) == attributes.thick


def test_colours_and_roles() -> None:
    chair = item_of(FurnitureAttributes(kind="chair", top="round", legs=3, thick=True, arms=True, back="slatted"))
    assert {part.role for part in chair.parts} == {"top", "leg", "back", "arm"}
    assert all(0 <= channel <= 1 for part in chair.parts for channel in part.colour)
    assert all(part.colour == chair.parameters.colours[ROLES.index(part.role)] for part in chair.parts)
    assert sum(part.role == "leg" for part in chair.parts) == 3


def test_items_depend_on_seed_split_and_index_only() -> None:
    few, many = Furniture("train", 3), Furniture("train")
    assert [few[i] for i in range(3)] == [many[i] for i in range(3)]
    assert few[-1] == few[2]
    assert len({item.parameters for item in (few[0], few[1], Furniture("test")[0], Furniture("train", seed=1)[0])}) == 4
    a, b = (pickle.loads(pickle.dumps(few[0])).surface(9, rng())[0] for _ in range(2))
    assert np.array_equal(a, b)
    assert isinstance(few[0], ShapeItem)
    assert isinstance(few, DataSet)
    with pytest.raises(IndexError, match="piece of furniture 3 of 3"):
        few[3]


def test_draws_are_balanced() -> None:
    drawn = [item.attributes for item in map(Furniture("train").__getitem__, range(1000))]
    chairs = [a for a in drawn if a.kind == "chair"]
    tables = [a for a in drawn if a.kind == "table"]
    assert len(chairs) / len(drawn) == pytest.approx(0.5, abs=0.04)
    for group, names in ((chairs, ("top", "legs", "thick", "arms", "back")), (tables, ("top", "legs", "layers"))):
        for name in names:
            counts = Counter(getattr(a, name) for a in group)
            assert max(counts.values()) / len(group) == pytest.approx(1 / len(counts), abs=0.08)
    assert set(drawn) == set(all_combinations())


def pairs_of(attributes: FurnitureAttributes) -> set[tuple[tuple[str, object], ...]]:
    return set(combinations(vars(attributes).items(), 2))


def test_held_out_combinations() -> None:
    held_out = set(held_out_combinations())
    assert len(held_out) == 12
    assert 0.15 < len(held_out) / len(all_combinations()) < 0.20
    rest = set(all_combinations()) - held_out
    assert set().union(*map(pairs_of, rest)) == set().union(*map(pairs_of, all_combinations()))
    train = {Furniture("train", hold_out="combinations")[i].attributes for i in range(600)}
    assert train == rest
    test = {Furniture("test", hold_out="combinations")[i].attributes for i in range(120)}
    assert test == held_out
    assert {(a.kind, a.top, a.legs, a.arms) for a in test} == set(HELD_OUT)


def test_points() -> None:
    item = Furniture("test")[5]
    points, occupied = item.points(4000, rng(), 0.5)
    assert points.shape == (4000, 3)
    assert (points.dtype, occupied.dtype) == (np.float32, np.bool_)
    assert np.array_equal(occupied, item.inside(points))
    assert np.abs(points).max() <= FIELD_HALF
    surface = item.surface(20_000, rng(1))[0]
    distance = np.sqrt(((points[:2000:20, None] - surface[None]) ** 2).sum(-1)).min(1)
    far = np.sqrt(((points[2000::20, None] - surface[None]) ** 2).sum(-1)).min(1)
    assert np.median(distance) < 0.03 < np.median(far)
    uniform = item.points(4000, rng(), 0.0)[0]
    assert uniform.mean(0) == pytest.approx(np.zeros(3), abs=0.02)
    assert uniform.std(0) == pytest.approx(np.full(3, 2 * FIELD_HALF / sqrt(12)), abs=0.02)
    assert np.abs(item.points(4000, rng(), None)[0]).max() <= 0.5
    assert len(item.points(7, rng(), 1.0)[0]) == 7
    again = item.points(4000, rng(), 0.5)
    assert np.array_equal(points, again[0])


def test_noise_of_near_points_has_two_widths() -> None:
    plate = Union((Box(centre=ORIGIN, half=(0.4, 0.1, 0.4)),))
    item = item_of(all_combinations()[0])
    item.__dict__["union"] = plate
    points = item.points(20_000, rng(), 1.0, spread=0.02)[0]
    middle = (np.abs(points[:, 0]) < 0.3) & (np.abs(points[:, 2]) < 0.3)
    depth = np.abs(points[:, 1]) - 0.1
    for start, width in ((0, 0.02), (1, 0.005)):
        assert depth[start::2][middle[start::2]].std() == pytest.approx(width, rel=0.05)


def test_prompts_say_everything() -> None:
    assert len({prompt_of(a) for a in all_combinations()}) == len(all_combinations()) == 72
    table = FurnitureAttributes(kind="table", top="round", legs=3, thick=False, layers=1)
    assert prompt_of(table) == "a round table with three thin legs and a shelf"
    table = FurnitureAttributes(kind="table", top="square", legs=1, thick=True)
    assert prompt_of(table) == "a square table on a thick pedestal"
    chair = FurnitureAttributes(kind="chair", top="square", legs=4, thick=True, arms=True, back="slatted")
    assert prompt_of(chair) == "a chair with a square seat, four thick legs, arms and a slatted back"


def test_captions() -> None:
    lengths = Counter()
    for seed, attributes in enumerate(all_combinations()):
        captions = captions_of(attributes, rng(seed))
        assert captions == captions_of(attributes, rng(seed))
        assert captions[0] == prompt_of(attributes)
        assert len(set(captions)) == len(captions)
        assert all(attributes.kind in caption for caption in captions)
        lengths[len(captions)] += 1
        for caption in captions[1:]:
            for word, true in (("round", attributes.top == "round"), ("slatted", attributes.back == "slatted")):
                assert word not in caption or true
    assert set(lengths) == {1, 2, 3}
    assert Furniture("train")[0].captions[0] == prompt_of(Furniture("train")[0].attributes)


@pytest.mark.parametrize(("n", "count"), [(48, 80), (64, 200)])
def test_attributes_are_measured_back(n: int, count: int) -> None:
    data, centres = Furniture("test", count), cell_centres(n)
    agreed = Counter()
    for index in range(len(data)):
        item = data[index]
        agreed.update(measure(item.inside(centres).reshape(n, n, n)).agreement(item.attributes))
    shares = {name: agreed[name] / len(data) for name in vars(data[0].attributes)}
    assert shares.pop("thick") >= 0.9
    assert min(shares.values()) >= 0.98, shares


def test_measuring_does_not_mind_chips_in_the_air() -> None:
    data, centres = Furniture("test", 40), cell_centres(64)
    right = 0
    for index in range(len(data)):
        item = data[index]
        volume = item.inside(centres).reshape(64, 64, 64)
        volume = volume | (rng(index).random(volume.shape) < 0.0005)
        agreed = measure(volume).agreement(item.attributes)
        right += agreed["legs"] and agreed["top"] and agreed["kind"]
    assert right >= 38


def test_measuring_by_hand() -> None:
    volume = np.zeros((64, 64, 64), dtype=bool)  # z, y, x
    assert measure(volume) == MeasuredFurniture()
    volume[10:54, 40:44, 10:54] = True
    slab = measure(volume)
    assert (slab.kind, slab.top, slab.legs) == ("table", "square", None)
    volume[12:16, 10:40, 12:16] = volume[48:52, 10:40, 48:52] = True
    assert measure(volume).legs == 2
    volume[10:14, 44:60, 10:54] = True
    chair = measure(volume)
    assert (chair.kind, chair.back, chair.arms, chair.legs) == ("chair", "solid", False, 2)
    assert chair.agreement(all_combinations()[0])["kind"]
    with pytest.raises(ValueError, match=r"wanted a cube of at least 48 cells a side, got \(32, 32, 32\); sample it"):
        measure(volume[::2, ::2, ::2])
    with pytest.raises(ValueError, match="wanted a cube"):
        measure(volume[:50])


def test_cell_centres() -> None:
    centres = cell_centres(4).reshape(4, 4, 4, 3)
    assert centres[0, 0, 0].tolist() == [-0.375, -0.375, -0.375]
    assert centres[1, 2, 3].tolist() == [0.375, 0.125, -0.125]


def test_messages() -> None:
    item = Furniture("train")[0]
    with pytest.raises(ValueError, match="wanted a count of at least 1, got 0; ask for more points"):
        item.surface(0, rng())
    with pytest.raises(ValueError, match="wanted a count of at least 1"):
        item.points(0, rng(), 0.5)
    with pytest.raises(
        ValueError, match=r"wanted a share near in \[0, 1\] .* got near 1.5 and spread 0.03; pass near="
    ):
        item.points(4, rng(), 1.5)
    with pytest.raises(ValueError, match="a spread above 0, got near 0.5 and spread 0"):
        item.points(4, rng(), 0.5, spread=0.0)
    with pytest.raises(ValueError, match="count of at least 1 and a seed of at least 0, got count 0 and seed 0"):
        Furniture("train", 0)
    with pytest.raises(ValueError, match="no hold_out 'some'; choose 'none' or 'combinations'"):
        unchecked(Furniture, "train", hold_out="some")
    with pytest.raises(ValueError, match="no split 'val'"):
        unchecked(Furniture, "val")
    with pytest.raises(
        ValueError, match="a chair or table .* on 1, 3 or 4 legs, got kind 'chair', top 'round', legs 2"
    ):
        FurnitureAttributes(kind="chair", top="round", legs=2, thick=True, back="solid")
    with pytest.raises(ValueError, match="got a table with arms True"):
        FurnitureAttributes(kind="table", top="round", legs=1, thick=True, arms=True)
    with pytest.raises(ValueError, match="got a chair with arms False and back 'none'"):
        FurnitureAttributes(kind="chair", top="round", legs=1, thick=True)
    with pytest.raises(ValueError, match="a chair 0; got a chair with 1"):
        FurnitureAttributes(kind="chair", top="round", legs=1, thick=True, back="solid", layers=1)
    with pytest.raises(ValueError, match="Box: wanted half sides above 0"):
        Box(centre=ORIGIN, half=(0.1, 0.0, 0.1))
    with pytest.raises(ValueError, match="Cylinder: wanted a radius and half height above 0, got -1.0"):
        Cylinder(centre=ORIGIN, radius=-1.0, half_height=1.0)
    with pytest.raises(ValueError, match="at least one solid, got none"):
        Union(())
