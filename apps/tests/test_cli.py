"""The program itself: it starts at once, completes words, and says what it is."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.metadata import version

import pytest

from ddmi.cli import COMMANDS, main

from .command_line import fails

HEAVY = ("torch", "numpy", "accelerate", "trimesh", "scipy", "PIL")
"""What takes seconds to import, or stands for something that does."""


def modules_of(code: str) -> str:
    """The heavy ones that a new process has imported in the end."""
    code += f"\nimport sys; print('imported:', *[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1].partition(": ")[2]


@pytest.mark.parametrize(
    "start",
    ["import ddmi", *(f"from ddmi.cli import main; main({argv})" for argv in (["--help"], ["--version"], ["recipes"]))],
)
def test_what_is_quick_imports_nothing_heavy(start: str) -> None:
    assert modules_of(start) == ""


def test_the_face_gives_its_names_when_asked() -> None:
    assert "torch" in modules_of("import ddmi; ddmi.DDMI")
    assert modules_of("import ddmi; assert {'DDMI', 'RECIPES', 'make_experiment'} <= set(dir(ddmi))") == ""


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"ddmi {version('ddmi')}\n"


def test_help_names_every_command_and_flag(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    out = capsys.readouterr().out
    for name in (*COMMANDS, "--verbose", "--quiet", "--debug", "--version", "--tyro-print-completion"):
        assert name in out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    assert f"usage: ddmi {command}" in capsys.readouterr().out


def test_unknown_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert "choose one of recipes, train" in fails(capsys, "tarin")


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_commands_and_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--tyro-print-completion", "bash"]) == 0
    script = capsys.readouterr().out
    asked = {"ddmi eva": ["evaluate"], "ddmi sample --guidance-s": ["--guidance-scale"]}
    for words, wanted in asked.items():
        ask = f"COMP_WORDS=({words}); COMP_CWORD={words.count(' ')}; _tyro_ddmi"
        lines = f'{script}\n{ask}\nprintf "%s\\n" "${{COMPREPLY[@]}}"'
        done = subprocess.run(["bash", "-c", lines], capture_output=True, text=True, check=True)
        assert done.stdout.split("\n")[:-1] == wanted, done.stderr


def test_shells_that_cannot_complete(capsys: pytest.CaptureFixture[str]) -> None:
    for shell in ("nosh", ""):
        assert "one of bash, zsh" in fails(capsys, "--tyro-print-completion", *shell.split())
