"""The command line: `ddmi recipes | train | sample | reconstruct | evaluate | table | report | fit | prepare | ...`."""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout, suppress
from importlib.metadata import version
from pkgutil import resolve_name
from types import MappingProxyType
from typing import Any

import tyro

from ddmi.commands.line import PROGRAM, split_line, with_new_names
from ddmi.console import guarded, set_up_logging, show_progress, take_flags
from ddmi.machine.allocator import keep_freed_pages
from ddmi.machine.waiting import spin_briefly

COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "recipes": "ddmi.commands.recipes:Recipes",
        "train": "ddmi.commands.train:Train",
        "sample": "ddmi.commands.sample:Sample",
        "reconstruct": "ddmi.commands.reconstruct:Reconstruct",
        "evaluate": "ddmi.commands.evaluate:Evaluate",
        "table": "ddmi.commands.table:Table",
        "report": "ddmi.commands.report:Report",
        "analyze": "ddmi.commands.analyze:Analyze",
        "ablate": "ddmi.commands.ablate:Ablate",
        "fit": "ddmi.commands.fit:Fit",
        "prepare": "ddmi.commands.prepare:Prepare",
        "explore": "ddmi.commands.explore:Explore",
        "export": "ddmi.commands.export:Export",
        "import-reference": "ddmi.commands.import_reference:ImportReference",
    }
)
"""Where each command's dataclass of options is, which has `run(rest)`."""

COMPLETION, SHELLS = "--tyro-print-completion", ("bash", "zsh", "fish", "tcsh")

FLAGS = (
    ("-v, --verbose", "say details"),
    ("-q, --quiet", "say warnings only"),
    ("--debug", "show the traceback of an error (or DDMI_DEBUG=1)"),
    ("--version", "print the version and stop"),
    (f"{COMPLETION} S", "print what makes the shell S complete commands and options: " + ", ".join(SHELLS)),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command.  Bad input ends with one line on stderr and the exit code 2, a fault of ours with 70."""
    args, verbosity, debug = take_flags(sys.argv[1:] if argv is None else argv)
    set_up_logging(verbosity)
    code = guarded(lambda: _answer(args), debug=debug)
    with suppress(ImportError):  # of an interrupt amid imports, which leaves no processes
        if "torch" in sys.modules:
            from ddmi.machine.processes import leave_processes

            leave_processes()
    return code


def _answer(args: Sequence[str]) -> None:
    first = args[0] if args else "--help"
    if first == "--version":
        print(f"{PROGRAM} {version('ddmi')}")
    elif first in ("-h", "--help"):
        _print_help()
    elif first == COMPLETION:
        _print_completion(args)
    elif first in COMMANDS:
        keep_freed_pages()
        spin_briefly()
        _run(first, args[1:])
    else:
        raise ValueError(f"unknown command {first!r}; choose one of {', '.join(COMMANDS)}")


def _print_help() -> None:
    print(f"usage: {PROGRAM} COMMAND ...\n")
    for name, address in COMMANDS.items():
        print(f"  {name:16} {(resolve_name(address).__doc__ or '').splitlines()[0]}")
    print(f"\n`{PROGRAM} COMMAND --help` shows a command's options.  Those of all:\n")
    for flag, meaning in FLAGS:
        print(f"  {flag:25} {meaning}")


def _print_completion(args: Sequence[str]) -> None:
    if len(args) != 2 or args[1] not in SHELLS:
        raise ValueError(f"{COMPLETION}: name your shell, one of {', '.join(SHELLS)}")
    commands = {name: resolve_name(address) for name, address in COMMANDS.items()}
    script = io.StringIO()
    try:
        with redirect_stdout(script):
            tyro.extras.subcommand_cli_from_dict(commands, prog=PROGRAM, args=args)
    except SystemExit as stop:
        if stop.code:
            raise
    for line in script.getvalue().splitlines():  # bash would take every line of a description for a word
        print(line.replace("\\n", " ") if line.startswith("COMPLETION_SPEC") else line)


def _run(name: str, args: Sequence[str]) -> None:
    # `--help` belongs to the settings of a recipe or run once it has been named.
    owned = name != "recipes" and any(not arg.startswith("-") for arg in args)
    helps = [arg for arg in args if arg in ("-h", "--help")] if owned else []
    own, settings = split_line([arg for arg in args if arg not in helps])
    options: type[Any] = resolve_name(COMMANDS[name])
    if hasattr(options, "RENAMED"):
        own = with_new_names(own, options.RENAMED)
    command, rest = tyro.cli(options, args=own, prog=f"{PROGRAM} {name}", return_unknown_args=True)
    rest += settings
    if helps:
        print(f"The command's own options: `{PROGRAM} {name} --help`.  Those of what it works on:\n")
        rest.append("--help")
    if name != "recipes":  # which imports nothing heavy
        show_progress()
    command.run(rest)
