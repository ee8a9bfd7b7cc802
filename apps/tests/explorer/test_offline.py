"""Pages that need no server: all that their scripts may ask is in them."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from ddmi import DDMI
from ddmi.cli import main
from ddmi.explorer.explored import Explored, HowToSample, named
from ddmi.explorer.offline import write_page
from ddmi.explorer.page import document, script_of
from ddmi.explorer.questions import address, question_of
from ddmi.explorer.three import three_js
from ddmi_modalities.exploration import Asked
from ddmi_modalities.image.explore import Picture, Tile
from ddmi_modalities.nerf.explore import Look
from ddmi_modalities.plain_exploration import EXPLORATION as PLAIN

from ..command_line import fails


def data_of(page: str) -> dict[str, object]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    loaded = json.loads(found[1])
    assert isinstance(loaded, dict)
    return loaded


def test_everything_is_inside(explored: Mapping[str, Explored], tmp_path: Path) -> None:
    models = [explored[name] for name in ("openmoji", "furniture", "moving-openmoji")]
    write_page(models, HowToSample(count=2, steps=2), tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    data = data_of(page)
    assert not data["live"]
    for model, described in zip(models, data["models"], strict=True):  # type: ignore[call-overload]
        assert len(described["functions"]) == 2
        wanted = {
            described["picture"],
            *(address(one) for one in model.exploration.ahead(model.model.experiment.modality)),
        }
        for function in described["functions"]:
            assert set(function["answers"]) == wanted
            assert all(uri.startswith("data:") for uri in function["answers"].values())
    (tile,) = {function["answers"]["tile?"] for function in data["models"][0]["functions"][:1]}  # type: ignore[index]
    assert Image.open(io.BytesIO(base64.b64decode(tile.partition(",")[2]))).size == (256, 256)
    assert "TITLE" not in page
    assert "SCRIPTS" not in page


def test_by_the_command_line(tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "see" / "page.html"
    assert main(["explore", str(tiny_run), "--html", str(out), "--count", "1"]) == 0
    assert "open it in a browser: file://" in capsys.readouterr().err
    assert len(data_of(out.read_text())["models"]) == 1  # type: ignore[arg-type]


def test_nothing_to_see_is_said(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ddmi.registry.installed_models", dict)
    assert "name a run or a model: `ddmi explore RUN`" in fails(capsys, "explore")
    (tmp_path / "first").mkdir()
    for name in ("config.json", "vae.safetensors"):
        (tmp_path / "first" / name).write_bytes((tiny_run / name).read_bytes())
    assert "first has no second stage yet" in fails(
        capsys, "explore", tmp_path / "first", "--html", tmp_path / "x.html"
    )
    assert not (tmp_path / "x.html").exists()


def test_labels_cannot_break_out_of_the_page(explored: Mapping[str, Explored]) -> None:
    label = "</script><script>alert(1)</script> SCRIPTS"
    page = document([explored["openmoji"].exploration], {"label": label}, "<b> STYLE")
    assert "<script>alert(1)" not in page
    assert "<title>&lt;b&gt; STYLE</title>" in page
    assert data_of(page) == {"label": label}


def test_a_script_of_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "somebodys").mkdir()
    (tmp_path / "somebodys" / "__init__.py").touch()
    (tmp_path / "somebodys" / "waves.js").write_text("ddmi.views.waves = class {};")
    monkeypatch.syspath_prepend(tmp_path)
    waves = replace(PLAIN, script="somebodys:waves.js", view="waves")
    page = document([waves, waves], {}, "waves")
    assert page.count("ddmi.views.waves = class {};") == 1
    assert "ddmi.views.plain" not in page
    assert "THREE" not in page


@pytest.mark.parametrize("recipe", ["openmoji", "furniture", "turntable", "moving-openmoji"])
def test_scripts_define_the_views_that_are_named(explored: Mapping[str, Explored], recipe: str) -> None:
    exploration = explored[recipe].exploration
    assert f"ddmi.views.{exploration.view} = class" in script_of(exploration.script)
    assert explored[recipe].description()["view"] == exploration.view


def test_three_js_is_whole() -> None:
    script = three_js()
    assert script.count("THREE.GLTFLoader=GLTFLoader") == 1
    assert "base64_data" not in script
    assert script.rstrip().endswith(";")


def test_addresses_are_those_of_the_page() -> None:
    """As `ddmi.Source.address` of page.js: names in order, numbers as JavaScript writes them."""
    assert address(Asked("tile")) == "tile?"
    assert (
        address(Asked("look", {"size": 96, "azimuth": 30.0, "depth": False})) == "look?azimuth=30&depth=false&size=96"
    )
    assert address(Asked("slice", {"at": -0.25, "axis": "x"})) == "slice?at=-0.25&axis=x"


def test_questions_from_words() -> None:
    assert question_of(Tile, {"z": "1", "x": "1"}) == Tile(z=1, x=1)
    assert question_of(Look, {"azimuth": "12.5", "depth": "true"}) == Look(azimuth=12.5, depth=True)
    assert question_of(Picture, {}) == Picture()
    for words, message in (({"depth": "yes"}, "depth is true or false, got 'yes'"), ({"size": "1.5"}, "whole number")):
        with pytest.raises(ValueError, match=message):
            question_of(Look, words)


def test_two_explorers_name_no_two_functions_alike(explored: Mapping[str, Explored]) -> None:
    """A browser that kept answers of the one would show them for the other."""
    names = {
        next(Explored("same", explored["openmoji"].model).sample(HowToSample(count=1, steps=1))).name for _ in range(2)
    }
    assert len(names) == 2


def test_names_can_stand_in_addresses(explored: Mapping[str, Explored]) -> None:
    models: list[DDMI] = [explored["openmoji"].model] * 4
    assert list(named(["demo", "demo", "a b/ü", "../.."], models)) == ["demo", "demo-2", "a-b", "model"]
