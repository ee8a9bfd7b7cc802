"""Tar archives by index: what is a member, and that what is damaged is said and not taken for the end."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import struct
import tarfile
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import pytest

from ddmi_modalities.files.readable import Readable
from ddmi_modalities.files.tar_members import TarMember, tar_entries


def archive(file: Path, *members: tuple[str, bytes], odd: tuple[tarfile.TarInfo, ...] = (), **options: int) -> Path:
    with tarfile.open(file, "w", **options) as tar:  # type: ignore[call-overload]
        for one in odd:
            tar.addfile(one)
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return file


def contents(file: Path) -> dict[str, bytes]:
    return {name: TarMember(file, name, *place).open("rb").read() for name, *place in tar_entries(file)}


LONG = "deep/" * 60 + "name.jpg"


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_are_read_from_their_places(tmp_path: Path, form: int) -> None:
    names = ["b.jpg", "a/b.jpg", "Zoë 猫.png", *([] if form == tarfile.USTAR_FORMAT else [LONG])]
    members = {name: name.encode() * (300 * number) for number, name in enumerate(names)}
    file = archive(tmp_path / "a.tar", *members.items(), format=form)
    assert contents(file) == members
    assert [name for name, *_ in tar_entries(file)] == sorted(members)
    member = TarMember(file, *tar_entries(file)[0])
    assert isinstance(member, Readable)
    assert str(member) == f"{file}/{member.name}"


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    assert contents(archive(tmp_path / "a.tar", (name, b"1"), format=tarfile.GNU_FORMAT)) == {name: b"1"}


def test_the_last_of_one_name_counts(tmp_path: Path) -> None:
    assert contents(archive(tmp_path / "a.tar", ("./a.jpg", b"old"), ("a.jpg", b"new"))) == {"a.jpg": b"new"}


def test_links_devices_and_ways_out_are_left_out(tmp_path: Path, said: list[str]) -> None:
    odd = []
    for name, kind in (
        ("l.jpg", tarfile.SYMTYPE),
        ("h.jpg", tarfile.LNKTYPE),
        ("d.jpg", tarfile.CHRTYPE),
        ("p", tarfile.FIFOTYPE),
    ):
        odd.append(tarfile.TarInfo(name))
        odd[-1].type, odd[-1].linkname = kind, "/etc/passwd"
    folder = tarfile.TarInfo("folder")
    folder.type = tarfile.DIRTYPE
    file = archive(
        tmp_path / "a.tar", ("../up.jpg", b"1"), ("/etc/a.jpg", b"2"), ("a/../../b.jpg", b"3"), ("in.jpg", b"4"),
        odd=(*odd, folder),
    )  # fmt: skip
    assert contents(file) == {"in.jpg": b"4"}
    assert any(
        "left out 7 members that are links, devices or sparse, or lead out of the archive" in one for one in said
    )


def sound(folder: Path) -> Path:
    return archive(folder / "a.tar", *((f"{number}.jpg", bytes([number]) * 700) for number in range(1, 4)))


def cut(length: int) -> Callable[[bytes], bytes]:
    return lambda content: content[:length]


def changed(at: int, to: bytes) -> Callable[[bytes], bytes]:
    return lambda content: content[:at] + to + content[at + len(to) :]


MEMBER = 512 + 1024
"""Bytes that a member of 700 takes with its header."""


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (cut(0), "at its beginning .*empty"),
        (cut(300), "at its beginning"),
        (cut(MEMBER + 900), r"after its member '2\.jpg' \(unexpected end of data\)"),
        (cut(2 * MEMBER + 100), r"after its member '2\.jpg' \(the zeros that end an archive are missing\)"),
        (cut(3 * MEMBER), r"after its member '3\.jpg' \(the zeros that end an archive are missing\)"),
        (changed(MEMBER, b"x"), r"after its member '1\.jpg' \(the next header is damaged\)"),
        (changed(0, b"x"), "at its beginning"),
        (lambda content: content + content, r"after its member '3\.jpg' \(it goes on after its end"),
        (lambda _: b"no archive" * 200, "at its beginning"),
    ],
)
def test_damage_is_no_end(tmp_path: Path, damage: Callable[[bytes], bytes], text: str) -> None:
    file = sound(tmp_path)
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(
        ValueError, match=rf"a\.tar': is truncated, damaged or no tar archive {text}.*; copy the shard anew"
    ):
        tar_entries(file)


def test_sizes_that_lead_backwards_end(tmp_path: Path) -> None:
    file = sound(tmp_path)
    content = bytearray(file.read_bytes())
    header = content[MEMBER : MEMBER + 512]
    header[124:136] = b"\xff" * 4 + struct.pack(">q", -2048)  # base 256, negative
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + sum(header[156:]) + 8 * 32)
    content[MEMBER : MEMBER + 512] = header
    file.write_bytes(content)
    with pytest.raises(ValueError, match="is truncated, damaged or no tar archive"):
        tar_entries(file)


def test_compressed_archives_are_refused(tmp_path: Path) -> None:
    file = sound(tmp_path)
    file.write_bytes(gzip.compress(file.read_bytes()))
    with pytest.raises(
        ValueError, match=r"a\.tar': is compressed, .* by index; unpack it to a plain archive by `gunzip`"
    ):
        tar_entries(file)


def test_an_archive_that_shrinks_is_named(tmp_path: Path) -> None:
    member = TarMember(sound(tmp_path), *tar_entries(tmp_path / "a.tar")[1])
    os.truncate(member.file, MEMBER + 600)
    with pytest.raises(ValueError, match=r"a\.tar/2\.jpg: the archive ends in the middle of it; copy"):
        member.open("rb")
    member.file.unlink()
    with pytest.raises(ValueError, match="cannot be read"):
        tar_entries(member.file)


def _read(member: TarMember) -> bytes:
    return member.open("rb").read()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_processes_read_one_archive_at_once(tmp_path: Path) -> None:
    file = archive(tmp_path / "a.tar", *((f"{number:03}", bytes([number]) * 5000) for number in range(100)))
    members = [TarMember(file, *entry) for entry in tar_entries(file)]
    assert pickle.loads(pickle.dumps(members)) == members
    _read(members[0])
    with get_context("fork").Pool(2) as pool:
        read = pool.map_async(_read, members, chunksize=3).get(60)
    assert read == [bytes([number]) * 5000 for number in range(100)]
