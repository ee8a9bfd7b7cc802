"""What the commands share of the line: its program, messages, and the options of what a command works on."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tyro

PROGRAM = "ddmi"


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def parse(wanted: Any, default: Any, args: Sequence[str], program: str) -> Any:
    return tyro.cli(wanted, default=default, args=list(args), prog=program, config=(tyro.conf.AvoidSubcommands,))


def no_more(rest: Sequence[str]) -> None:
    if list(rest) == ["--help"]:
        print("none.")
    elif rest:
        raise ValueError(f"unknown option {rest[0]!r}; --help shows what there is")


def open_run(run_dir: Path, rest: Sequence[str], command: str) -> tuple[Any, Any]:
    """The model of a run, and the rest of the line as its modality's view."""
    from ddmi.pipeline import DDMI

    model = DDMI.from_pretrained(run_dir)
    view = model.experiment.modality.View
    return model, parse(view, view(), rest, f"{PROGRAM} {command} RUN")


def progress_bar(steps: Any) -> Any:
    from tqdm import tqdm

    return tqdm(steps, desc="sampling", leave=False, disable=not sys.stderr.isatty())
