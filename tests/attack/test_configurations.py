"""Any JSON in the place of what we read: a value, or a ValueError of ours that names the file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ddmi.commands.settings import with_setting
from ddmi.console import _is_ours
from ddmi.registry import make_experiment
from ddmi.serialization import experiment_text, read_experiment_file
from ddmi_modalities.datasets.manifest import describe_manifest
from ddmi_modalities.nerf.data.transforms_json import read_transforms

from .loaders import LOADERS

EXAMPLES = 10 * int(os.environ.get("DDMI_ATTACK", "4"))
attacked = settings(
    derandomize="DDMI_ATTACK" not in os.environ, max_examples=EXAMPLES, deadline=None, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip

NUMBERS = st.one_of(
    st.integers(), st.floats(), st.sampled_from([0, -1, 10**400, 2**63, 1e300, 1e-300, 0.5, 65537, 10**6])
)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=20))
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip


def places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value in it."""
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [path, *(place for key, value in inner for place in places(value, (*path, key)))]


def replaced(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy with another value at a path."""
    if not path:
        return value
    copy = dict(data) if isinstance(data, dict) else list(data)
    copy[path[0]] = replaced(data[path[0]], path[1:], value)
    return copy


def changes(data: Any) -> st.SearchStrategy[Any]:
    """The document with one to three values replaced, or anything else."""

    def change(drawn: list[tuple[tuple[Any, ...], Any]]) -> Any:
        changed = data
        for path, value in drawn:
            try:
                changed = replaced(changed, path, value)
            except (KeyError, IndexError, TypeError, ValueError):  # of what is replaced already
                continue
        return changed

    some = st.lists(st.tuples(st.sampled_from(places(data)), VALUES), min_size=1, max_size=3)
    return some.map(change) | VALUES


def refuses_or_reads(read: Callable[[], object], name: str) -> None:
    try:
        read()
    except ValueError as refusal:
        error = refusal
    else:
        return
    assert _is_ours(error.__traceback__), f"not ours: {error!r}"
    assert name in str(error)


EXPERIMENTS = [(name, make_experiment(name, "test", None)) for name in ("openmoji", "furniture-text", "turntable")]
CONFIGURATIONS = [json.loads(experiment_text(experiment)) for _, experiment in EXPERIMENTS]


@attacked
@given(data=st.one_of([changes(one) for one in CONFIGURATIONS]))
def test_configurations(data: Any, tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(data))

    def read() -> None:
        experiment = read_experiment_file(file)
        again = tmp_path / "again.json"
        again.write_text(experiment_text(experiment))
        assert read_experiment_file(again) == experiment or "nan" in repr(experiment)

    refuses_or_reads(read, str(file))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    LOADERS["transforms"].write(folder)
    return folder / "scene"


@attacked
@given(draw=st.data())
def test_transforms(draw: st.DataObject, scene: Path) -> None:
    file = scene / "transforms.json"
    kept = scene / "sound.json"
    if not kept.exists():
        kept.write_bytes(file.read_bytes())
    file.write_text(json.dumps(draw.draw(changes(json.loads(kept.read_bytes())))))
    refuses_or_reads(lambda: read_transforms(scene, 4), str(scene))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    LOADERS["prepared"].write(folder)
    return folder


@attacked
@given(draw=st.data())
def test_manifests(draw: st.DataObject, prepared: Path) -> None:
    file = prepared / "out" / "manifest.json"
    kept = prepared / "sound.json"
    if not kept.exists():
        kept.write_bytes(file.read_bytes())
    file.write_text(json.dumps(draw.draw(changes(json.loads(kept.read_bytes())))))
    describe_manifest(file.parent)
    refuses_or_reads(lambda: LOADERS["prepared"].read(prepared), str(file.parent))


SETTINGS = [".".join(map(str, place)) for place in places(CONFIGURATIONS[0]) if place and "type" not in place]


@attacked
@given(path=st.sampled_from(SETTINGS) | st.text(max_size=20), value=VALUES.map(json.dumps) | st.text(max_size=20))
def test_settings_of_the_line(path: str, value: str) -> None:
    setting = f"{path}={value}"
    refuses_or_reads(lambda: with_setting(EXPERIMENTS[0][1], setting), "--set")
