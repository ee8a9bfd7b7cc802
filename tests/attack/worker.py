"""A process that reads damaged files for the tests, under limits: whoever hangs or crashes in it fails alone.

Reads lines "LOADER SEED" and answers each by a line of JSON: a class, what was said, and what was damaged how.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
import tempfile
import traceback
import warnings
from functools import cache
from pathlib import Path
from random import Random
from typing import NamedTuple

from .loader import Loader, WrongContent, check_finite
from .loaders import LOADERS
from .mutations import damaged

MEMORY = 2**31
"""Bytes that reading a small file may take more than the process has."""


class Outcome(NamedTuple):
    """What came of one damaged file."""

    kind: str
    """read or refused; silent, no file named, traceback, memory, hang or crash."""
    said: str
    damage: str


@cache
def sound(name: str) -> Path:
    """The folder of a loader with nothing damaged, which is read once: else nothing would be tested."""
    loader, folder = LOADERS[name], Path(tempfile.mkdtemp(prefix=f"{name}-"))
    loader.write(folder)
    copy = folder.with_name(f"{folder.name}-read")
    shutil.copytree(folder, copy)
    check_finite(loader.read(copy))
    shutil.rmtree(copy)
    return folder


def attack(loader: Loader, seed: int) -> Outcome:
    """Damages one file of a copy and reads that."""
    rng = Random(f"{loader.name} {seed}")
    folder = Path(tempfile.mkdtemp(prefix="attack-"))
    place = folder / "data"
    shutil.copytree(sound(loader.name), place)
    try:
        file = rng.choice(loader.files(place))
        content, how = damaged(file.name, file.read_bytes(), rng)
        file.write_bytes(content)
        kind, said = _read(loader, place, file)
        return Outcome(kind, said, f"{how} of {file.relative_to(place)}")
    finally:
        if "DDMI_ATTACK_KEEP" not in os.environ:
            shutil.rmtree(folder, ignore_errors=True)


def _read(loader: Loader, place: Path, file: Path) -> tuple[str, str]:
    from ddmi.console import _is_ours
    from ddmi_diffusion import CheckpointError, NonFiniteLossError

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, hard))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check_finite(loader.read(place))
        return "read", ""
    except WrongContent as error:
        return "silent", str(error)
    except MemoryError:
        return "memory", traceback.format_exc()
    except Exception as error:
        if isinstance(error, RuntimeError) and "allocate" in str(error):
            return "memory", traceback.format_exc()
        ours = isinstance(error, CheckpointError | NonFiniteLossError) or (
            isinstance(error, ValueError | ImportError) and _is_ours(error.__traceback__)
        )
        if not ours:
            return "traceback", traceback.format_exc()
        holders = [file, *(parent for parent in file.parents if parent.is_relative_to(place))]
        return ("refused" if any(str(one) in str(error) for one in holders) else "no file named"), str(error)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def main() -> None:
    import torch

    torch.set_num_threads(1)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for line in sys.stdin:
        name, seed = line.split()
        print(json.dumps(attack(LOADERS[name], int(seed))), file=answers, flush=True)


if __name__ == "__main__":
    main()
