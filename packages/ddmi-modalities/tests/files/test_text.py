"""Text of any editor is read, or refused by the file's name."""

from __future__ import annotations

from pathlib import Path

import pytest

from ddmi_modalities.files.text import named_file, printable, read_json, read_lines, read_text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le-mark", "utf-16-be-mark", "utf-32"])
def test_every_mark(tmp_path: Path, encoding: str) -> None:
    file, text = tmp_path / "a.txt", "ein roter Stuhl\r\n椅子\r\n\r\n"
    mark = "\ufeff" if encoding.endswith("-mark") else ""
    file.write_bytes((mark + text).encode(encoding.removesuffix("-mark")))
    assert read_text(file) == text
    assert read_lines(file) == ["ein roter Stuhl", "椅子"]


@pytest.mark.parametrize("content", ["café".encode("latin1"), "a chair".encode("utf-16-le"), b"\xef\xbb\xbf\xff"])
def test_what_cannot_be_known_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(ValueError, match=r"cannot read '.*a\.txt' as text: .*; save it as UTF-8"):
        read_text(tmp_path / "a.txt")


def test_a_folder_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"cannot read '{tmp_path}' \(Is a directory"):
        read_text(tmp_path)


def test_names_as_windows_writes_them(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.JPG").touch()
    assert named_file(tmp_path, "a\\b.JPG") == tmp_path / "a" / "b.JPG"
    assert named_file(tmp_path, "a/b", (".png", ".jpg")) == tmp_path / "a" / "b.JPG"
    assert named_file(tmp_path, "a/b", (".png",)) is None
    (tmp_path / "c\\d").touch()
    assert named_file(tmp_path, "c\\d") == tmp_path / "c\\d", "elsewhere a backslash is a letter"


def test_json_keeps_what_a_word_holds(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text('{"time": 1796070000123456789, "least": -9223372036854775808, "huge": ' + "9" * 400 + "}")
    content = read_json(file)
    assert content["time"] == 1796070000123456789
    assert content["least"] == -(2**63)
    assert content["huge"] == float("inf")


@pytest.mark.parametrize(
    ("text", "reason"), [("{", "Expecting"), ("[" * 10**5, "nested too deeply"), ("", "Expecting")]
)
def test_what_is_no_json_is_named(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=rf"cannot read '.*a\.json' as JSON: .*{reason}"):
        read_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_text(text + " ")
    with pytest.raises(ValueError, match=r"a\.json' has .* bytes, and at most 0 are read"):
        read_json(tmp_path / "a.json", most=0)


def test_what_a_terminal_would_obey_is_written_out() -> None:
    assert printable("a\x1b[2J\x07b\r\x9b\u202ec\ud800") == r"a\x1b[2J\x07b\r\x9b\u202ec\ud800"
    assert printable("Stühle, 椅子\n\tand lines") == "Stühle, 椅子\n\tand lines"


def test_names_that_no_file_can_have(tmp_path: Path) -> None:
    assert named_file(tmp_path, "a" * 5000, (".png",)) is None
