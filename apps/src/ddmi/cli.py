"""The command line: `ddmi recipes | train | sample | reconstruct | evaluate | table | report | fit | prepare | ...`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pkgutil import resolve_name
from types import MappingProxyType
from typing import Any

import tyro

from ddmi.commands.line import PROGRAM
from ddmi.console import fail, guarded, set_up_logging, show_progress, take_flags
from ddmi.machine.allocator import keep_freed_pages

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
        "import-reference": "ddmi.commands.import_reference:ImportReference",
    }
)
"""Where each command's dataclass of options is, which has `run(rest)`."""

COMPLETION = "--tyro-print-completion"

FLAGS = (
    ("-v, --verbose", "say details"),
    ("-q, --quiet", "say warnings only"),
    ("--debug", "show the traceback of an error (or DDMI_DEBUG=1)"),
    ("--version", "print the version and stop"),
    (f"{COMPLETION} S", "print what makes the shell S (bash, zsh, tcsh) complete commands and options"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command.  Bad input ends with one line on stderr and the exit code 2, a fault of ours with 70."""
    args, verbosity, debug = take_flags(sys.argv[1:] if argv is None else argv)
    set_up_logging(verbosity)
    if args and args[0] == "--version":
        print(f"{PROGRAM} {version('ddmi')}")
        return 0
    if not args or args[0] in ("-h", "--help"):
        _print_help()
        return 0
    if args[0] == COMPLETION:
        commands = {name: resolve_name(address) for name, address in COMMANDS.items()}
        tyro.extras.subcommand_cli_from_dict(commands, prog=PROGRAM, args=args)  # prints and exits
    if args[0] not in COMMANDS:
        return fail(f"unknown command {args[0]!r}; choose one of {', '.join(COMMANDS)}")
    keep_freed_pages()
    code = guarded(lambda: _dispatch(args[0], args[1:]), debug=debug)
    if "torch" in sys.modules:
        from ddmi.machine.processes import leave_processes

        leave_processes()
    return code


def _print_help() -> None:
    print(f"usage: {PROGRAM} COMMAND ...\n")
    for name, address in COMMANDS.items():
        print(f"  {name:16} {(resolve_name(address).__doc__ or '').splitlines()[0]}")
    print(f"\n`{PROGRAM} COMMAND --help` shows a command's options.  Those of all:\n")
    for flag, meaning in FLAGS:
        print(f"  {flag:25} {meaning}")


def _dispatch(name: str, args: Sequence[str]) -> None:
    # `--help` belongs to the settings of a recipe or run once it has been named.
    owned = name != "recipes" and any(not arg.startswith("-") for arg in args)
    helps = [arg for arg in args if arg in ("-h", "--help")] if owned else []
    rest_of_line = [arg for arg in args if arg not in helps]
    options: type[Any] = resolve_name(COMMANDS[name])
    if hasattr(options, "RENAMED"):
        from ddmi.commands.line import with_new_names

        rest_of_line = with_new_names(rest_of_line, options.RENAMED)
    command, rest = tyro.cli(options, args=rest_of_line, prog=f"{PROGRAM} {name}", return_unknown_args=True)
    if helps:
        print(f"The command's own options: `{PROGRAM} {name} --help`.  Those of what it works on:\n")
        rest = [*rest, "--help"]
    if name != "recipes":  # which imports nothing heavy
        show_progress()
    command.run(rest)


if __name__ == "__main__":
    sys.exit(main())
