"""The pages of docs/how-to: their examples do what they say, and the tests that they show pass."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ddmi import cli, registry
from ddmi.cli import main
from ddmi.experiment import nodes

from .documents import files_of

PAGES = Path(__file__).resolve().parent.parent / "docs" / "how-to"
CACHES = (registry.announced, registry.recipes, registry.modality_specs, registry.addresses)

CONFTEST = """
from pathlib import Path
import pytest
from ddmi import cli
cli.COMMANDS = {**cli.COMMANDS, "size": "size:Size"}

@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "tiny"
    assert cli.main(["train", "openmoji", "--preset", "test", "--run", str(run)]) == 0
    return run
"""


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Path]]:
    """Writes the files of a page to a folder, from which they can be imported."""

    def write(name: str) -> Path:
        for file, content in files_of(PAGES / f"{name}.md").items():
            (tmp_path / file).write_text(content)
        monkeypatch.syspath_prepend(tmp_path)
        return tmp_path

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield write
    for cache in CACHES:
        cache.cache_clear()
    for file in tmp_path.glob("*.py"):
        sys.modules.pop(file.stem, None)


@pytest.mark.parametrize("name", ["dataset", "metric", "denoiser", "recipe", "command"])
def test_the_test_to_write_passes(name: str, page: Callable[[str], Path]) -> None:
    folder = page(name)
    (folder / "conftest.py").write_text(CONFTEST)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stdout[-3000:]
    assert re.search(r"\d passed", done.stdout), done.stdout


def train(run: Path, recipe: str, *options: str) -> Mapping[str, Any]:
    assert main(["train", recipe, "--preset", "test", "--run", str(run), *options]) == 0
    return json.loads((run / "config.json").read_text())


def test_a_data_set(page: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page("dataset")
    from checkers import Checkers  # type: ignore[import-not-found]

    from ddmi_modalities.image.data import sources

    opened = sources.open_source
    monkeypatch.setattr(
        sources,
        "open_source",
        lambda source, embedded, layouts: opened(source, {**embedded, "checkers": lambda: Checkers("train")}, layouts),
    )
    assert train(tmp_path / "run", "images", "--data", "checkers")["modality"]["source"] == "checkers"
    assert main(["train", "images", "--preset", "test", "--data", "checkers", "--dry-run"]) == 0


def test_a_denoiser(page: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page("denoiser")
    monkeypatch.setattr(registry, "NODES", {**nodes.NODES, "denoiser/mixer": "mixer:MixerConfig"})
    registry.addresses.cache_clear()
    options = ("--set", "diffusion.denoiser=mixer", "--diffusion.denoiser.depth", "1")
    saved = train(tmp_path / "run", "openmoji", *options)["diffusion"]["denoiser"]
    assert saved == {"type": "denoiser/mixer", "width": 16, "depth": 1}, "the width is that of the U-Net before"
    assert main(["sample", str(tmp_path / "run"), "--count", "2", "--out", str(tmp_path / "made")]) == 0


def test_a_recipe(page: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = page("recipe") / "our_recipes-0.1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: our-recipes\nVersion: 0.1.0\n")
    announced = re.findall(r'^(\w+) = "(our_recipes:\w+)"', (tmp_path / "pyproject.toml").read_text(), re.MULTILINE)
    (folder / "entry_points.txt").write_text("[ddmi.recipes]\n" + "\n".join(" = ".join(one) for one in announced))
    for cache in CACHES:
        cache.cache_clear()
    assert main(["recipes"]) == 0
    listed = " ".join(capsys.readouterr().out.split())
    assert "sketches OpenMoji by a transformer, with more weight on the prior; no evening, recommended, paper" in listed
    saved = train(tmp_path / "run", "sketches")
    assert (saved["recipe"], saved["diffusion"]["denoiser"]["type"]) == ("sketches", "denoiser/dit")


def test_a_command(page: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    page("command")
    monkeypatch.setattr(cli, "COMMANDS", {**cli.COMMANDS, "size": "size:Size"})
    assert main(["--help"]) == 0
    assert "size             Print how many parameters the networks of a run have." in capsys.readouterr().out


def test_edits_that_pages_show_are_of_lines_that_are_there() -> None:
    root = PAGES.parent.parent
    sources = (root / "packages/ddmi-modalities/src/ddmi_modalities/image/data/sources.py").read_text()
    assert '{"openmoji": lambda: OpenMoji(split, cache, sizes=kept)}' in sources
    evaluation = (root / "packages/ddmi-modalities/src/ddmi_modalities/image/evaluation.py").read_text()
    assert 'rows.setdefault(f"{name}{way}/{size}", []).append(values)' in evaluation
    assert '"denoiser/dit": "ddmi_diffusion.dit:DiTConfig",' in (root / "apps/src/ddmi/experiment/nodes.py").read_text()
    assert '"fit": "ddmi.commands.fit:Fit",' in (root / "apps/src/ddmi/cli.py").read_text()
