from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from ddmi_diffusion import atomic_files, checkpoint
from ddmi_diffusion.checkpoint import (
    STATE,
    CheckpointError,
    atomic_write_text,
    flatten_optimizer,
    latest_checkpoint,
    load_checkpoint,
    restore_optimizer,
    save_checkpoint,
    save_tensors,
)

TENSORS = {"model": {"w": torch.arange(6.0).view(2, 3)}, "ema": {"w": torch.ones(2)}, "empty": {}}


def save(root: Path, step: int, keep: int = 9, tensors: dict[str, dict[str, Tensor]] = TENSORS) -> Path:
    return save_checkpoint(root, step, tensors, {"step": step}, keep)


def test_tensors_and_meta_go_round(tmp_path: Path) -> None:
    path = save(tmp_path / "deep" / "root", 12)
    assert path.name == "step-00000012"
    tensors, meta = load_checkpoint(path)
    assert tensors.keys() == TENSORS.keys()
    assert torch.equal(tensors["model"]["w"], TENSORS["model"]["w"])
    assert meta == {"step": 12}
    assert not list(path.parent.glob(".tmp*"))


def test_tied_weights_views_and_transposes_are_saved(tmp_path: Path) -> None:
    whole = torch.arange(12.0).view(3, 4)
    group = {"a": whole, "b": whole, "row": whole[1], "t": whole.T, "scalar": torch.tensor(3)}
    loaded = load_checkpoint(save(tmp_path, 0, tensors={"model": group}))[0]["model"]
    assert all(torch.equal(loaded[k], v) for k, v in group.items())


def test_the_newest_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 3, 100_000_000):
        save(tmp_path, step, keep=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-00000003", "step-100000000"]
    save(tmp_path, 100_000_001, keep=0)
    assert [p.name for p in tmp_path.iterdir()] == ["step-100000001"]


def test_saving_a_step_again_replaces_it(tmp_path: Path) -> None:
    save(tmp_path, 1)
    path = save(tmp_path, 1, tensors={"model": {"w": torch.zeros(1)}})
    assert load_checkpoint(path)[0].keys() == {"model"}
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000001"]


def test_leftovers_of_dead_processes_are_removed_and_of_living_ones_kept(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    host = socket.gethostname()
    dead = tmp_path / f".tmp-step-00000001-{host}-{process.pid}"
    alive = tmp_path / f".tmp-step-00000001-{host}-{os.getppid()}"
    elsewhere, forgotten = tmp_path / ".tmp-step-00000001-elsewhere-1", tmp_path / ".tmp-step-00000002-elsewhere-1"
    for path in (dead, alive, elsewhere, forgotten):
        path.mkdir()
    os.utime(forgotten, (0, 0))
    save(tmp_path, 5)
    assert not dead.exists()
    assert not forgotten.exists()
    assert alive.exists()
    assert elsewhere.exists()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def test_nothing_there_is_no_checkpoint(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path) is None
    assert latest_checkpoint(tmp_path / "absent") is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda p: truncate(p / "model.safetensors"),
        lambda p: (p / "model.safetensors").unlink(),
        lambda p: truncate(p / STATE),
        lambda p: (p / STATE).unlink(),
        lambda p: (p / STATE).write_text('{"format": 1}'),
        lambda p: (p / STATE).write_text("[]"),
        lambda p: (p / STATE).write_text((p / STATE).read_text().replace('"step": 2', '"step": 3')),
        lambda p: (p / STATE).write_bytes(b"\xff\xfe"),
    ],
)
def test_a_broken_checkpoint_is_passed_over_and_loading_it_names_the_file(tmp_path: Path, damage: Any) -> None:
    good, bad = save(tmp_path, 1), save(tmp_path, 2)
    assert latest_checkpoint(tmp_path) == bad
    damage(bad)
    assert latest_checkpoint(tmp_path) == good
    with pytest.raises(CheckpointError, match=r"cannot read .*step-00000002/(model.safetensors|state.json): .*remove"):
        load_checkpoint(bad)


def test_a_flipped_bit_is_found(tmp_path: Path) -> None:
    path = save(tmp_path, 1)
    flip(path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"model.safetensors: its checksum is wrong; remove the directory"):
        load_checkpoint(path)


def test_a_file_that_is_not_safetensors_is_named(tmp_path: Path) -> None:
    path = save(tmp_path, 1)
    (path / "model.safetensors").write_bytes(b"x" * 100)
    state = json.loads((path / STATE).read_text())
    state["files"]["model.safetensors"] = {"bytes": 100, "crc32": zlib.crc32(b"x" * 100)}
    del state["crc32"]  # as written before it was there
    (path / STATE).write_text(json.dumps(state))
    with pytest.raises(CheckpointError, match=r"cannot read .*model.safetensors: .*header"):
        load_checkpoint(path)


def test_a_state_that_points_outside_its_directory_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path, 1)
    state = json.loads((path / STATE).read_text())
    state["files"]["../secret.safetensors"] = {"bytes": 1, "crc32": 0}
    (path / STATE).write_text(json.dumps(state))
    with pytest.raises(CheckpointError, match="not the state of a checkpoint"):
        load_checkpoint(path)


@pytest.mark.parametrize("function", ["save_file", "write_text", "replace"])
def test_a_full_disk_leaves_older_checkpoints_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    good = save(tmp_path, 1)

    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    target = {"save_file": atomic_files, "write_text": checkpoint, "replace": os}[function]
    with monkeypatch.context() as patch:
        patch.setattr(target, function, full)
        with pytest.raises(CheckpointError, match=r"^cannot write .*step-00000002: No space left on device; free") as e:
            save(tmp_path, 2)
    assert "\n" not in str(e.value)
    assert list(tmp_path.iterdir()) == [good]
    assert latest_checkpoint(tmp_path) == good
    load_checkpoint(good)


def test_a_write_that_the_system_cuts_short_is_reported(tmp_path: Path) -> None:
    code = f"""
import resource, torch
from ddmi_diffusion.checkpoint import CheckpointError, save_checkpoint
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
try:
    save_checkpoint({str(tmp_path)!r}, 1, {{"model": {{"w": torch.zeros(5000)}}}}, {{}}, 1)
except CheckpointError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "File too large" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_single_files_are_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text, tensors = tmp_path / "a" / "x.json", tmp_path / "x.safetensors"
    atomic_write_text(text, "one")
    atomic_write_text(text, "two")
    save_tensors(tensors, {"t": torch.ones(2)}, {"kind": "test"})
    assert text.read_text() == "two"
    assert torch.equal(load_file(tensors)["t"], torch.ones(2))
    assert tensors.stat().st_mode == text.stat().st_mode

    def refuse(*_: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "fsync", refuse)
    writes: list[tuple[Path, Callable[[], None]]] = [
        (text, lambda: atomic_write_text(text, "three")),
        (tensors, lambda: save_tensors(tensors, {})),
    ]
    for path, write in writes:
        before = path.read_bytes()
        with pytest.raises(CheckpointError, match=f"cannot write .*{path.name}: Permission denied"):
            write()
        assert path.read_bytes() == before
        assert len(list(path.parent.glob(".tmp*"))) == 0


def train(optimizer: torch.optim.Optimizer, net: nn.Module, steps: range) -> None:
    for step in steps:
        optimizer.zero_grad()
        net(torch.full((1, 3), float(step + 1))).square().sum().backward()
        optimizer.step()


@pytest.mark.parametrize(
    "make",
    [
        lambda p: torch.optim.AdamW(p, lr=0.1, amsgrad=True),
        lambda p: torch.optim.SGD(p, lr=1e-4, momentum=0.9),
        lambda p: torch.optim.SGD(p, lr=1e-4),
        lambda p: torch.optim.RMSprop(p, lr=1e-3),
    ],
)
def test_optimizer_state_goes_round_through_a_file(tmp_path: Path, make: Any) -> None:
    torch.manual_seed(0)
    net = nn.Linear(3, 2)
    names = ["weight", "bias"]
    optimizer = make(net.parameters())
    train(optimizer, net, range(3))
    save_tensors(tmp_path / "o.safetensors", flatten_optimizer(optimizer, names))
    twin = nn.Linear(3, 2)
    twin.load_state_dict(net.state_dict())
    other = make(twin.parameters())
    restore_optimizer(other, names, load_file(tmp_path / "o.safetensors"))
    train(optimizer, net, range(3, 6))
    train(other, twin, range(3, 6))
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), twin.parameters(), strict=True))


def test_numbers_in_optimizer_state_stay_numbers() -> None:
    parameter = torch.zeros(2, requires_grad=True)
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    optimizer.state[parameter] = {"count": 3, "mean": 0.5}
    flat = flatten_optimizer(optimizer, ["p"])
    other = torch.optim.SGD([parameter], lr=0.1)
    restore_optimizer(other, ["p"], flat)
    assert other.state[parameter] == {"count": 3, "mean": 0.5}
    optimizer.state[parameter] = {"history": ["x"]}
    with pytest.raises(ValueError, match="state 'history' of 'p' is a list"):
        flatten_optimizer(optimizer, ["p"])


def test_optimizer_state_that_does_not_fit_is_named() -> None:
    net = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(net.parameters())
    with pytest.raises(ValueError, match="has 2 parameters, got 1 names"):
        flatten_optimizer(optimizer, ["weight"])
    with pytest.raises(ValueError, match="parameter 'gain' that is not optimised here"):
        restore_optimizer(optimizer, ["weight", "bias"], {"gain/exp_avg": torch.zeros(2)})
    with pytest.raises(ValueError, match=r"'bias/exp_avg' has shape \(3,\), its parameter \(2,\)"):
        restore_optimizer(optimizer, ["weight", "bias"], {"bias/exp_avg": torch.zeros(3)})


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    metadata = {f"entry {i}": 'quoted " and é' for i in range(8)}
    contents = set()
    for i in range(8):
        path = tmp_path / f"{i}.safetensors"
        save_tensors(path, {"b": torch.arange(3.0), "a": torch.ones(2)}, metadata)
        contents.add(path.read_bytes())
    assert len(contents) == 1
    with safe_open(path, "pt") as file:
        assert file.metadata() == metadata
        assert torch.equal(file.get_tensor("b"), torch.arange(3.0))
