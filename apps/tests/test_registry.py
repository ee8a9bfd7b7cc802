"""What distributions announce: names twice, modules that cannot be loaded, words that nobody knows."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ddmi import make_experiment, registry
from ddmi.recipes import Recipe, recipe
from ddmi.serialization import experiment_text, read_experiment_file
from ddmi.training.run import start_run
from ddmi_modalities.spec import ModalitySpec

from .command_line import fails

Announce = Callable[..., None]


@pytest.fixture
def announce(monkeypatch: pytest.MonkeyPatch) -> Iterator[Announce]:
    """Announces objects, as another installed distribution would."""
    theirs: list[EntryPoint] = []
    module = ModuleType("theirs")
    monkeypatch.setitem(sys.modules, "theirs", module)
    installed = registry.entry_points

    def forget() -> None:
        for cached in (registry.announced, registry.recipes, registry.modality_specs, registry.addresses):
            cached.cache_clear()

    def add(group: str, name: str, value: object, at: str = "thing") -> None:
        setattr(module, at, value)
        theirs.append(EntryPoint(name, f"theirs:{at}", group))
        forget()

    monkeypatch.setattr(
        registry, "entry_points", lambda group: [*installed(group=group), *(e for e in theirs if e.group == group)]
    )
    forget()
    yield add
    forget()


@dataclass(frozen=True)
class Theirs:
    """Settings of somebody else."""

    Theirs: int = 1


def test_recipes_are_announced(announce: Announce, capsys: pytest.CaptureFixture[str]) -> None:
    @recipe(presets=("test",))
    def waves(preset: str) -> Any:
        """Waves."""
        return make_experiment("openmoji", preset)

    announce("ddmi.recipes", "waves", waves)
    assert registry.recipes()["waves"].summary == "Waves."
    experiment = make_experiment("waves", "test")
    assert (experiment.recipe, experiment.preset) == ("waves", "test")
    assert "choose one of test" in fails(capsys, "train", "waves", "--preset", "demo")


def test_a_plain_function_is_a_recipe(announce: Announce) -> None:
    announce("ddmi.recipes", "plain", lambda preset: make_experiment("openmoji", preset))
    assert isinstance(registry.recipes()["plain"], Recipe)
    assert make_experiment("plain", "test").recipe == "plain"


def test_a_recipe_settles_what_only_its_data_tell(announce: Announce, tmp_path: Path) -> None:
    def with_items(experiment: Any) -> Any:
        return replace(experiment, losses=replace(experiment.losses, kl_weight=0.5))

    @recipe(presets=("test",), settle=with_items)
    def waves(preset: str) -> Any:
        """Waves."""
        return make_experiment("openmoji", preset)

    announce("ddmi.recipes", "waves", waves)
    with start_run(make_experiment("waves", "test"), tmp_path / "run", fresh=True) as run:
        assert run.experiment.losses.kl_weight == 0.5
    assert read_experiment_file(tmp_path / "run" / "config.json").losses.kl_weight == 0.5


def test_one_name_by_two_is_refused(announce: Announce, capsys: pytest.CaptureFixture[str]) -> None:
    announce("ddmi.recipes", "openmoji", lambda preset: None)
    message = fails(capsys, "recipes")
    assert "'openmoji' is announced in ddmi.recipes by ddmi and by an unknown distribution; uninstall one" in message


def test_one_word_for_two_types_is_refused(announce: Announce) -> None:
    spec = ModalitySpec(
        name="theirs", modality="theirs:M", evaluations="theirs:e", report="theirs:r", nodes={"noise": "a:B"}
    )
    announce("ddmi.modalities", "theirs", spec)
    with pytest.raises(ValueError, match="settings 'noise' are both .*NoiseConfig and a:B; uninstall one"):
        registry.addresses()


def test_what_cannot_be_loaded_is_said_and_left_out(
    announce: Announce, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry.logger, "propagate", True)
    announce("ddmi.recipes", "broken", None)
    monkeypatch.delitem(sys.modules, "theirs")
    assert "broken" not in registry.recipes()
    assert "openmoji" in registry.recipes()
    assert "'broken' of an unknown distribution cannot be loaded (ModuleNotFoundError" in caplog.text


def test_types_that_nobody_announces_cannot_be_saved() -> None:
    with pytest.raises(ValueError, match=r"Theirs is in no `ModalitySpec.nodes`.*docs/how-to/modality.md"):
        registry.word_of(Theirs)


def test_a_word_from_a_file_is_never_imported(tmp_path: Path) -> None:
    for word in ("os:system", "theirs:Theirs", "ddmi.pipeline:DDMI", "modality/os"):
        config = json.loads(experiment_text(make_experiment("openmoji", "test")))
        config["vae"]["read_out"] = {"type": word}
        (tmp_path / "config.json").write_text(json.dumps(config))
        with pytest.raises(ValueError, match=f"type '{word}' is not known here; install the distribution"):
            read_experiment_file(tmp_path / "config.json")


def test_a_file_says_what_to_install(tmp_path: Path) -> None:
    config = json.loads(experiment_text(make_experiment("openmoji", "test")))
    config["modality"] = {"type": "modality/waves"}
    config["distributions"] = {"modality/waves": "ddmi-waves"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"config.json: the type 'modality/waves' .*pip install ddmi-waves"):
        read_experiment_file(tmp_path / "config.json")


def test_newer_files_are_refused(tmp_path: Path) -> None:
    config = json.loads(experiment_text(make_experiment("openmoji", "test"))) | {"version": 99}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="version 99 .* is newer than 3"):
        read_experiment_file(tmp_path / "config.json")
