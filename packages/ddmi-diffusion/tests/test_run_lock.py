"""One training in a folder at a time."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ddmi_diffusion.run_lock import HOLDER, alone_in

HOLD = """
import sys, time
from pathlib import Path
from ddmi_diffusion.run_lock import alone_in
with alone_in(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_one_at_a_time_and_again_afterwards(tmp_path: Path) -> None:
    run = tmp_path / "new" / "run"
    message = rf"new/run: process {os.getpid()} on .* is training there"
    with alone_in(run), pytest.raises(ValueError, match=message), alone_in(run):
        pass
    with alone_in(run):
        assert json.loads((run / HOLDER).read_text()) == {"pid": os.getpid(), "host": socket.gethostname()}
    assert not (run / HOLDER).exists()


@pytest.mark.slow
def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with (
            pytest.raises(ValueError, match=rf"process {process.pid} on .*; wait for it or stop it"),
            alone_in(tmp_path),
        ):
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert (tmp_path / HOLDER).exists(), "what it said of itself stays, and is not believed"
    with alone_in(tmp_path):
        pass


@pytest.mark.parametrize("text", ["", "[]", "null", '{"pid": "x"}'])
def test_a_damaged_word_of_the_holder_matters_to_nobody(tmp_path: Path, text: str) -> None:
    (tmp_path / HOLDER).write_text(text)
    with alone_in(tmp_path):
        (tmp_path / HOLDER).write_text(text)
        with pytest.raises(ValueError, match="another process is training there"), alone_in(tmp_path):
            pass
