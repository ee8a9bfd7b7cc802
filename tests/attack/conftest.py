"""What the attacks share: the process that reads damaged files, and the counts at the end."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

SECONDS = 20.0
"""To read one small damaged file; the first of a loader makes the sound one, too."""
COUNTS = pytest.StashKey[dict[str, Counter[str]]]()
HERE = Path(__file__).parent


class Reader:
    """A `worker`, started anew where it hung or crashed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.process = folder, None
        self.known: set[str] = set()

    def attack(self, name: str, seed: int) -> tuple[str, str, str]:
        """Class, what was said, and the damage."""
        process = self.process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{name} {seed}\n".encode())
        process.stdin.flush()
        limit = SECONDS if name in self.known else 10 * SECONDS
        self.known.add(name)
        ready, _, _ = select.select([process.stdout], [], [], limit)
        line = process.stdout.readline() if ready else b""
        if line:
            return tuple(json.loads(line))  # type: ignore[return-value]
        self.close()
        said = (self.folder / "stderr").read_text(errors="replace")[-3000:]
        return ("crash" if ready else "hang"), said, f"{name} {seed}"

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
        self.process, self.known = None, set()

    def _start(self) -> subprocess.Popen[bytes]:
        line = f"import sys; sys.path.insert(0, {str(HERE.parent)!r}); from attack.worker import main; main()"
        environment = {
            **os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(self.folder), "XDG_CACHE_HOME": str(self.folder / "c"),
            "PYTHONFAULTHANDLER": "1", "PYTHONWARNINGS": "ignore",
        }  # fmt: skip
        with (self.folder / "stderr").open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-c", line],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=environment,
            )  # fmt: skip
        return self.process


@pytest.fixture(scope="session")
def reader() -> Iterator[Reader]:
    with tempfile.TemporaryDirectory(prefix="ddmi-attack-") as folder:
        made = Reader(Path(folder))
        yield made
        made.close()


@pytest.fixture
def count(record_property: pytest.RecordProperty) -> object:
    """Adds to the counts that are printed at the end: `count(what, class)`; they reach it from other processes, too."""

    def add(what: str, kind: str) -> None:
        record_property("attack", [what, kind])

    return add


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    counts: dict[str, Counter[str]] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "call":
                for name, value in report.user_properties:
                    if name == "attack":
                        counts.setdefault(value[0], Counter())[value[1]] += 1
    if not counts:
        return
    terminalreporter.section("attacks")
    for what, found in sorted(counts.items()):
        terminalreporter.line(f"{what:24} " + ", ".join(f"{kind} {number}" for kind, number in sorted(found.items())))
    total: Counter[str] = sum(counts.values(), Counter())
    terminalreporter.line(f"{'all':24} " + ", ".join(f"{kind} {number}" for kind, number in sorted(total.items())))
