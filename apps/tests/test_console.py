"""What a command says and how it ends: the log, whose fault an error is, and readers that go away."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ddmi import console
from ddmi.cli import main
from ddmi.console import BAD_INPUT, INTERNAL, STOPPED, guarded, set_up_logging, take_flags
from ddmi_diffusion import NonFiniteLossError, TrainingInterrupted


@pytest.fixture(autouse=True)
def _everything_is_said() -> None:
    set_up_logging(0)


def ended(action: Callable[[], object], capsys: pytest.CaptureFixture[str], *, debug: bool = False) -> tuple[int, str]:
    capsys.readouterr()
    code = guarded(lambda: action() and None, debug=debug)
    return code, capsys.readouterr().err


def raising(error: BaseException) -> Callable[[], None]:
    def action() -> None:
        raise error

    return action


def raised_in(module: str, error: str = "ValueError('wrong')") -> Callable[[], None]:
    """Raises in a frame of that module."""
    spaces = {"__name__": module}
    exec(f"def action():\n    raise {error}", spaces)
    return spaces["action"]  # type: ignore[return-value]


@pytest.mark.parametrize("module", ["ddmi.commands.train", "ddmi_fields.planes", "ddmi_vae", "ddmi_modalities.image"])
def test_a_value_that_we_refuse_is_the_users(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(raised_in(module), capsys) == (BAD_INPUT, "ddmi: error: wrong\n")
    assert ended(raised_in(module, "ImportError('install x')"), capsys) == (BAD_INPUT, "ddmi: error: install x\n")


def test_plug_ins_refuse_values_too(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    assert ended(raised_in("waves.modality"), capsys)[0] == INTERNAL
    announced = [EntryPoint("waves", "waves:SPEC", "ddmi.modalities")]
    monkeypatch.setattr(console, "entry_points", lambda group: announced if group == "ddmi.modalities" else [])
    assert ended(raised_in("waves.modality"), capsys)[0] == BAD_INPUT


@pytest.mark.parametrize(
    "action",
    [
        raised_in("torch.nn"),  # which was called wrongly
        lambda: json.loads("{"),  # a ValueError, too
        raised_in("ddmi.pipeline", "KeyError('x')"),
        raised_in("ddmi.pipeline", "TypeError('x')"),
        raised_in("ddmi.pipeline", "AssertionError()"),
    ],
)
def test_all_else_is_our_fault(action: Callable[[], object], capsys: pytest.CaptureFixture[str]) -> None:
    code, said = ended(action, capsys)
    assert code == INTERNAL
    assert said.startswith("ddmi: error: internal error: ")
    assert "report" in said
    assert said.count("\n") == 1


def test_stops_and_the_machines_limits(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(raising(KeyboardInterrupt()), capsys) == (STOPPED, "ddmi: stopped\n")
    assert ended(raising(TrainingInterrupted("stopped")), capsys) == (STOPPED, "ddmi: stopped\n")
    assert ended(raising(NonFiniteLossError("nan")), capsys)[0] == BAD_INPUT
    assert (
        ended(raising(FileNotFoundError(2, "No such file", "a.png")), capsys)[1] == "ddmi: error: a.png: No such file\n"
    )
    assert "not enough memory" in ended(raising(MemoryError()), capsys)[1]


def test_a_traceback_only_where_it_is_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Traceback" not in ended(raising(KeyError("x")), capsys)[1]
    assert "Traceback" in ended(raising(KeyError("x")), capsys, debug=True)[1]
    for value, wanted in (("", False), ("0", False), ("1", True)):
        monkeypatch.setenv("DDMI_DEBUG", value)
        assert take_flags(["train"]) == (["train"], 0, wanted)


def test_flags_stand_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DDMI_DEBUG", raising=False)
    assert take_flags(["-v", "train", "x", "--debug"]) == (["train", "x"], 1, True)
    assert take_flags(["train", "--quiet", "x"]) == (["train", "x"], -1, False)


def say_all() -> None:
    for level, text in ((10, "detail"), (20, "info"), (30, "warning"), (40, "error")):
        logging.getLogger("ddmi").log(level, text)


@pytest.mark.parametrize(("verbosity", "said"), [(1, 4), (0, 3), (-1, 2)])
def test_how_much_is_said(verbosity: int, said: int, capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(verbosity)
    say_all()
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[-1] for line in lines] == ["detail", "info", "warning", "error"][-said:]
    assert all("test_console: " in line for line in lines) == (verbosity == 1), "details say from where they come"


def test_others_of_several_processes_say_errors_only(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    set_up_logging(1)
    say_all()
    assert capsys.readouterr().err.split()[-1] == "error"


def test_a_log_file_tells_and_quiet_is_quiet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["train", "openmoji", "--preset", "test", "--stage", "vae", "--vae-training.steps", "2", "--run"]
    assert main([*line, str(tmp_path / "a")]) == 0
    told = capsys.readouterr()
    assert "stage vae: " in told.err
    assert "\r" not in told.err, "no bar where there is no terminal"
    assert told.out == ""
    assert main([*line, str(tmp_path / "b"), "-q"]) == 0
    assert capsys.readouterr() == ("", "")


def test_a_reader_that_has_enough() -> None:
    """Such as `ddmi recipes | head -1`."""
    script = f"{sys.executable} -m ddmi recipes | head -c 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=dict(os.environ))
    assert (done.returncode, done.stderr) == (0, "")


def test_main_returns_the_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes", "--no-such"]) == BAD_INPUT
    assert capsys.readouterr().err.startswith("ddmi: error: unknown option '--no-such'")


def test_names_of_files_give_the_terminal_no_orders(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    name = "a\x1b[2J\x07\rb"
    assert ended(lambda: console.logger.warning("left out %s", name), capsys)[1] == "left out a\\x1b[2J\\x07\\rb\n"
    assert main(["sample", str(tmp_path / "a\x1b[2Jb")]) == BAD_INPUT
    said = capsys.readouterr().err
    assert "a\\x1b[2Jb" in said
    assert all(line.isprintable() for line in said.splitlines())
