"""The README: its quickstart runs, and what it names is there.  Its other code is run by `test_documents.py`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from ddmi.cli import main

from .documents import code_blocks

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


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


def test_paths_that_the_readme_names_exist() -> None:
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / link).exists(), link
    for name in re.findall(r"`((?:packages|apps|ddmi_\w+)/[\w/.-]+)`", README):
        source = ROOT / "packages" / name.split("/")[0].replace("_", "-") / "src" / name
        assert (ROOT / name).exists() or source.exists(), name
