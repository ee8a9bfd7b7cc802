from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest
import tiny_training as tiny

from ddmi_diffusion import Trainer
from ddmi_diffusion.pace import PATIENCE, Pace


def test_slow_steps_are_told_once_a_slow_while() -> None:
    pace = Pace()
    assert [pace.look(s) for s in (1.0, 0.5, 0.8, 0.8, 0.8)] == [None] * 5, "somewhat slower is nothing"
    assert [pace.look(s) for s in (2.0, 2.0, 0.6, 2.0, 2.0)] == [None] * 5, "now and then is nothing"
    said = [pace.look(2.0) for _ in range(2 * PATIENCE)]
    assert sum(one is not None for one in said) == 1
    assert "steps take 4.0 times as long as before" in str(said[0])
    assert "OMP_NUM_THREADS=1" in str(said[0])
    pace.look(0.5)
    assert sum(pace.look(2.0) is not None for _ in range(5)) == 1, "and again after a fast while"


def test_a_training_says_that_it_has_become_slow(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]

    def clock() -> float:
        now[0] += 0.001
        return now[0]

    def slower(steps_done: int, _: Trainer) -> None:
        now[0] += 1.0 if steps_done < 5 else 10.0

    monkeypatch.setattr(time, "perf_counter", clock)
    with caplog.at_level(logging.WARNING, logger="ddmi"):
        trainer = tiny.trainer(tmp_path, log_every=1, steps=12)
        trainer.callback = slower
        trainer.fit()
    assert caplog.text.count("times as long as before") == 1
