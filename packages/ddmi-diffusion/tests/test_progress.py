"""A log file tells how a training goes; a terminal shows a bar."""

from __future__ import annotations

import logging
import re
import sys

import pytest

from ddmi_diffusion import Progress, progress


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_a_line_now_and_then_where_there_is_no_terminal(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "ddmi")
    monkeypatch.setattr(logging.getLogger("ddmi"), "handlers", [])  # an application's, of a test before
    now = [1000.0]
    monkeypatch.setattr("tqdm.std.time", lambda: now[0])
    with Progress(total=100, desc="stage vae", unit="steps", initial=10) as bar:
        bar._time = lambda: now[0]
        for step in range(90):
            now[0] += 1.0
            bar.set_postfix({"loss": f"{1 / (step + 1):.3f}"}, refresh=False)
            bar.update()
    assert len(lines(caplog)) == 3, "90 seconds, a line every 30"
    assert re.fullmatch(r"stage vae: 40 of 100 steps, loss=0.033, 01:00 left", lines(caplog)[0])
    assert capsys.readouterr().err == ""


def test_short_work_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ddmi")
    assert list(Progress(range(5), desc="reading")) == [0, 1, 2, 3, 4]
    assert lines(caplog) == []


def test_a_bar_on_a_terminal(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "ddmi")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert len(list(Progress(range(5), desc="reading"))) == 5
    assert "reading: 100%" in capsys.readouterr().err
    assert lines(caplog) == []


def test_nothing_where_the_log_is_quiet(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(progress.logger, "level", logging.WARNING)
    progress.logger.manager._clear_cache()  # type: ignore[attr-defined]
    assert len(list(Progress(range(5), desc="reading"))) == 5
    assert capsys.readouterr().err == ""
