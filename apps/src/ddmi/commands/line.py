"""What the commands share of the line: the options of what a command works on, and options of former names."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import tyro

if TYPE_CHECKING:
    from ddmi.pipeline import DDMI

PROGRAM = "ddmi"

T = TypeVar("T")

logger = logging.getLogger("ddmi")


def split_line(args: Sequence[str]) -> tuple[list[str], list[str]]:
    """The options of a command, and those of settings with their values, which have a dot in their names."""
    own: list[str] = []
    settings: list[str] = []
    place = own
    for arg in args:
        if arg.startswith("--"):
            place = settings if "." in arg.partition("=")[0] else own
        place.append(arg)
    return own, settings


def parse(default: T, args: Sequence[str], program: str) -> T:
    """Settings of the type of `default`, with what the line changes."""
    config = (tyro.conf.AvoidSubcommands, tyro.conf.SuppressFixed)
    return tyro.cli(type(default), default=default, args=list(args), prog=program, config=config)


def parse_some(default: T, args: Sequence[str], program: str) -> tuple[T, list[str]]:
    """The same, and what of the line is not theirs."""
    found, rest = tyro.cli(type(default), default=default, args=list(args), prog=program, return_unknown_args=True)
    return found, rest


def no_more(rest: Sequence[str]) -> None:
    if list(rest) == ["--help"]:
        print("none.")
    elif rest:
        raise ValueError(f"unknown option {rest[0]!r}; --help shows what there is")


def with_new_names(args: Sequence[str], renamed: Mapping[str, str]) -> list[str]:
    """The line with options under their new names; each old one is reported.

    Args:
        args: The line.
        renamed: Old to new, without dashes in front, such as {"steps": "num-steps"}.
    """
    return [_with_new_name(arg, renamed) for arg in args]


def _with_new_name(arg: str, renamed: Mapping[str, str]) -> str:
    name, equals, value = arg.removeprefix("--").partition("=")
    new = renamed.get(name.replace("_", "-"))
    if not arg.startswith("--") or new is None:
        return arg
    logger.warning("--%s is called --%s now; the old name will go with the next minor version", name, new)
    return f"--{new}{equals}{value}"


def own_directory(run_dir: Path) -> Path:
    """A run's directory, to write beside it.  ValueError for a model elsewhere: a folder of its name would hide it."""
    if not run_dir.expanduser().is_dir():
        raise ValueError(
            f"{run_dir} is no directory of yours to write to; `{PROGRAM} export {run_dir} --out DIR` makes it one"
        )
    return run_dir


def open_run(run_dir: Path, rest: Sequence[str], command: str, device: str) -> tuple[DDMI, Any]:
    """The model of a run on its device, and the rest of the line as its modality's options of rendering."""
    from ddmi.machine.processes import find_device, join_processes
    from ddmi.pipeline import DDMI

    found = find_device(device)
    model = DDMI.from_pretrained(run_dir)
    options: Any = parse(model.experiment.modality.RenderOptions(), rest, f"{PROGRAM} {command} RUN")
    join_processes(found)
    return model.to(found), options
