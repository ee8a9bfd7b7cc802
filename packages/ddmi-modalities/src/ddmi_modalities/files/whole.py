"""Files that are there as a whole or not at all: written under a temporary name beside, and renamed."""

from __future__ import annotations

import glob
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    import trimesh
    from PIL import Image


_MINE = f".writing-{socket.gethostname()}-"


@cache
def _tidy(directory: Path) -> None:
    for left in directory.glob(f"{glob.escape(_MINE)}*"):
        process = left.name.removeprefix(_MINE).partition("-")[0]
        if process.isdecimal() and not psutil.pid_exists(int(process)):
            left.unlink(missing_ok=True)


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary name in the same directory, which is made; it becomes `path` when all went well.

    What processes of this machine that were killed left there is removed, once for each directory.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _tidy(path.parent)
    temporary = path.with_name(f"{_MINE}{os.getpid()}-{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def save_picture(picture: Image.Image, path: Path) -> None:
    """In the format that the name ends with."""
    with whole(path) as temporary:
        picture.save(temporary)


def save_mesh(mesh: trimesh.Trimesh, path: Path) -> None:
    """In the format that the name ends with."""
    with whole(path) as temporary:
        mesh.export(temporary)
