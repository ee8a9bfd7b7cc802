"""Preparation of any data: what is made, kept, left out and recorded, whatever happens meanwhile."""

from __future__ import annotations

import hashlib
import json
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ddmi_modalities.datasets import preparation
from ddmi_modalities.datasets.manifest import Unwritable, describe_manifest
from ddmi_modalities.datasets.preparation import Item, Plan, Prepared, prepare


def upper(file: Path, name: str, parts: int = 1) -> Iterator[tuple[str, bytes]]:
    """The text of a file in capitals, as often as is asked for; a text 'bad' fails after the first part."""
    text = file.read_text().upper()
    for part in range(parts):
        yield f"{name}/{part}.out", text.encode()
        if text == "BAD":
            raise ValueError(f"{file} is bad")
    if text == "ODD":
        raise KeyError("odd")


def plan(source: Path, parts: int = 1, **changed: Any) -> Plan:
    """Every file of a folder; those that begin with t are for testing."""
    source.mkdir(exist_ok=True)
    items = [
        Item(
            name=file.stem,
            split="test" if file.name.startswith("t") else "train",
            sources=(file.name,),
            make=partial(upper, file, file.stem, parts),
        )
        for file in sorted(source.iterdir())
    ]
    settings: dict[str, Any] = {"parts": parts, "kinds": ("a", "b")}
    return Plan(**{"what": "texts", "source": source, "items": items, "settings": settings, **changed})


def run(source: Path, out: Path, parts: int = 1, workers: int = 1) -> Prepared:
    return prepare(plan(source, parts), out, recipe="texts", workers=workers)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "source"
    root.mkdir()
    for name in ("a", "b", "c", "t"):
        (root / f"{name}.txt").write_text(f"text {name}")
    return root


def written(out: Path) -> dict[str, bytes]:
    return {file.relative_to(out).as_posix(): file.read_bytes() for file in sorted(out.rglob("*.out"))}


def test_the_manifest_says_what_was_made_of_what(source: Path, tmp_path: Path, said: list[str]) -> None:
    (source / "d.txt").write_text("bad")
    (source / "e.txt").write_text("odd")
    out = tmp_path / "deep" / "out"
    lists = plan(source, 2, lists=lambda made: {"names.lst": "".join(f"{i.name}\n" for i in made), "none.lst": ""})
    done = prepare(lists, out, recipe="texts", workers=1)
    assert (done.made, done.kept) == (("a", "b", "c", "t"), ())
    assert done.left_out == {"d": "d.txt is bad", "e": "KeyError: 'odd'"}
    assert written(out) == {f"{name}/{part}.out": f"TEXT {name.upper()}".encode() for name in "abct" for part in "01"}
    assert (out / "names.lst").read_text() == "a\nb\nc\nt\n"
    assert said == [
        f"prepare: {str(source)!r}: left out 2 of 6 texts: d.txt: d.txt is bad; e.txt: KeyError: 'odd'; repair or "
        "remove them",
        "prepare: none.lst is empty: nothing falls into that split",
    ]
    manifest = json.loads((out / "manifest.json").read_text())
    stat = (source / "t.txt").stat()
    file = {"sha256": hashlib.sha256(b"TEXT T").hexdigest(), "bytes": 6}
    assert manifest["items"].pop("t") == {
        "split": "test",
        "sources": {"t.txt": [6, stat.st_mtime_ns]},
        "files": {"t/0.out": file, "t/1.out": file},
    }
    assert set(manifest.pop("items")) == {"a", "b", "c"}
    assert manifest.pop("lists")["names.lst"]["bytes"] == 8
    assert manifest == {
        "format": 1,
        "recipe": "texts",
        "settings": {"parts": 2, "kinds": ["a", "b"]},
        "complete": True,
        "counts": {"train": 3, "test": 1, "left_out": 2},
        "left_out": {
            "d": {"split": "train", "source": "d.txt", "reason": "d.txt is bad"},
            "e": {"split": "train", "source": "e.txt", "reason": "KeyError: 'odd'"},
        },
    }
    assert describe_manifest(out) == "prepared by recipe 'texts': train 3, test 1, left out 2"
    assert describe_manifest(source) is None


def test_what_is_done_is_kept_until_it_or_its_source_changes(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(source, out, 2)
    before = {file: file.stat().st_mtime_ns for file in out.rglob("*.out")}
    manifest = (out / "manifest.json").read_bytes()
    assert run(source, out, 2).kept == ("a", "b", "c", "t")
    assert {file: file.stat().st_mtime_ns for file in out.rglob("*.out")} == before
    assert (out / "manifest.json").read_bytes() == manifest
    (out / "a" / "0.out").write_bytes(b"TEXT X")  # of the same length
    (out / "b" / "1.out").unlink()
    (source / "t.txt").write_text("new")
    (source / "n.txt").write_text("one more")
    assert run(source, out, 2).made == ("a", "b", "n", "t")
    assert written(out)["a/0.out"] == b"TEXT A"
    assert written(out)["t/1.out"] == b"NEW"
    (source / "t.txt").write_text("bad")
    done = run(source, out, 2)
    assert (done.kept, list(done.left_out)) == (("a", "b", "c", "n"), ["t"])
    assert not list((out / "t").iterdir()), "nothing of an item that is left out stays"


SCRIPT = """
import os, sys, time
from functools import partial
from pathlib import Path
from ddmi_modalities.datasets import preparation
from ddmi_modalities.datasets.preparation import Item, Plan, prepare

def slow(name, seconds):
    with open(Path(sys.argv[1]) / "pids", "a") as log:
        log.write(f"{os.getpid()}\\n")
    yield f"{name}.out", b"first"
    time.sleep(seconds if name > "i04" else 0)
    yield f"{name}.more", name.encode()

def main():
    root, seconds = Path(sys.argv[1]), float(sys.argv[2])
    preparation.SAVE_EVERY = 0.0
    names = [f"i{n:02}" for n in range(30)]
    items = [Item(name=name, split="train", sources=("x",), make=partial(slow, name, seconds)) for name in names]
    plan = Plan(what="things", source=root / "source", items=items, settings={})
    done = prepare(plan, root / "out", workers=int(sys.argv[3]))
    print(len(done.kept), len(done.made))

if __name__ == "__main__":
    main()
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")
def test_a_killed_run_goes_on_and_leaves_no_processes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "x").write_text("x")
    script, manifest = tmp_path / "script.py", tmp_path / "out" / "manifest.json"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(tmp_path)]
    first = subprocess.Popen([*command, "1000", "2"])  # seconds that an item takes, but for the first five

    def progress() -> tuple[int, set[int]]:
        items = json.loads(manifest.read_text())["items"] if manifest.exists() else {}
        pids = tmp_path / "pids"
        return len(items), {int(pid) for pid in pids.read_text().split()} if pids.exists() else set()

    while progress()[0] < 1 or len(progress()[1]) < 2:
        assert first.poll() is None
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    first.wait()
    kept, workers = progress()
    assert 0 < kept <= 5
    assert describe_manifest(tmp_path / "out") == (
        f"prepared by recipe '': train {kept}, test 0, left out 0; NOT COMPLETE: run `ddmi prepare` again"
    )
    for _ in range(1000):
        if not any(map(alive, workers)):
            break
        time.sleep(0.05)
    else:
        pytest.fail("workers outlive a killed run")
    (tmp_path / "out" / ".writing-1").write_text("half")
    monkeypatch.setattr(sys, "argv", [str(script), str(tmp_path), "0", "1"])
    monkeypatch.setattr(preparation, "SAVE_EVERY", preparation.SAVE_EVERY)  # the script changes it
    runpy.run_path(str(script), run_name="__main__")
    assert capsys.readouterr().out.split() == [str(kept), str(30 - kept)]
    files = {file.name: file.read_text() for file in (tmp_path / "out").iterdir() if file.suffix in (".out", ".more")}
    assert files == {
        f"i{n:02}.{end}": text for n in range(30) for end, text in (("out", "first"), ("more", f"i{n:02}"))
    }
    assert not (tmp_path / "out" / ".writing-1").exists()


def test_a_worker_that_dies_is_one_message(source: Path, tmp_path: Path) -> None:
    names = ("a", "b")
    items = [Item(name=n, split="train", sources=(f"{n}.txt",), make=partial(os._exit, 1)) for n in names]
    with pytest.raises(ValueError, match="one of 2 worker processes died, perhaps for want of memory; run the same"):
        prepare(Plan(what="texts", source=source, items=items, settings={}), tmp_path / "out", workers=2)


def test_a_worker_s_error_is_raised_by_who_asked_for_it(source: Path, tmp_path: Path) -> None:
    make = partial(list, [(300 * "a", b"")])  # a name that no file system takes
    items = [Item(name=n, split="train", sources=(f"{n}.txt",), make=make) for n in ("a", "b")]
    with pytest.raises(Unwritable, match="cannot write '.*aaa'") as raised:
        prepare(Plan(what="texts", source=source, items=items, settings={}), tmp_path / "out", workers=2)
    assert raised.traceback[-1].path.name == "worker_processes.py"  # else it would pass for a fault of the pool


def test_a_full_disk_stops_the_run_and_keeps_what_is_done(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = os.replace

    def full(old: Path, new: Path) -> None:
        if Path(new).parent.name == "c":
            raise OSError(28, "No space left on device")
        replace(old, new)

    monkeypatch.setattr("ddmi_modalities.datasets.manifest.os.replace", full)
    with pytest.raises(ValueError, match=r"cannot write '.*c/0.out': No space left on device; make room"):
        run(source, tmp_path / "out")
    monkeypatch.undo()
    assert [file.name for file in (tmp_path / "out").rglob("*") if file.name.startswith(".writing")] == []
    done = run(source, tmp_path / "out")
    assert (done.kept, done.made) == (("a", "b"), ("c", "t"))


def test_an_interrupt_keeps_what_is_done(source: Path, tmp_path: Path, said: list[str]) -> None:
    def stop() -> Iterator[tuple[str, bytes]]:
        raise KeyboardInterrupt

    whole = plan(source)
    items = [*whole.items[:2], replace(whole.items[2], make=stop), *whole.items[3:]]
    with pytest.raises(KeyboardInterrupt):
        prepare(replace(whole, items=items), tmp_path / "out", workers=1)
    assert said == ["prepare: stopped; the same command goes on from here"]
    assert run(source, tmp_path / "out").kept == ("a", "b")


def test_two_at_once(source: Path, tmp_path: Path) -> None:
    messages = []

    def again() -> Iterator[tuple[str, bytes]]:
        with pytest.raises(ValueError, match="another process is preparing '.*out'; wait for it") as caught:
            run(source, tmp_path / "out")
        messages.append(str(caught.value))
        yield "x.out", b""

    item = Item(name="x", split="train", sources=("a.txt",), make=again)
    prepare(Plan(what="texts", source=source, items=[item], settings={}), tmp_path / "out", workers=1)
    assert messages


def test_messages(source: Path, tmp_path: Path) -> None:
    for out in (source, source / "out", tmp_path):
        with pytest.raises(ValueError, match="holds the other; name a folder beside the source"):
            run(source, out)
    (tmp_path / "link").symlink_to(source)
    with pytest.raises(ValueError, match="holds the other"):
        run(source, tmp_path / "link" / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="file' is a file; name a folder"):
        run(source, tmp_path / "file")
    with pytest.raises(NotADirectoryError):
        run(source, tmp_path / "file" / "out")
    with pytest.raises(ValueError, match="workers counts processes, got 0"):
        run(source, tmp_path / "out", workers=0)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("")
    with pytest.raises(ValueError, match="full' holds other files, such as 'thesis.txt', and no manifest.json"):
        run(source, tmp_path / "full")
    (source / "a.md").write_text("")
    with pytest.raises(ValueError, match="'a.md' and 'a.txt' in '.*source' would both become 'a'; rename one"):
        run(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    only = tmp_path / "only"
    only.mkdir()
    (only / "x.txt").write_text("bad")
    with pytest.raises(ValueError, match="prepare: '.*only': 1 of 1 texts cannot be used: x.txt: x.txt is bad; repair"):
        run(only, tmp_path / "out")
    with pytest.raises(
        ValueError, match="1 of 1 texts cannot be used"
    ):  # nothing was made, so that settings may change
        run(only, tmp_path / "out", 2)


def test_a_folder_of_other_data_is_not_mixed_with(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(source, out)
    with pytest.raises(ValueError, match="was prepared with parts 1, now 2; give the same settings, or another folder"):
        run(source, out, 2)
    (source / "a.txt").rename(tmp_path / "a.txt")
    with pytest.raises(ValueError, match="holds 1 texts that '.*source' has no more, .* such as 'a'; name a new"):
        run(source, out)
    (tmp_path / "a.txt").rename(source / "a.txt")
    assert len(run(source, out).kept) == 4
    manifest = json.loads((out / "manifest.json").read_text())
    for damage in ("{", "[]", json.dumps({**manifest, "format": 2}), json.dumps({**manifest, "items": {"a": 1}})):
        (out / "manifest.json").write_text(damage)
        with pytest.raises(ValueError, match="manifest.json' is damaged, or of another version or program"):
            run(source, out)
    manifest["items"]["a"]["files"] = {"../../source/a.txt": {"sha256": "", "bytes": 6}}
    (out / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match="is damaged"):
        run(source, out)
    assert (source / "a.txt").exists()


def test_a_split_without_items_is_said(tmp_path: Path, said: list[str]) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "a.txt").write_text("text a")
    prepare(plan(source, folders=("train", "test")), tmp_path / "out")
    assert any("no texts fall into the split 'test', and training needs some" in one for one in said)
    prepare(plan(source), tmp_path / "other")
    assert sum("training needs some" in one for one in said) == 1, "whoever reads the other folder splits it"
