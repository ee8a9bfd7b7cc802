"""What a command says: one logger to stderr, progress bars on a terminal, and exit codes."""

from __future__ import annotations

import errno
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from types import TracebackType

BAD_INPUT, INTERNAL, STOPPED = 2, 70, 130
"""Exit codes: of the user's errors, of our own (EX_SOFTWARE of sysexits.h), and of Ctrl-C."""

logger = logging.getLogger("ddmi")


class Console(logging.Handler):
    """Messages to stderr, above a progress bar where there is one; control characters in them are written out."""

    def emit(self, record: logging.LogRecord) -> None:
        from ddmi_modalities.files.text import printable

        try:
            text = printable(self.format(record))
            if "tqdm" in sys.modules and sys.stderr.isatty():
                from tqdm import tqdm

                tqdm.write(text, file=sys.stderr)
            else:
                print(text, file=sys.stderr, flush=True)
        except Exception:
            self.handleError(record)


def set_up_logging(verbosity: int) -> None:
    """What of the logger `ddmi` is shown: 0 all but details, 1 also these, -1 warnings only.

    Of several processes the main one speaks; the others say errors only.
    """
    level = {-1: logging.WARNING, 0: logging.INFO}.get(verbosity, logging.DEBUG)
    handler = Console()
    handler.setFormatter(logging.Formatter("%(asctime)s %(module)s: %(message)s" if verbosity > 0 else "%(message)s"))
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(logging.ERROR if os.environ.get("RANK", "0") != "0" else level)


def show_progress() -> None:
    """From now on slow work shows a bar on a terminal, and logs a line now and then elsewhere."""
    from ddmi_diffusion.progress import Progress
    from ddmi_modalities.progress import show_progress_by

    show_progress_by(Progress)


def take_flags(argv: Sequence[str]) -> tuple[list[str], int, bool]:
    """The line without -v, -q and --debug, wherever they are; how much is to be said; whether to show tracebacks."""
    kept: list[str] = []
    verbosity, debug = 0, os.environ.get("DDMI_DEBUG", "0") not in ("", "0")
    for arg in argv:
        if arg in ("-v", "--verbose"):
            verbosity = 1
        elif arg in ("-q", "--quiet"):
            verbosity = -1
        elif arg == "--debug":
            debug = True
        else:
            kept.append(arg)
    return kept, verbosity, debug


def guarded(action: Callable[[], None], *, debug: bool) -> int:
    """Runs a command; returns its exit code.  What went wrong is one line on stderr, with `debug` after a traceback."""
    try:
        action()
        sys.stdout.flush()
    except KeyboardInterrupt:
        logger.warning("ddmi: stopped")
        return STOPPED
    except BrokenPipeError:  # whoever read what we print, such as `head`, has enough of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if debug:
            traceback.print_exc()
        return _explained(error)
    return 0


def fail(message: str, code: int = BAD_INPUT) -> int:
    """Says what went wrong in one line; returns the code."""
    logger.error("ddmi: error: %s", " ".join(message.split()))
    return code


def _explained(error: Exception) -> int:
    if _is_of_training(error, "TrainingInterrupted"):
        logger.warning("ddmi: %s", error)
        return STOPPED
    if _is_of_training(error, "CheckpointError", "NonFiniteLossError"):
        return fail(str(error))
    if isinstance(error, ValueError | ImportError) and _is_ours(error.__traceback__):
        return fail(str(error))
    if isinstance(error, OSError):
        remedy = "; free some space and run again with --resume" if error.errno == errno.ENOSPC else ""
        where = f"{error.filename}: " if error.filename else ""
        return fail(f"{where}{error.strerror or error}{remedy}")
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "allocate" in str(error)):
        return fail(f"not enough memory ({error}); ask for less at once: a smaller --resolution or batch")
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return fail(
        f"internal error: {what}; the fault is the program's: run again with --debug, and report what that shows (see "
        "CONTRIBUTING.md)",
        INTERNAL,
    )


def _is_of_training(error: Exception, *names: str) -> bool:
    """Whether it is one of these of `ddmi_diffusion`, which is not imported for it: slips should not wait for torch."""
    training = sys.modules.get("ddmi_diffusion")
    return any(isinstance(error, getattr(training, name, ())) for name in names)


def _is_ours(trace: TracebackType | None) -> bool:
    """Whether it was raised in a module of this project, or of a plug-in."""
    if trace is None:
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    package = str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
    plug_ins = {e.module.partition(".")[0] for g in ("ddmi.modalities", "ddmi.recipes") for e in entry_points(group=g)}
    return package in {"ddmi", "ddmi_fields", "ddmi_vae", "ddmi_diffusion", "ddmi_modalities", *plug_ins}
