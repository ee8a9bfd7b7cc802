"""The command line: `ddmi recipes | train | sample | reconstruct | evaluate | table | report | fit | prepare | ...`."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Sequence
from typing import Any

import tyro

from ddmi.allocator import keep_freed_pages
from ddmi.commands.ablate import Ablate
from ddmi.commands.evaluate import Evaluate, Table
from ddmi.commands.fit import Fit
from ddmi.commands.import_reference import ImportReference
from ddmi.commands.line import PROGRAM, say
from ddmi.commands.pictures import Analyze, Report
from ddmi.commands.prepare import Prepare
from ddmi.commands.recipes import Recipes
from ddmi.commands.reconstruct import Reconstruct
from ddmi.commands.sample import Sample
from ddmi.commands.train import Train

COMMANDS: dict[str, type[Any]] = {
    "recipes": Recipes,
    "train": Train,
    "sample": Sample,
    "reconstruct": Reconstruct,
    "evaluate": Evaluate,
    "table": Table,
    "report": Report,
    "analyze": Analyze,
    "ablate": Ablate,
    "fit": Fit,
    "prepare": Prepare,
    "import-reference": ImportReference,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command.  Bad input ends with one line on stderr and the exit code 2."""
    argv = list(sys.argv[1:] if argv is None else argv)
    keep_freed_pages()
    if not argv or argv[0] not in COMMANDS:
        if argv and argv[0] not in ("-h", "--help"):
            return _fail(f"unknown command {argv[0]!r}; choose one of {', '.join(COMMANDS)}")
        print(f"usage: {PROGRAM} COMMAND ...\n")
        for name, command in COMMANDS.items():
            print(f"  {name:16} {(command.__doc__ or '').splitlines()[0]}")
        return 0
    code = _guarded(lambda: _dispatch(argv[0], argv[1:]))
    if "torch" in sys.modules:
        from ddmi.processes import leave_processes

        leave_processes()
    return code


def _dispatch(name: str, args: Sequence[str]) -> None:
    # `--help` belongs to the settings of a recipe or view once their owner has been named.
    owned = name != "recipes" and any(not arg.startswith("-") for arg in args)
    helps = [arg for arg in args if arg in ("-h", "--help")] if owned else []
    rest_of_line = [arg for arg in args if arg not in helps]
    command, rest = tyro.cli(COMMANDS[name], args=rest_of_line, prog=f"{PROGRAM} {name}", return_unknown_args=True)
    if helps:
        print(f"The command's own options: `{PROGRAM} {name} --help`.  Those of what it works on:\n")
        rest = [*rest, "--help"]
    command.run(rest)


def _guarded(action: Callable[[], None]) -> int:
    from ddmi_diffusion import CheckpointError, NonFiniteLossError, TrainingInterrupted

    try:
        action()
    except TrainingInterrupted as stopped:
        say(f"{PROGRAM}: {stopped}")
        return 130
    except (ValueError, CheckpointError, NonFiniteLossError) as error:
        return _fail(str(error))
    except OSError as error:
        remedy = "; free some space and run again with --resume" if error.errno == errno.ENOSPC else ""
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}{remedy}")
    except RuntimeError as error:
        if "allocate" not in str(error):  # torch has a class of its own for a GPU's memory only
            raise
        return _fail(f"not enough memory ({error}); ask for less at once: a smaller --resolution or batch")
    except KeyboardInterrupt:
        return 130
    return 0


def _fail(message: str) -> int:
    say(f"{PROGRAM}: error: {' '.join(message.split())}")
    return 2


if __name__ == "__main__":
    sys.exit(main())
