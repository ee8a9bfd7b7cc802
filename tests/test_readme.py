"""What the README shows exists and runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from ddmi.cli import COMMANDS, main

from .documents import code_blocks

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("path", sorted((ROOT / "packages").glob("*/README.md")), ids=lambda path: path.parent.name)
def test_package_quickstarts_run(path: Path) -> None:
    torch.manual_seed(0)
    for block in code_blocks(path, "python"):
        exec(compile(block, str(path), "exec"), {"__name__": "readme"})


@pytest.mark.slow
def test_readme_quickstart_runs_on_a_small_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", "openmoji", "--preset", "test", "--run", "runs/demo"]) == 0
    (block,) = code_blocks(ROOT / "README.md", "python")
    assert len([line for line in block.splitlines() if line.strip()]) <= 20
    names: dict[str, torch.Tensor] = {"__name__": "readme"}  # type: ignore[dict-item]
    exec(compile(block, "README.md", "exec"), names)
    assert names["small"].shape == (4, 3, 64, 64)
    assert names["window"].shape == (4, 3, 256, 256)
    assert len(list(tmp_path.glob("samples/*.png"))) == 4


def test_paths_and_commands_that_the_readme_names_exist() -> None:
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / link).exists(), link
    for name in re.findall(r"`((?:packages|apps|ddmi_\w+)/[\w/.-]+)`", README):
        source = ROOT / "packages" / name.split("/")[0].replace("_", "-") / "src" / name
        assert (ROOT / name).exists() or source.exists(), name
    for command in re.findall(r"(?:uv run|`|-m) ?ddmi (\w+) ", README):
        assert command in COMMANDS or command.startswith("train"), command
    sessions = set(re.findall(r"nox -s ([\w-]+)", README))
    noxfile = (ROOT / "noxfile.py").read_text()
    for session in sessions:
        assert f"def {session}(" in noxfile or f'name="{session}"' in noxfile, session
