"""Files that are not what they seem: nothing in them is called, and the error names the file and what it wanted."""

from __future__ import annotations

import argparse
import os
import pickle
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ddmi.cli import main
from ddmi.importing.unpickling import Stub, read_checkpoint

from .reference_files import arguments


class Call:
    """Is pickled as a call."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.function = function
        self.args = args

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.args


class Rebuilt:
    """Is pickled as a call that gets state afterwards."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.call = function, args

    def __reduce__(self) -> tuple[Any, ...]:
        return (*self.call, {"state": 1})


class Mapped(dict):  # type: ignore[type-arg]
    """A dictionary of a class of its own."""


def saved(path: Path, content: Any, **options: Any) -> Path:
    torch.save({"mlp": {"w": torch.ones(2)}, "args": content}, path, **options)
    return path


@pytest.mark.parametrize(
    ("attack", "named"),
    [
        (lambda trace: Call(os.system, f"touch {trace}"), "posix.system"),
        (lambda trace: Call(eval, f"open({str(trace)!r}, 'w')"), "builtins.eval"),
        (lambda trace: Call(exec, f"open({str(trace)!r}, 'w')"), "builtins.exec"),
        (lambda trace: Call(open, str(trace), "w"), "open"),
        (lambda trace: Call(subprocess.run, ["touch", str(trace)]), ".run"),
        (lambda trace: Call(torch.load, str(trace) + ".pt", None), "torch.serialization.load"),
        (lambda trace: Call(pickle.loads, pickle.dumps(Call(os.system, f"touch {trace}"))), "loads"),
        (lambda trace: Call(getattr, trace, "touch"), "PosixPath"),
        (lambda trace: Call(argparse.FileType, "w"), "argparse.FileType"),
        (lambda trace: Rebuilt(open, str(trace), "w"), "open"),
        (lambda trace: [{"deep": (Call(eval, f"open({str(trace)!r}, 'w')"),)}], "builtins.eval"),
    ],
)
def test_what_would_be_called_is_refused(
    attack: Callable[[Path], Any], named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = tmp_path / "trace"
    saved(Path(f"{trace}.pt"), Call(os.system, f"touch {trace}"))
    path = saved(tmp_path / "attack.pt", attack(trace))
    with pytest.raises(ValueError, match=r"attack\.pt: refused") as error:
        read_checkpoint(path)
    assert named in str(error.value)
    assert "no code of it has run" in str(error.value)
    config = tmp_path / "model.yaml"
    config.write_text("{model: {}, data: {domain: image}}")
    assert main(["import-reference", str(path), "--config", str(config), "--out", str(tmp_path / "out")]) == 2
    assert named in capsys.readouterr().err
    assert not trace.exists()
    assert not (tmp_path / "out").exists()


def test_a_dictionary_of_an_unknown_class_is_refused(tmp_path: Path) -> None:
    # torch 2.6 stumbles over what newer ones refuse in words
    refused = r"reader of weights \(Can only SETITEM.*Mapped|damaged \('Mapped' object does not support"
    with pytest.raises(ValueError, match=refused):
        read_checkpoint(saved(tmp_path / "mapped.pt", Mapped(a=1)))


def test_objects_of_unknown_classes_are_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "model.pt", arguments(monkeypatch))
    monkeypatch.undo()
    content = read_checkpoint(path)
    assert torch.equal(content["mlp"]["w"], torch.ones(2))
    args = content["args"]
    assert isinstance(args, Stub)
    assert not isinstance(args, argparse.Namespace)
    assert args.state["seed"] == 777
    config = args.state["ddconfig"]
    assert type(config).__module__ == "omegaconf.dictconfig"
    assert config.state["_content"]["ch"].state["_val"] == 32
    assert config.state["_metadata"].state["resolver_cache"] == {}


def test_what_was_allowed_for_one_file_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(torch.serialization.get_safe_globals())
    read_checkpoint(saved(tmp_path / "model.pt", arguments(monkeypatch)))
    assert set(torch.serialization.get_safe_globals()) == before


def test_files_that_are_no_checkpoints(tmp_path: Path) -> None:
    path = saved(tmp_path / "model.pt", None)
    whole = path.read_bytes()
    for name, data in {"half": whole[: len(whole) // 2], "start": whole[:50], "empty": b"", "text": b"no"}.items():
        broken = tmp_path / f"{name}.pt"
        broken.write_bytes(data)
        with pytest.raises(ValueError, match=rf"{name}\.pt: no checkpoint that torch\.save wrote .* copy it again"):
            read_checkpoint(broken)
    trace = tmp_path / "trace"
    old = saved(tmp_path / "old.pt", Call(os.system, f"touch {trace}"), _use_new_zipfile_serialization=False)
    with pytest.raises(ValueError, match=r"old\.pt: no checkpoint that torch\.save wrote since torch 1\.6"):
        read_checkpoint(old)
    assert not trace.exists()
    with pytest.raises(ValueError, match="is a directory; name a checkpoint"):
        read_checkpoint(tmp_path)
    with pytest.raises(ValueError, match=r"absent\.pt is not there; name a checkpoint"):
        read_checkpoint(tmp_path / "absent.pt")
    torch.save(torch.ones(2), path)
    with pytest.raises(ValueError, match="holds a Tensor, no dictionary of weights"):
        read_checkpoint(path)
