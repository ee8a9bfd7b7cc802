"""Which batches of a directory's files are whole, so that what was stopped can go on."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ddmi_diffusion import atomic_write_text
from ddmi_modalities.files.checksums import sha256_file
from ddmi_modalities.files.text import read_json

MARKS = ".sampled"


class FinishedBatches:
    """Marks in DIRECTORY/.sampled/KEY, each written after the last file of its batch, with the checksums of all.

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

    def missing(self, count: int, most: int) -> list[range]:
        """The numbers below `count` whose files are not all there and whole, in runs of at most `most`."""
        there: set[int] = set()
        for mark in self._marks():
            with suppress(ValueError):
                start, length = map(int, mark.stem.split("-"))
                if self._sound(mark):
                    there.update(range(start, start + length))
        runs: list[range] = []
        for number in (number for number in range(count) if number not in there):
            if runs and runs[-1].stop == number and len(runs[-1]) < most:
                runs[-1] = range(runs[-1].start, number + 1)
            else:
                runs.append(range(number, number + 1))
        return runs

    def holds(self, batch: range) -> bool:
        """Whether all files of a batch that was added are there and whole."""
        return self._sound(self._mark(batch))

    def add(self, batch: range, files: Sequence[Path]) -> None:
        """All files of these numbers are there."""
        sums = {os.path.relpath(file, self.directory): sha256_file(file) for file in files}
        atomic_write_text(self._mark(batch), json.dumps(sums) + "\n")

    def others(self) -> list[str]:
        """Names of files in the directory whose numbers are in no batch of this key, in order."""
        known = {Path(name).stem for mark in self._marks() for name in self._sums(mark)}
        numbered = [(path.name, re.match(r"\d{3,}", path.name)) for path in self.directory.iterdir() if path.is_file()]
        return sorted(name for name, number in numbered if number is not None and number[0] not in known)

    def forget(self) -> None:
        """Removes the marks: nothing is left to go on with."""
        shutil.rmtree(self.directory / MARKS / self.key, ignore_errors=True)
        with suppress(OSError):
            (self.directory / MARKS).rmdir()

    def _marks(self) -> list[Path]:
        return sorted((self.directory / MARKS / self.key).glob("*-*.json"))

    def _sums(self, mark: Path) -> dict[str, str]:
        """The checksum of each file of a batch; none of a mark that cannot be read."""
        try:
            sums = read_json(mark)
        except ValueError:
            return {}
        return sums if isinstance(sums, dict) else {}

    def _mark(self, batch: range) -> Path:
        return self.directory / MARKS / self.key / f"{batch.start:08d}-{len(batch)}.json"

    def _sound(self, mark: Path) -> bool:
        sums = self._sums(mark)
        try:
            return bool(sums) and all(sha256_file(self.directory / name) == known for name, known in sums.items())
        except OSError:
            return False
