"""The trainer in processes of its own: killed by real signals, and two of them in one run."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import tiny_training as tiny
import torch

from ddmi_diffusion.checkpoint import latest_checkpoint

SCRIPT = Path(__file__).with_name("tiny_training.py")


@contextmanager
def started(run: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """The script in a process group of its own; nothing of it is left afterwards."""
    command = [sys.executable, str(SCRIPT), str(run), *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """As in the script: another number of threads would round differently."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def whole(_one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nobody interrupts."""
    run = tmp_path_factory.mktemp("whole")
    tiny.trainer(run).fit()
    return run


def wait_for_step(run: Path, step: int) -> None:
    deadline = time.monotonic() + 60
    while not (run / "metrics.jsonl").exists() or f'"step": {step},' not in (run / "metrics.jsonl").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
def test_sigterm_to_the_whole_group_saves_and_the_run_goes_on(tmp_path: Path, whole: Path) -> None:
    """With a worker process, which gets the signal too and must not die of it."""
    with started(tmp_path, "--delay", "0.01", "--workers", "1") as process:
        wait_for_step(tmp_path, 6)
        os.killpg(process.pid, signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "TrainingInterrupted: stopped at step" in errors
    assert errors.count("Traceback") == 1
    tiny.trainer(tmp_path).fit(resume=True)
    tiny.assert_same_bits(tmp_path, whole)


@pytest.mark.slow
def test_sigkill_in_a_step_loses_only_the_steps_since_the_checkpoint(tmp_path: Path, whole: Path) -> None:
    with started(tmp_path, "--delay", "0.01") as process:
        wait_for_step(tmp_path, 7)
        process.kill()
        process.communicate(timeout=30)
    path = latest_checkpoint(tmp_path / "checkpoints")
    assert path is not None
    assert path.name == "step-00000005"
    tiny.trainer(tmp_path).fit(resume=True)
    tiny.assert_same_bits(tmp_path, whole)


@pytest.mark.slow
def test_sigkill_in_a_save_leaves_the_checkpoint_before_it(tmp_path: Path, whole: Path) -> None:
    with started(tmp_path, "--die-in-save") as process:
        process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    names = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert names[0].startswith(".tmp-step-00000010")
    assert names[1:] == ["step-00000005"]
    tiny.trainer(tmp_path).fit(resume=True)
    tiny.assert_same_bits(tmp_path, whole)


@pytest.mark.slow
@pytest.mark.parametrize(("optimizer", "batch", "parts"), [("adamw", 8, 2), ("muon", 8, 2), ("adamw", 7, 3)])
def test_two_processes_follow_one_to_rounding(tmp_path: Path, optimizer: str, batch: int, parts: int) -> None:
    """Also where they share unevenly: 7 items in 3 parts are parts of 2, 2 and 3 alone, of 1 and 2, 2 and 2 for two."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    launch += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", port]
    options = ["--dropout", "0", "--accumulate", str(parts), "--optimizer", optimizer, "--validate-every", "7"]
    options += ["--batch-size", str(batch)]
    line = [*launch, str(SCRIPT), str(tmp_path / "two"), *options]
    done = subprocess.run(line, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("of 2 processes") == 2  # `--cpu` in the place of `--multi_gpu` would start one
    alone = dict(dropout=0.0, accumulate=parts, batch_size=batch, optimizer=optimizer, validate_every=7)
    tiny.trainer(tmp_path / "one", **alone).fit()
    one, two = tiny.state_of(tmp_path / "one"), tiny.state_of(tmp_path / "two")
    for name in one:
        if not name.split("/")[0].endswith("optimizer"):
            torch.testing.assert_close(one[name], two[name], rtol=1e-4, atol=1e-5, msg=name)
    lines = [(tmp_path / name / "metrics.jsonl").read_text().splitlines() for name in ("one", "two")]
    assert len(lines[1]) == 14
    held_out = [[json.loads(line)["held_out/loss"] for line in rows if "held_out" in line] for rows in lines]
    assert len(held_out[0]) == 2
    assert held_out[1] == pytest.approx(held_out[0], rel=1e-4)
