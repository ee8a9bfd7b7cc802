"""Commands that shall fail, and how."""

from __future__ import annotations

from pathlib import Path

import pytest

from ddmi.cli import main


def fails(capsys: pytest.CaptureFixture[str], *argv: str | Path) -> str:
    """The one line of an error with exit code 2."""
    capsys.readouterr()
    assert main([str(a) for a in argv]) == 2
    err = capsys.readouterr().err.strip().splitlines()
    assert err[-1].startswith("ddmi: error: ")
    assert "Traceback" not in "\n".join(err)
    return err[-1]


def refused(capsys: pytest.CaptureFixture[str], *argv: str | Path) -> str:
    """The error of a value that a view refuses, with exit code 2: tyro's own, or for an older tyro ours."""
    capsys.readouterr()
    try:
        code = main([str(a) for a in argv])
    except SystemExit as stop:
        code = int(stop.code or 0)
    assert code == 2
    return " ".join(capsys.readouterr().err.split())
