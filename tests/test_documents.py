"""What documents show exists and runs: quick code here in the gate, slow code and notebooks by `nox -s docs`."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path

import pytest
import torch

from ddmi.cli import COMMANDS

from .documents import ROOT, diagrams, documentation, miniatures, run_blocks

PAGES = sorted(path for path in documentation.sources() if path.suffix == ".md" and path.name != "CHANGELOG.md")
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
DATA = {
    "PICTURES": miniatures.afhq,
    "CLIPS": miniatures.sky,
    "MESHES": miniatures.meshes,
    "VIEWS": miniatures.srn,
    "FIELDS.nc": miniatures.fields,
    "FERRET.deb": miniatures.ferret,
    "afhqv2": miniatures.afhq,
    "cifar10": miniatures.cifar,
    "fashion-mnist": miniatures.mnist,
    "lsun-churches": miniatures.lsun,
    "shapenet": miniatures.shapenet,
    "sky-timelapse": miniatures.sky,
    "srn-cars": miniatures.srn,
}
"""Folders of the user's that documents name, and what pages of published data sets call DATA, by the page."""


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def with_code(*, slow: bool) -> list[Path]:
    found = []
    for path in PAGES:
        blocks = [block for block in documentation.blocks(path.read_text()) if block.runs]
        if any(block.slow for block in blocks) if slow else any(not block.slow for block in blocks):
            found.append(path)
    return [path for path in found if path not in TUTORIALS]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, with files of the user's that documents name, and a cache of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path.parent / "cache"))
    torch.manual_seed(0)
    return tmp_path


def test_links_lead_somewhere(tmp_path: Path) -> None:
    documentation.assemble(tmp_path / "site")
    assert (tmp_path / "site" / "index.md").exists()
    for place in re.findall(r'"([\w/.-]+\.md)"', (ROOT / "zensical.toml").read_text()):
        assert (tmp_path / "site" / place).exists(), place


def test_the_site_lists_whose_code_is_run() -> None:
    listed = documentation.run_table(documentation.sources())
    for path in {*with_code(slow=False), *with_code(slow=True)}:
        (row,) = [line for line in listed.splitlines() if f"({documentation.sources()[path]})" in line]
        counts = [sum(int(cell or 0) for cell in row.split(" | ")[1:3])]
        assert counts == [sum(block.runs for block in documentation.blocks(path.read_text()))]


def test_a_link_that_leads_nowhere_is_refused() -> None:
    source = ROOT / "docs" / "index.md"
    with pytest.raises(ValueError, match=r"docs/index.md: links to none.md, which is not there; mend the link"):
        documentation.turned("see [none](none.md)", source, documentation.sources())


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_commands_sessions_and_marks_are_known(path: Path) -> None:
    text = path.read_text()
    for block in documentation.blocks(text):
        assert block.mark in ("", "slow") or re.fullmatch(r"not run: .+", block.mark), (
            f"line {block.line}: {block.mark}"
        )
        if block.language == "console":
            for line in documentation.commands(block.code):
                for command in re.findall(r"(?:^|-m |&& )ddmi ([a-z]\S*)", line):
                    assert command in COMMANDS, f"line {block.line}: {line}"
    noxfile = (ROOT / "noxfile.py").read_text()
    for sessions in re.findall(r"nox -s ((?:[a-z][\w-]* ?)+)", text):
        for session in sessions.split():
            assert f"def {session.replace('-', '_')}(" in noxfile or session in noxfile, session


OURS = ("start", "concepts", "training-curves", "recipes", "why", *(f"tutorials/{path.stem}" for path in TUTORIALS))
"""Pages that quote figures."""
NO_FIGURES = {"0.03", "0.12", "0.5", "0.9", "3.11", "4.0"}
"""Of settings, formulas, bounds, versions and licences."""


@pytest.mark.parametrize("name", OURS)
def test_figures_are_those_of_the_results_that_a_page_links_to(name: str) -> None:
    page = ROOT / "docs" / f"{name}.md"
    text = re.sub(r"```.*?^```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    links = {target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]*benchmarks/results/[^)\s]+)\)", text)}
    results = [(page.parent / link).resolve() for link in links if link.endswith((".md", ".json"))]
    measured = set(re.findall(r"\d+\.\d+", " ".join(path.read_text() for path in results)))
    figures = set(re.findall(r"(?<![\d.])\d+\.\d+(?![\d.])", re.sub(r"\]\([^)]*\)|arXiv:\S+", "", text)))
    unknown = {one for one in figures - NO_FIGURES - measured if not rounded(one, measured)}
    assert not unknown, f"{name}: no results that it links to have {sorted(unknown)}"


def rounded(figure: str, measured: set[str]) -> bool:
    """Whether a figure is one of the measured ones with fewer digits."""
    digits = len(figure.partition(".")[2])
    return any(f"{float(one):.{digits}f}" == figure for one in measured)


def test_diagrams_are_those_that_are_drawn() -> None:
    for name, draw in diagrams.DIAGRAMS.items():
        drawn = (ROOT / "docs" / "images" / f"concept-{name}.svg").read_text()
        assert drawn == draw().svg(), f"concept-{name}.svg: run tools/diagrams.py"


def test_public_names_are_in_the_reference() -> None:
    for package in ("ddmi-fields", "ddmi-vae", "ddmi-diffusion", "ddmi-modalities", "ddmi-models", "ddmi"):
        shown = re.findall(r"^::: ([\w.]+)$", (ROOT / "docs" / "reference" / f"{package}.md").read_text(), re.MULTILINE)
        module = package.replace("-", "_")
        parts = [module, *{name.rpartition(".")[0] for name in shown}]
        for part in parts:
            names = {name for name in importlib.import_module(part).__all__ if not name.startswith("__")}
            missing = names - {name.rpartition(".")[2] for name in shown if name.startswith(f"{part}.")}
            assert not missing, f"docs/reference/{package}.md lacks {sorted(missing)} of {part}"


@pytest.mark.parametrize("path", with_code(slow=False), ids=name_of)
def test_quick_code_runs(path: Path, folder: Path) -> None:
    assert run_blocks(path, slow=False) > 0


@pytest.mark.docs
@pytest.mark.parametrize("path", with_code(slow=True), ids=name_of)
def test_slow_code_runs(path: Path, folder: Path) -> None:
    users_files(folder, path.stem)
    assert run_blocks(path, slow=True) > 0


@pytest.mark.docs
@pytest.mark.parametrize("path", TUTORIALS, ids=name_of)
def test_notebook_runs(path: Path, folder: Path) -> None:
    """Each tutorial as a notebook, at preset test."""
    nbformat = pytest.importorskip("nbformat", reason="uv run --group docs")
    from nbclient import NotebookClient

    text = json.dumps(documentation.notebook(path.read_text()))
    notebook = nbformat.reads(re.sub(r"--preset [\w-]+", "--preset test", text), as_version=4)
    nbformat.validate(notebook)
    client = NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    client.execute()
    assert sum(cell.cell_type == "code" for cell in notebook.cells) >= 4


def users_files(folder: Path, page: str) -> None:
    """A picture, a cloud of points, a clip and small data, as documents call them."""
    import numpy as np
    import trimesh

    from ddmi_modalities.files.clips import save_mp4
    from ddmi_modalities.files.pixels import to_picture
    from ddmi_modalities.image import OpenMoji
    from ddmi_modalities.shape import Furniture
    from ddmi_modalities.video import MovingOpenMoji

    to_picture(OpenMoji("test")[0].pixels(64)).save(folder / "picture.png")
    trimesh.PointCloud(Furniture("test")[0].surface(500, np.random.default_rng(0))[0]).export(folder / "cloud.ply")
    save_mp4(MovingOpenMoji("test", items=1)[0].frames(torch.arange(16.0), 32), folder / "clip.mp4", 8)
    for name, write in DATA.items():
        if name.partition(".")[0].isupper():
            write(folder / name)
    if page in DATA:
        DATA[page](folder / "DATA")
