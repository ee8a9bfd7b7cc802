"""Batches, units, places and files: the seam between functions on the sphere and models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray
from PIL import Image
from torch import Tensor

from ddmi_fields import BasisField, CoarseToFineReadOut, ImplicitFunction, PlaneLayout, ReadOut
from ddmi_modalities import Modality
from ddmi_modalities.geometry.sphere_grid import SphereGrid, unit_vectors
from ddmi_modalities.modality import Batch
from ddmi_modalities.plain_exploration import EXPLORATION
from ddmi_modalities.sphere import SphereItem, SphereModality, SphereRendering, SphereRenderOptions
from ddmi_modalities.sphere.evaluation import SphereEvaluation, climatology, evaluate_spheres


def write_waves(path: Path, times: int = 20, rows: int = 9) -> Path:
    """Temperatures around 280 K that are linear in the unit vector, as a season turns them; and pressures."""
    grid = SphereGrid(np.linspace(90, -90, rows), -180 + (180 / (rows - 1)) * np.arange(2 * rows - 2))
    x, y, z = grid.points.numpy().transpose(2, 0, 1)
    phase = 2 * np.pi * np.arange(times)[:, None, None] / 12
    values = 280 + 20 * z + 5 * (np.cos(phase) * x + np.sin(phase) * y)
    axes = {
        "time": ("time", 15.0 + 30.4 * np.arange(times), {"units": "days since 2001-01-01"}),
        "lat": ("lat", grid.latitude, {"units": "degrees_north"}),
        "lon": ("lon", grid.longitude, {"units": "degrees_east"}),
    }
    on = ("time", "lat", "lon")
    variables = {
        "t": (on, values.astype(np.float32), {"units": "K"}),
        "p": (on, (1000 + 0 * values + 3 * x).astype(np.float32), {"units": "hPa"}),
    }
    xarray.Dataset(variables, axes, {"source": "waves of a test"}).to_netcdf(path, engine="scipy")
    return path


@pytest.fixture
def modality(tmp_path: Path) -> SphereModality:
    path = write_waves(tmp_path / "waves.nc")
    return SphereModality(source=str(path), held_out=4, points=200, num_queries=50).with_statistics()


class Linear(ReadOut):
    """A read-out that is the data's own function, standardised: of which time, its only basis value says."""

    def __init__(self, modality: SphereModality) -> None:
        super().__init__()
        self.modality, self.out = modality, torch.nn.Linear(1, 1)

    def forward(self, embeddings: list[Tensor], coords: Tensor, condition: Tensor | float | None = None) -> Tensor:
        phase = 2 * torch.pi * embeddings[0][:, :, :1] / 12
        x, y, z = coords.unsqueeze(-2).unbind(-1)
        t = 280 + 20 * z + 5 * (phase.cos() * x + phase.sin() * y)
        found = torch.cat(torch.broadcast_tensors(t, 1000 + 3 * x), dim=-1)
        return (found - torch.tensor(self.modality.means)) / torch.tensor(self.modality.stds)


def functions_of(modality: SphereModality, times: list[int]) -> ImplicitFunction:
    numbers = torch.tensor(times)[:, None, None, None] / 3.0
    return ImplicitFunction(BasisField(PlaneLayout.triplane(), [[numbers] * 3]), Linear(modality))


def learned(seed: int = 0) -> ImplicitFunction:
    """Any tri-plane function, as a model makes them."""
    torch.manual_seed(seed)
    planes = [[torch.randn(1, 4, size, size) for _ in range(3)] for size in (4, 8)]
    return ImplicitFunction(
        BasisField(PlaneLayout.triplane(), planes), CoarseToFineReadOut([4, 4], 2, width=16, coordinates=3)
    )


class Oracle:
    can_sample, can_prompt = True, False

    def __init__(self, modality: SphereModality) -> None:
        self.modality = modality

    def reconstruct(self, inputs: tuple[Tensor, ...]) -> ImplicitFunction:
        return functions_of(self.modality, [16, 17, 18, 19][: len(inputs[0])])

    def sample(self, count: int, *, seed: int = 0, start: int = 0, **_: Any) -> ImplicitFunction:
        return functions_of(self.modality, list(range(start, start + count)))

    prior = sample


def test_it_is_a_modality(modality: SphereModality) -> None:
    typed: Modality[SphereItem, Tensor, SphereRenderOptions, SphereRendering] = modality
    assert typed.layout == PlaneLayout.triplane()
    assert modality.attribution == "waves of a test"
    assert modality.captions(modality.dataset("test")[0]) == ()


def test_statistics_are_of_the_sphere_and_the_training_times(modality: SphereModality) -> None:
    assert modality.variables == ("t", "p")
    assert modality.units == ("K", "hPa")
    # means over the sphere: of z, x and y 0, of their squares a third
    assert modality.means == pytest.approx((280, 1000), abs=0.01)
    assert modality.stds == pytest.approx((((400 + 25) / 3) ** 0.5, 3**0.5), rel=0.03)
    assert modality.with_statistics() is modality
    raised = replace(modality, held_out=10, units=(), means=(), stds=()).with_statistics()
    assert len(raised.dataset("train")) == 9


def test_batches_hold_standardised_values_at_unit_vectors(
    modality: SphereModality, randomness: Callable[..., Any]
) -> None:
    train = modality.dataset("train")
    batch: Batch[Tensor] = modality.collate([train[0], train[3]], randomness(2))
    (points,) = batch.inputs
    assert [tuple(one.shape) for one in (points, batch.query, batch.target)] == [(2, 200, 5), (2, 50, 3), (2, 50, 2)]
    for places, values in ((batch.query, batch.target), (points[..., :3], points[..., 3:])):
        torch.testing.assert_close(places.norm(dim=-1), torch.ones(places.shape[:2]))
        own = modality.predict(functions_of(modality, [0, 3]), places)
        torch.testing.assert_close(own, values, atol=1e-4, rtol=0)
    assert modality.nll(batch.target + 1, batch.target).tolist() == pytest.approx([2, 2])


def test_queries_weigh_the_sphere_by_area(modality: SphereModality, randomness: Callable[..., Any]) -> None:
    wide = replace(modality, num_queries=20_000)
    batch = wide.collate([wide.dataset("train")[0]], randomness(1))
    assert batch.query[..., 2].square().mean().item() == pytest.approx(1 / 3, abs=0.02)
    item = wide.dataset("train")[0]
    wanted = item.grid.mean((item.values - torch.tensor(wide.means)[:, None, None]).square())
    found = (batch.target * torch.tensor(wide.stds)).square().mean((0, 1))
    torch.testing.assert_close(found, wanted, rtol=0.01, atol=0)


def test_turned_items_are_the_same_function_elsewhere(modality: SphereModality, randomness: Callable[..., Any]) -> None:
    items = [modality.dataset("train")[i] for i in (0, 3)]
    still, moved = (replace(modality, turned=share).collate(items, randomness(2)) for share in (0.0, 1.0))
    assert torch.equal(still.target, moved.target)
    angle = 2 * torch.pi * randomness(2).uniform(6)[:, 5, None]
    x, y, z = still.query.unbind(-1)
    wanted = (angle.cos() * x - angle.sin() * y, angle.sin() * x + angle.cos() * y, z)
    torch.testing.assert_close(moved.query, torch.stack(wanted, dim=-1))
    (seen,) = moved.inputs
    torch.testing.assert_close(seen[..., :3].norm(dim=-1), torch.ones(2, 200))


def test_now_and_then_the_encoder_sees_fewer_points(modality: SphereModality, randomness: Callable[..., Any]) -> None:
    items = [modality.dataset("train")[0]]
    often = replace(modality, fewer=0.9)
    counts = {often.collate(items, randomness(1, step)).inputs[0].shape[1] for step in range(30)}
    assert counts == {200, 50, 12}


def test_draws_depend_on_the_global_position_only(modality: SphereModality, randomness: Callable[..., Any]) -> None:
    data = modality.dataset("train")
    whole = modality.collate([data[i] for i in range(4)], randomness(4))
    part = modality.collate([data[2], data[3]], randomness([2, 3]))
    assert torch.equal(whole.query[2:], part.query)
    assert torch.equal(whole.inputs[0][2:], part.inputs[0])
    (both,), (second,) = modality.inputs([data[0], data[1]]), modality.inputs([data[1]])
    assert torch.equal(both[1:], second)


def test_read_out_is_in_units_at_any_place(modality: SphereModality) -> None:
    function = functions_of(modality, [0, 3])
    found = modality.values(function, np.array([[90.0], [0]]), np.array([0.0, 90, 180]))
    assert found.shape == (2, 2, 2, 3)
    torch.testing.assert_close(found[0, 0], torch.tensor([[300.0] * 3, [285, 280, 275]]))
    at_a_place = modality.values(function, np.array(0.0), np.array(180.0))
    torch.testing.assert_close(at_a_place, found[..., 1, 2])
    torch.testing.assert_close(found[1, 1, 1], torch.tensor([1003.0, 1000, 997]), atol=1e-3, rtol=0)


def test_functions_are_continuous_across_the_date_line_and_at_the_poles(modality: SphereModality) -> None:
    function = learned()
    latitude = np.linspace(-90, 90, 61)
    assert torch.equal(
        modality.values(function, latitude, np.array(-180.0)), modality.values(function, latitude, np.array(180.0))
    )
    for pole in (-90.0, 90.0):
        ring = modality.values(function, np.array(pole), np.linspace(-180, 180, 25))
        assert torch.equal(ring, ring[..., :1].expand_as(ring))
    scale = modality.values(function, latitude[:, None], np.arange(0.0, 360, 6)).std().item()
    a, b = (modality.values(function, latitude, np.array(one)) for one in (180 - 1e-4, -180 + 1e-4))
    assert (a - b).abs().max().item() < 1e-3 * scale
    near = modality.values(function, np.array(90 - 1e-4), np.linspace(-180, 180, 25))
    assert (near - near.mean(-1, keepdim=True)).abs().max().item() < 1e-3 * scale


def test_renderings_are_files(modality: SphereModality, tmp_path: Path) -> None:
    made = modality.render(functions_of(modality, [0, 1]), SphereRenderOptions(rows=12, globe=32, turn=True))
    assert isinstance(made, SphereRendering)
    paths = made.save(tmp_path / "out", start=5)
    assert [path.name for path in paths] == ["005.nc", "006.nc"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        f"00{i}.{k}" for i in (5, 6) for k in ("nc", "png", "gif")
    }
    with xarray.open_dataset(paths[0], engine="scipy") as data:
        assert dict(data.sizes) == {"latitude": 12, "longitude": 24}
        assert data.t.attrs["units"] == "K"
        assert data.latitude.attrs["units"] == "degrees_north"
        assert data.attrs["references"] == "waves of a test"
        assert data.t.sel(latitude=82.5, method="nearest").mean().item() == pytest.approx(280 + 20 * 0.9914, abs=0.1)
    # what was written can be read again
    (points,) = modality.read(paths[0])
    torch.testing.assert_close(
        points[..., 3:], modality.predict(functions_of(modality, [0]), points[..., :3]), atol=1e-3, rtol=0
    )
    made.save_sheet(tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet, Image.open(tmp_path / "out" / "005.gif") as turn:
        assert sheet.width > 200
        assert turn.n_frames == 36  # type: ignore[attr-defined]
        assert turn.size == (64, 32)
    assert [path.name for path in replace(made, options=SphereRenderOptions(format="png")).save(tmp_path / "p")] == [
        "000.png",
        "001.png",
    ]
    question = EXPLORATION.questions["sheet"]()
    assert question.answer(modality, functions_of(modality, [0])).media == "image/png"


def test_truth_is_the_data_between_their_points(modality: SphereModality) -> None:
    items = [modality.dataset("train")[0]]
    true = modality.truth(items, SphereRenderOptions(rows=16)).values
    made = modality.render(functions_of(modality, [0]), SphereRenderOptions(rows=16)).values
    assert (true - made)[:, 0].abs().max() < 20 * (np.pi / 8) ** 2 / 8 * 1.1  # of linear interpolation


def test_a_perfect_model_is_measured_as_perfect(modality: SphereModality) -> None:
    settings = SphereEvaluation(count=12, coarser=(2,), degrees=4)
    metrics = evaluate_spheres(modality, Oracle(modality), settings).metrics
    assert metrics["rmse/t"] < 1e-3
    assert metrics["rmse/2x/t"] < 1e-3 < metrics["rmse_bilinear/2x/t"]
    assert metrics["rmse_climatology/t"] < 0.01  # every year is like the one before
    assert metrics["spectrum/samples/t"] < 0.1
    assert metrics["mean/samples/p"] < 1e-3
    assert metrics["nearest/samples"] < 1e-3  # they are training times
    assert metrics["nearest/held_out"] < 1e-3  # every year is like the one before
    assert metrics["std/samples/t"] == metrics["std/prior/t"] > 0.1


def test_climatology_is_of_the_month_or_of_all(modality: SphereModality) -> None:
    train, held_out = modality.dataset("train"), modality.dataset("test")
    item = held_out[0]
    same = [train[i].values for i in range(len(train)) if train[i].month == item.month]
    torch.testing.assert_close(climatology(train, [item])[0], torch.stack(same).mean(0))
    unknown = replace(item, month=None)
    every = torch.stack([train[i].values for i in range(len(train))]).mean(0)
    torch.testing.assert_close(climatology(train, [unknown])[0], every)


def test_other_units_are_refused(modality: SphereModality, tmp_path: Path) -> None:
    with xarray.open_dataset(modality.source, engine="scipy", decode_times=False) as data:
        data.t.attrs["units"] = "degC"
        data.to_netcdf(tmp_path / "celsius.nc", engine="scipy")
    with pytest.raises(ValueError, match=r"celsius.nc': 't' is in 'degC', and the model was trained in 'K'"):
        modality.read(tmp_path / "celsius.nc")


def test_statistics_that_are_not_known(modality: SphereModality, tmp_path: Path) -> None:
    unknown = SphereModality(source=modality.source, held_out=4)
    with pytest.raises(ValueError, match=r"not known yet; take `modality.with_statistics\(\)`"):
        unknown.inputs([unknown.dataset("train")[0]])
    with xarray.open_dataset(modality.source, engine="scipy", decode_times=False) as data:
        (data * 0 + 1).assign({name: (0 * data[name]).assign_attrs(units="K") for name in ("t", "p")}).to_netcdf(
            tmp_path / "flat.nc", engine="scipy"
        )
    with pytest.raises(ValueError, match="'t' is constant"):
        replace(unknown, source=str(tmp_path / "flat.nc")).with_statistics()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SphereModality(points=0), "count from 1"),
        (lambda: SphereModality(gap=-1), "held_out and gap from 0"),
        (lambda: SphereModality(turned=1.5), "turned is a share of the items and fewer one"),
        (
            lambda: SphereModality(variables=("u",), units=("K", "K"), means=(0.0,), stds=(1.0,)),
            "for each of the variab",
        ),
        (lambda: SphereModality(variables=("u",), units=("K",), means=(0.0,), stds=(0.0,)), "positive stds"),
        (lambda: SphereRenderOptions(rows=2), "at least 4 rows"),
        (lambda: SphereRenderOptions(globe=8), "a globe 16 pixels"),
        (lambda: SphereRenderOptions(latitude=91.0), "latitude is from -90 to 90"),
        (lambda: SphereRenderOptions(globe=0, turn=True), "a turn needs the size of its globes"),
        (lambda: SphereEvaluation(count=1), "count is from 2"),
        (lambda: SphereEvaluation(coarser=(1,)), "coarser steps from 2"),
    ],
)
def test_bad_settings(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_the_poles_of_unit_vectors_are_one_cell_of_the_planes() -> None:
    assert unit_vectors(np.array([90.0]), np.array([77.0])).tolist() == [[0, 0, 1]]
