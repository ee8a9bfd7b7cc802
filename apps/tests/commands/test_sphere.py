"""Functions on the sphere at the command line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray

from ddmi import DDMI
from ddmi.cli import main
from ddmi.registry import make_experiment, settled

from .. import miniatures
from ..command_line import fails

TRAIN = ("train", "sphere", "--preset", "test", "--modality.held-out", "4")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sphere")
    data = miniatures.fields(folder / "fields.nc")
    assert main([*TRAIN, "--data", str(data), "--run", str(folder / "run")]) == 0
    return folder / "run"


def test_what_the_data_tell_is_in_the_configuration(run: Path) -> None:
    config = json.loads((run / "config.json").read_text())
    modality = config["modality"]
    assert modality["variables"] == ["u", "v"]
    assert modality["units"] == ["m s-1", "m s-1"]
    assert modality["credit"] == "waves of a test"
    assert 1 < modality["stds"][0] < 5
    model = DDMI.from_pretrained(run)
    assert model.experiment.vae.read_out.out_channels == 2  # type: ignore[attr-defined]
    assert settled(model.experiment) == model.experiment


def test_a_run_goes_on(run: Path) -> None:
    data = str(run.parent / "fields.nc")
    assert main([*TRAIN, "--data", data, "--run", str(run), "--resume"]) == 0


def test_networks_have_as_many_channels_as_there_are_variables(run: Path) -> None:
    experiment = make_experiment("sphere", "test", str(run.parent / "fields.nc"))
    modality = replace(experiment.modality, held_out=4)  # type: ignore[call-arg]
    experiment = replace(experiment, modality=modality)
    assert settled(experiment).vae.encoder.in_channels == 5  # type: ignore[attr-defined]
    assert settled(make_experiment("openmoji", "test")) == make_experiment("openmoji", "test")


def test_samples_are_netcdf_with_units(run: Path, tmp_path: Path) -> None:
    options = ["--count", "2", "--rows", "10", "--globe", "24", "--turn", "--out", str(tmp_path)]
    assert main(["sample", str(run), *options]) == 0
    names = {path.name for path in tmp_path.iterdir()}
    assert names >= {f"00{i}.{kind}" for i in range(2) for kind in ("nc", "png", "gif")}
    with xarray.open_dataset(tmp_path / "000.nc", engine="scipy") as data:
        assert data.u.attrs["units"] == "m s-1"
        assert data.u.shape == (10, 20)
        assert data.attrs["references"] == "waves of a test"


def test_a_run_is_evaluated_and_reported(run: Path) -> None:
    assert main(["evaluate", str(run), "--count", "2", "--coarser", "2", "--degrees", "5"]) == 0
    metrics = json.loads((run / "metrics.json").read_text())
    wanted = {"rmse/u", "rmse_climatology/v", "rmse/2x/u", "rmse_bilinear/2x/u", "spectrum/samples/u", "std/prior/v"}
    assert wanted <= set(metrics)
    assert main(["report", str(run)]) == 0
    assert {"reconstructions_u.png", "samples.png", "turning.gif"} <= {path.name for path in (run / "report").iterdir()}


def test_a_file_is_reconstructed(run: Path, tmp_path: Path) -> None:
    other = miniatures.fields(tmp_path / "other.nc", 1)
    assert main(["reconstruct", str(run), str(other), "--rows", "8", "--out", str(tmp_path / "out")]) == 0
    assert list((tmp_path / "out").glob("*.nc"))


def test_bad_data_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = miniatures.fields(tmp_path / "fields.nc")
    where = ["--data", data, "--run", tmp_path / "run"]
    assert "has no variable 'w'; it has u, v" in fails(capsys, *TRAIN, *where, "--modality.variables", "u", "w")
    few = fails(capsys, "train", "sphere", "--preset", "test", *where)
    assert "16 times are too few to hold the last 24 out" in few
    assert not (tmp_path / "run").exists()
    assert "is no NetCDF file" in fails(capsys, *TRAIN, "--data", miniatures.ferret(tmp_path / "f.deb"), "--dry-run")


def test_winds_are_prepared_from_a_package(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    package, out = miniatures.ferret(tmp_path / "ferret-datasets_1.0-1_all.deb"), tmp_path / "winds"
    assert main(["prepare", "winds", str(package), "--out", str(out)]) == 0
    assert f"train on them with `ddmi train winds --data {out}`" in capsys.readouterr().err
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["settings"]["version"] == "1.0-1"
    assert "Fleet Numerical" in (out / "ATTRIBUTION.txt").read_text()
    assert (out / "copyright").read_text() == "public domain\n"
    run = tmp_path / "run"
    assert main(["train", "winds", "--preset", "test", "--data", str(out), "--run", str(run), "--stage", "vae"]) == 0
    assert "data: 15 training items, 24 held out" in capsys.readouterr().err
    assert "Fleet Numerical" in str(DDMI.from_pretrained(run).attribution)
    # without a file the package is fetched
    monkeypatch.setattr("ddmi_modalities.sphere.prepare.download_deb", lambda name, folder: package)
    assert main(["prepare", "winds", "--out", str(tmp_path / "fetched")]) == 0
    fetched = (tmp_path / "fetched" / "monthly_navy_winds.cdf").read_bytes()
    assert fetched == (out / "monthly_navy_winds.cdf").read_bytes()


def test_what_cannot_be_prepared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def message(recipe: str, *source: Path) -> str:
        return fails(capsys, "prepare", recipe, *source, "--out", tmp_path / "out")

    assert "read as they are; pass them to --data" in message("sphere", miniatures.fields(tmp_path / "a.nc"))
    other = miniatures.ferret(tmp_path / "a.deb", "other-datasets")
    assert "is the package 'other-datasets', and the winds are in 'ferret-datasets'" in message("winds", other)
    assert "has no file usr/share/ferret-vis" in message("winds", miniatures.ferret(tmp_path / "b.deb", without="navy"))
    assert "prepare: name the data: `ddmi prepare images SOURCE --out" in message("images")


def test_read_out_at_a_place(run: Path) -> None:
    model = DDMI.from_pretrained(run)
    function = model.sample(1, seed=0)
    modality = model.experiment.modality
    west, east = (modality.values(function, np.linspace(-90, 90, 5), np.array(one)) for one in (-180.0, 180.0))  # type: ignore[attr-defined]
    assert torch.equal(west, east)
