"""Which batches of a directory's files are whole, so that what was stopped can go on."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ddmi_diffusion import atomic_write_text

MARKS = ".sampled"


class FinishedBatches:
    """Marks in DIRECTORY/.sampled/KEY, each written after the last file of its batch.

    Args:
        directory: of the files.
        key: a hash of all that their content depends on.  Marks of another key are removed by `begin`: what they stand
            for will be written over.
    """

    def __init__(self, directory: Path, key: str) -> None:
        self.directory, self.key = directory, key

    def begin(self, *, resume: bool) -> None:
        """Removes the marks of everything else; without `resume`, all."""
        marks = self.directory / MARKS
        for folder in marks.iterdir() if marks.is_dir() else ():
            if not resume or folder.name != self.key:
                shutil.rmtree(folder)

    def has(self, batch: range) -> bool:
        """Whether all files of these numbers are there and whole."""
        try:
            names: list[str] = json.loads(self._mark(batch).read_text())
        except (OSError, ValueError):
            return False
        return all((self.directory / name).exists() for name in names)

    def add(self, batch: range, files: Sequence[Path]) -> None:
        """All files of these numbers are there."""
        names = [os.path.relpath(file, self.directory) for file in files]
        atomic_write_text(self._mark(batch), json.dumps(names) + "\n")

    def forget(self) -> None:
        """Removes the marks: nothing is left to go on with."""
        shutil.rmtree(self.directory / MARKS / self.key, ignore_errors=True)
        with suppress(OSError):
            (self.directory / MARKS).rmdir()

    def _mark(self, batch: range) -> Path:
        return self.directory / MARKS / self.key / f"{batch.start:08d}-{len(batch)}.json"
