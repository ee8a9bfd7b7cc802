"""Releasing one package moves its version, its changelog and the bounds of its siblings, and nothing else."""

from __future__ import annotations

import importlib.util
import re
import shutil
import tomllib
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def release(tmp_path: Path) -> ModuleType:
    """The tool, working on a copy of the files it edits."""
    for path in [*(ROOT / "packages").glob("*/*.*"), *(ROOT / "apps").glob("*.*")]:
        if path.suffix in (".toml", ".md"):
            copy = tmp_path / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    spec = importlib.util.spec_from_file_location("release", ROOT / "tools" / "release.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.ROOT = tmp_path  # type: ignore[attr-defined]
    return module


@pytest.mark.parametrize("path", sorted((*ROOT.glob("packages/*/pyproject.toml"), ROOT / "apps" / "pyproject.toml")))
def test_every_package_says_its_version(path: Path) -> None:
    project = tomllib.loads(path.read_text())["project"]
    module = importlib.import_module(project["name"].replace("-", "_"))
    assert module.__version__ == version(project["name"]) == project["version"]


def test_bump_moves_version_changelog_and_bounds(release: ModuleType, tmp_path: Path) -> None:
    changed = {str(p.relative_to(tmp_path)) for p in release.bump("ddmi-fields", "0.2.0", "2030-01-02")}
    assert changed == {
        "packages/ddmi-fields/CHANGELOG.md",
        "packages/ddmi-fields/pyproject.toml",
        "packages/ddmi-vae/pyproject.toml",
        "packages/ddmi-modalities/pyproject.toml",
        "apps/pyproject.toml",
    }
    assert 'version = "0.2.0"' in (tmp_path / "packages/ddmi-fields/pyproject.toml").read_text()
    assert '"ddmi-fields>=0.2,<0.3"' in (tmp_path / "packages/ddmi-vae/pyproject.toml").read_text()
    assert 'version = "0.1.0"' in (tmp_path / "packages/ddmi-vae/pyproject.toml").read_text()
    assert "## 0.2.0 (2030-01-02)" in (tmp_path / "packages/ddmi-fields/CHANGELOG.md").read_text()


def test_extras_of_a_requirement_stay(release: ModuleType, tmp_path: Path) -> None:
    release.bump("ddmi-diffusion", "1.0.0", "2030-01-02")
    assert re.search(r'"ddmi-diffusion\[tensorboard\]>=1.0,<2"', (tmp_path / "apps/pyproject.toml").read_text())


@pytest.mark.parametrize(
    ("name", "version", "says"),
    [("ddmi-nothing", "9.0.0", "no package is called"), ("ddmi-vae", "0.1.0", "is not newer")],
)
def test_refusals(release: ModuleType, name: str, version: str, says: str) -> None:
    with pytest.raises(SystemExit, match=says):
        release.bump(name, version, "2030-01-02")


def test_workflows_name_sessions_and_tags_that_exist() -> None:
    noxfile = (ROOT / "noxfile.py").read_text()
    ci, publish = (yaml.safe_load((ROOT / f".github/workflows/{name}.yml").read_text()) for name in ("ci", "release"))
    for session in [*ci["jobs"]["session"]["strategy"]["matrix"]["name"], "tests"]:
        assert f"def {session}(" in noxfile
    assert set(ci["jobs"]["systems"]["strategy"]["matrix"]["system"]) == {"windows-latest", "macos-latest"}
    assert publish[True]["push"]["tags"] == ["*-v*"]  # YAML reads "on" as true
    assert 'f"{arguments.name}-v{arguments.version}"' in (ROOT / "tools" / "release.py").read_text()
    assert publish["jobs"]["publish"]["permissions"] == {"id-token": "write"}
