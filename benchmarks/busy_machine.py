"""Training steps beside other work: threads that spin at barriers against threads that sleep there.

    python benchmarks/busy_machine.py [RECIPE] [--out benchmarks/results/busy_machine.json]

Seconds of a step of both stages at preset demo, as `ddmi train --dry-run` measures them, with 0 and 1 other busy
processes, interleaved; the least of the repeats, relative to one thread on an idle machine, which this one is to be.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import subprocess
import sys
from pathlib import Path

REPEATS = 3
WAYS = {
    "one thread": {"OMP_NUM_THREADS": "1"},
    "threads that spin": {"OMP_WAIT_POLICY": "ACTIVE"},
    "threads as libgomp has them": {"GOMP_SPINCOUNT": "300000"},
    "threads that sleep": {"OMP_WAIT_POLICY": "PASSIVE"},
    "threads that spin briefly": {"GOMP_SPINCOUNT": "10000"},
}


def burn() -> None:
    while True:
        pass


def seconds(recipe: str, env: dict[str, str]) -> list[float]:
    """Of a step of each stage."""
    command = (sys.executable, "-m", "ddmi", "train", recipe, "--preset", "demo", "--dry-run")
    done = subprocess.run(command, env=os.environ | env, text=True, check=True, stderr=subprocess.STDOUT, stdout=-1)
    return [float(one) for one in re.findall(r"([\d.]+) s a step", done.stdout)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("recipe", nargs="?", default="openmoji")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/busy_machine.json"))
    arguments = parser.parse_args()
    found: dict[str, list[list[float]]] = {}
    for _ in range(REPEATS):
        for others in (0, 1):
            burners = [multiprocessing.Process(target=burn, daemon=True) for _ in range(others)]
            for one in burners:
                one.start()
            for way, env in WAYS.items():
                found.setdefault(f"{way}, {others} other", []).append(seconds(arguments.recipe, env))
            for one in burners:
                one.kill()
    least = {name: [min(column) for column in zip(*rows, strict=True)] for name, rows in found.items()}
    unit = least["one thread, 0 other"]
    result: dict[str, object] = {
        "command": " ".join(["python", *sys.argv]),
        "cores": os.cpu_count(),
        "repeats": REPEATS,
    }
    for name, row in least.items():
        result[name] = [round(one / first, 2) for one, first in zip(row, unit, strict=True)]
        print(f"{name:40} {result[name]}")
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
