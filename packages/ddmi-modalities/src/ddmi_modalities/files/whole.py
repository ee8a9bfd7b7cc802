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
def remove_halves(directory: Path) -> None:
    """What processes of this machine that were killed left of files there goes; once for each directory."""
    for left in directory.glob(f"{glob.escape(_MINE)}*"):
        process = left.name.removeprefix(_MINE).partition("-")[0]
        if process.isdecimal() and not psutil.pid_exists(int(process)):
            left.unlink(missing_ok=True)


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary name in the same directory, which is made; it becomes `path` when all went well.

    What killed processes left there goes, see `remove_halves`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_halves(path.parent)
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
