"""Debian packages, written here byte by byte, good and bad."""

from __future__ import annotations

import io
import lzma
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ddmi_modalities.files import deb
from ddmi_modalities.files.deb import deb_control, deb_files, download_deb


def tar(files: Mapping[str, bytes], mode: Any = "w:xz", **more: str) -> bytes:
    """A tar archive of files, and of links to what `more` says."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        for name, target in more.items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
    return buffer.getvalue()


def ar(members: Mapping[str, bytes]) -> bytes:
    whole = b"!<arch>\n"
    for name, content in members.items():
        whole += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
        whole += content + b"\n" * (len(content) % 2)
    return whole


CONTROL = b"Package: small\nVersion: 1.0-1\nDescription: one line\n and more: of it\n"


def write(path: Path, data: bytes, ending: str = ".xz") -> Path:
    members = {"debian-binary": b"2.0\n", "control.tar.xz": tar({"./control": CONTROL}), f"data.tar{ending}": data}
    path.write_bytes(ar(members))
    return path


@pytest.mark.parametrize(("mode", "ending"), [("w", ""), ("w:gz", ".gz"), ("w:xz", ".xz"), ("w:bz2", ".bz2")])
def test_files_come_out_as_they_went_in(tmp_path: Path, mode: str, ending: str) -> None:
    data = tar({"./usr/share/one": b"1" * 999, "./usr/share/two": b"22"}, mode, link="usr/share/one")
    package = write(tmp_path / "small.deb", data, ending)
    assert deb_files(package, lambda name: name != "usr/share/two") == {"usr/share/one": b"1" * 999}
    assert deb_control(package) == {"Package": "small", "Version": "1.0-1", "Description": "one line"}


def test_links_are_not_followed(tmp_path: Path) -> None:
    package = write(tmp_path / "small.deb", tar({"a": b"1"}, passwd="/etc/passwd"))
    assert set(deb_files(package, lambda name: True)) == {"a"}


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "./usr/../../x"])
def test_files_outside_of_the_root_are_refused(tmp_path: Path, name: str) -> None:
    package = write(tmp_path / "evil.deb", tar({"usr/fine": b"1", name: b"2"}))
    with pytest.raises(ValueError, match=r"evil.deb' would install .*outside of its root; do not use this package"):
        deb_files(package, lambda name: True)


def test_zstandard_says_what_to_do(tmp_path: Path) -> None:
    package = write(tmp_path / "ubuntu.deb", b"\x28\xb5\x2f\xfd", ".zst")
    if ".zst" in deb.READ:
        pytest.skip("this Python reads it")
    with pytest.raises(ValueError, match=r"ubuntu.deb': data.tar.zst is compressed in a way .*repack it"):
        deb_files(package, lambda name: True)


def test_a_package_that_is_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.deb", tar({f"f{i}": bytes([i]) * 500 for i in range(20)})).read_bytes()
    for length in {*range(0, 300, 7), *range(300, len(whole) - 1, 41), len(whole) - 2}:
        (tmp_path / "cut.deb").write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"cut.deb.*(fetch .*again|give a .deb file)"):
            deb_files(tmp_path / "cut.deb", lambda name: True)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none.deb' \(No such file or directory\); give a .deb file"):
        deb_files(tmp_path / "none.deb", lambda name: True)
    (tmp_path / "a.deb").write_bytes(b"PK\3\4 and more")
    with pytest.raises(ValueError, match="is no Debian package: it does not begin as one"):
        deb_control(tmp_path / "a.deb")
    damaged = write(tmp_path / "b.deb", lzma.compress(b"no tar" * 999))
    with pytest.raises(ValueError, match="data.tar.xz is damaged"):
        deb_files(damaged, lambda name: True)
    (tmp_path / "c.deb").write_bytes(ar({"debian-binary": b"2.0\n", "control.tar.xz": tar({"./x": b""})}))
    with pytest.raises(ValueError, match="control.tar has no file 'control'"):
        deb_control(tmp_path / "c.deb")


def test_large_files_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deb, "LARGEST", 10)
    package = write(tmp_path / "small.deb", tar({"long": b"1" * 11, "short": b"1" * 10}))
    assert set(deb_files(package, lambda name: name == "short")) == {"short"}
    with pytest.raises(ValueError, match="long has 11 bytes, and at most 10 are read"):
        deb_files(package, lambda name: True)


def test_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ran(code: int, said: str, file: str | None) -> None:
        def run(command: list[str], cwd: Path, **_: Any) -> subprocess.CompletedProcess[str]:
            assert command == ["apt-get", "download", "small"]
            if file:
                write(cwd / file, tar({"a": b"1"}))
            return subprocess.CompletedProcess(command, code, "", said)

        monkeypatch.setattr(subprocess, "run", run)

    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(ValueError, match=r"there is no apt-get here; fetch small_VERSION_all.deb with a browser"):
        download_deb("small", tmp_path)
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    ran(100, "E: Unable to locate package small\n", None)
    with pytest.raises(ValueError, match=r"did not succeed \(E: Unable to locate package small\); `apt-get update`"):
        download_deb("small", tmp_path)
    ran(0, "", None)
    with pytest.raises(ValueError, match="it wrote no file"):
        download_deb("small", tmp_path)
    ran(0, "", "small_1.0-1_all.deb")
    assert deb_control(download_deb("small", tmp_path))["Package"] == "small"
