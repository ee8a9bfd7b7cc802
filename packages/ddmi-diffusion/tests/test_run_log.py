from __future__ import annotations

import json
from pathlib import Path

from ddmi_diffusion.run_log import RunLog


def write(directory: Path, steps: range, resume: int = 0) -> None:
    log = RunLog(directory, resume, total=10)
    for step in steps:
        log.write(step, {"loss": step / 2, "best": float("inf")})
        log.advance()
    log.close()


def steps(directory: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (directory / "metrics.jsonl").read_text().splitlines()]


def test_lines_are_json_and_infinity_is_null(tmp_path: Path) -> None:
    write(tmp_path, range(2))
    assert (tmp_path / "metrics.jsonl").read_text().splitlines()[1] == '{"step": 1, "loss": 0.5, "best": null}'


def test_resuming_drops_what_is_done_again_and_torn_lines(tmp_path: Path) -> None:
    write(tmp_path, range(6))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2, "lo')
    write(tmp_path, range(4, 7), resume=4)
    assert steps(tmp_path) == [0, 1, 2, 3, 4, 5, 6]


def test_held_out_losses_are_logged_and_shown_until_the_next(tmp_path: Path) -> None:
    log = RunLog(tmp_path, total=3)
    log.write(0, {"loss": 1.0, "held_out/nll": 0.5, "held_out/kl": 7.0})
    log.write(1, {"loss": 0.9})
    assert "loss=0.9, held_out/nll=0.5" in str(log._bar.postfix)
    assert "kl" not in str(log._bar.postfix)  # one number tells how it goes
    log.close()
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert rows[0]["held_out/kl"] == 7.0
