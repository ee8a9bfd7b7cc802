"""Packages of Debian (.deb) read anywhere, without root: an `ar` archive of compressed tar archives (deb(5))."""

from __future__ import annotations

import io
import lzma
import shutil
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

MAGIC = b"!<arch>\n"
HEADER = 60
"""Bytes before each member of an `ar` archive: name, time, owner, group, mode, size, and two that end it."""
READ = ("", ".gz", ".xz", ".bz2", ".lzma", *((".zst",) if sys.version_info >= (3, 14) else ()))
"""How names of tar archives end that the standard library reads."""
LARGEST = 2**31
"""Bytes of a file in a package that are read."""


def deb_files(path: Path, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """The content of those files that a package installs whose names are wanted, such as usr/share/doc/NAME/copyright.

    Nothing is written to disk, and links are not followed.

    Raises:
        ValueError: It cannot be read or is no package, its compression is not known here, or one of its files would
            be installed outside of the root.
    """
    return _tar_files(path, "data.tar", wanted)


def deb_control(path: Path) -> dict[str, str]:
    """The fields that describe a package, such as Package, Version and Homepage; errors as of `deb_files`."""
    found = _tar_files(path, "control.tar", lambda name: name == "control")
    if "control" not in found:
        raise ValueError(f"{str(path)!r} is no Debian package: its control.tar has no file 'control'; fetch it again")
    fields: dict[str, str] = {}
    for line in found["control"].decode("utf-8", "replace").splitlines():
        name, colon, value = line.partition(":")
        if colon and not line.startswith((" ", "\t")):
            fields[name] = value.strip()
    return fields


def download_deb(package: str, folder: Path) -> Path:
    """The package in a folder, fetched by `apt-get download`, which needs no root.

    Raises ValueError with the remedy where there is no apt-get, or it does not succeed.
    """
    remedy = (
        f"fetch {package}_VERSION_all.deb with a browser from https://packages.debian.org/{package} and give its path"
    )
    if shutil.which("apt-get") is None:
        raise ValueError(f"package {package!r}: there is no apt-get here; {remedy}")
    command = ["apt-get", "download", package]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
        said = done.stderr.strip().splitlines()[-1:] if done.returncode else []
    except (OSError, subprocess.TimeoutExpired) as error:
        said = [str(error)]
    found = sorted(folder.glob(f"{package}_*.deb"))
    if said or not found:
        reason = said[0] if said else "it wrote no file"
        raise ValueError(
            f"package {package!r}: `{' '.join(command)}` did not succeed ({reason}); `apt-get update` may help, or "
            f"{remedy}"
        )
    return found[0]


def _tar_files(path: Path, stem: str, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    name, content = _member(path, stem)
    if name.removeprefix(stem) not in READ:
        raise ValueError(
            f"{str(path)!r}: {name} is compressed in a way that Python's standard library does not read; repack it "
            f"(`ar x FILE.deb {name} && zstd -d {name} && xz {stem}`, then `ar r` a package of the parts), or take the "
            "package of Debian itself, which uses xz"
        )
    try:
        with tarfile.open(fileobj=content) as archive:
            return _wanted_files(path, archive, wanted)
    except (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, OSError) as error:
        raise ValueError(f"{str(path)!r}: {name} is damaged ({error}); fetch the package again") from error


def _wanted_files(path: Path, archive: tarfile.TarFile, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for entry in archive:
        place = PurePosixPath(entry.name)
        if place.is_absolute() or ".." in place.parts:
            raise ValueError(
                f"{str(path)!r} would install {entry.name!r}, outside of its root; do not use this package"
            )
        name = place.as_posix()
        if not entry.isfile() or not wanted(name):
            continue
        if entry.size > LARGEST:
            raise ValueError(f"{str(path)!r}: {name} has {entry.size} bytes, and at most {LARGEST} are read")
        content = archive.extractfile(entry)
        assert content is not None
        found[name] = content.read()
    return found


def _member(path: Path, stem: str) -> tuple[str, io.BytesIO]:
    """Name and content of the member of the `ar` archive whose name begins so."""
    try:
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise ValueError(f"{str(path)!r} is no Debian package: it does not begin as one; give a .deb file")
            while header := file.read(HEADER):
                name, size = _header(path, header)
                if name.startswith(stem):
                    content = file.read(size)
                    if len(content) < size:
                        raise ValueError(f"{str(path)!r} is cut off within {name}; fetch the package again")
                    return name, io.BytesIO(content)
                file.seek(size + size % 2, io.SEEK_CUR)
    except OSError as error:
        raise ValueError(f"cannot read {str(path)!r} ({error.strerror}); give a .deb file") from error
    raise ValueError(f"{str(path)!r} is no whole Debian package: it has no {stem}; fetch it again")


def _header(path: Path, header: bytes) -> tuple[str, int]:
    try:
        name, size = header[:16].decode("ascii").rstrip(" ").rstrip("/"), int(header[48:58])
    except ValueError:
        name, size = "", -1
    if len(header) < HEADER or header[58:60] != b"`\n" or size < 0:
        raise ValueError(
            f"{str(path)!r} is a damaged Debian package: no member begins where one should; fetch it again"
        )
    return name, size
