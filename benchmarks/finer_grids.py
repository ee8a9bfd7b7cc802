"""What a large picture of a trained model costs when it is read to a tolerance, and how far it is off.

    python benchmarks/finer_grids.py [MODEL] [--side 4096] [--out benchmarks/results/finer_grids.json]

Processor seconds of one thread, relative to reading all of 512 x 512, each the median of interleaved runs.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from ddmi import DDMI

TOLERANCES = (0.005, 0.01, 0.02, 0.03)
REPEATS = 3


def seconds(work: Callable[[], object]) -> float:
    began = time.thread_time()
    work()
    return time.thread_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model", nargs="?", default="openmoji")
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--samples", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/finer_grids.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    functions = DDMI.from_pretrained(arguments.model).sample(arguments.samples)
    size = (arguments.side, arguments.side)
    small, exact = functions.grid((512, 512)), functions.grid(size)
    times: dict[str, list[float]] = {}
    for _ in range(REPEATS):
        times.setdefault("512", []).append(seconds(lambda: functions.grid((512, 512))))
        times.setdefault("all", []).append(seconds(lambda: functions.grid(size)))
        for tolerance in TOLERANCES:
            took = seconds(lambda tolerance=tolerance: functions.grid(size, tolerance=tolerance))  # type: ignore[misc]
            times.setdefault(str(tolerance), []).append(took)
    unit = statistics.median(times["512"])
    result: dict[str, object] = {
        "command": " ".join(["python", *sys.argv]),
        "torch": torch.__version__,
        "time/512_of_all_cells": 1.0,
        f"time/{arguments.side}_of_all_cells": round(statistics.median(times["all"]) / unit, 1),
    }
    for tolerance in TOLERANCES:
        made = functions.adaptive_grid(size, tolerance)
        error = made.values - exact
        result[f"tolerance_{tolerance}"] = {
            "cells_read_of_512_x_512": round(made.evaluated / small[:, 0].numel(), 2),
            "time": round(statistics.median(times[str(tolerance)]) / unit, 1),
            "signal_to_error_db": round(10 * math.log10(float(exact.var() / error.square().mean())), 1),
            "largest_error": round(float(error.abs().max()), 4),
        }
    for name, value in result.items():
        print(f"{name:30} {value}")
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
