"""Code in documents: what is there, and running it."""

from __future__ import annotations

import doctest
import importlib.util
import re
import shlex
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from ddmi.cli import main

ROOT = Path(__file__).resolve().parent.parent


def _load(path: str) -> ModuleType:
    """A file that is in no package."""
    name = Path(path).stem
    spec = importlib.util.spec_from_file_location(name, ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


documentation = _load("tools/documentation.py")
miniatures = _load("apps/tests/miniatures.py")
diagrams = _load("tools/diagrams.py")

SESSIONS = {
    "demo": "openmoji",
    "train-shape": "furniture",
    "train-text2shape": "furniture-text",
    "train-nerf": "turntable",
    "train-video": "moving-openmoji",
}
"""Sessions of nox that train, and their recipes; their runs are runs/ and what comes last in their names."""

SMALLER = {
    "fit picture.png": ("--size", "64"),
    "prepare images": ("--size", "24"),
    "prepare srn-cars": ("--count", "200"),
    "prepare shapes": ("--count", "300"),
    "evaluate runs/demo": ("--count", "8", "--pairs", "4"),
}
"""What is added to commands that would take long, or whose miniature data are smaller than their defaults."""


def code_blocks(path: Path, language: str) -> list[str]:
    """All code of a language."""
    return [block.code for block in documentation.blocks(path.read_text()) if block.language == language]


def files_of(path: Path) -> dict[str, str]:
    """The blocks that name their file, by this name."""
    return {block.file: block.code for block in documentation.blocks(path.read_text()) if block.file}


def at_preset_test(command: str) -> list[str]:
    """The words of a `ddmi` command line, whatever it trains at preset `test`.

    A session of nox that trains is a `ddmi train`.  AssertionError where a line is neither.
    """
    if session := re.fullmatch(r"(?:.*&& )?uvx nox -s (\S+)", command):
        recipe, run = SESSIONS[session[1]], "runs/" + session[1].removeprefix("train-")
        return ["train", recipe, "--preset", "test", "--run", run]
    command = re.sub(r"--preset [\w-]+", "--preset test", command)
    program, *words = shlex.split(command)
    assert program == "ddmi", f"{command}: documents run `ddmi`; mark what is not to be run"
    if words[:1] == ["train"] and "--preset" not in words and words[-1] != "--help":
        words[2:2] = ["--preset", "test"]
    smaller = SMALLER.get(" ".join(words[:2]), ())
    return words if smaller[:1] and smaller[0] in words else [*words, *smaller]


def run_blocks(path: Path, *, slow: bool) -> int:
    """Runs the code of a document in the current folder, in order and with names in common; how many blocks.

    Without `slow`, those only that are not marked so.
    """
    names: dict[str, Any] = {"__name__": "document"}
    ran = 0
    for block in documentation.blocks(path.read_text()):
        if not block.runs or (block.slow and not slow):
            continue
        ran += 1
        where = f"{path.relative_to(ROOT)}:{block.line}"
        if block.language == "python":
            # as many lines down as in the document, so that a traceback names the right one
            exec(compile("\n" * block.line + block.code, str(path), "exec"), names)
        elif block.language == "pycon":
            example = doctest.DocTestParser().get_doctest(block.code, names, where, str(path), block.line)
            result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, clear_globs=False)
            names.update(example.globs)
            assert result.failed == 0, where
        else:
            for command in documentation.commands(block.code):
                code = _exit_code(at_preset_test(command))
                assert code == 0, f"{where}: {command}: exit code {code}"
    return ran


def _exit_code(words: list[str]) -> int:
    try:
        return main(words)
    except SystemExit as stopped:  # of `--help`
        return int(stopped.code or 0)
