"""The processes of one command, where `accelerate launch` started several."""

from __future__ import annotations

import gc
import os
from datetime import timedelta

import torch
import torch.distributed as dist
from accelerate import PartialState


def join_processes(device: torch.device | str) -> PartialState:
    """This process among those of its command.  To be called before "cuda" is used: each process gets a GPU for it.

    They tell each other little, and one may measure for hours while the others wait: messages go by gloo, which keeps
    no GPU busy meanwhile, and have a month's time.

    Raises ValueError for a device that does not exist.
    """
    try:
        kind = torch.device(device).type
    except RuntimeError:
        kind = "unknown"
    if kind == "unknown" or (kind == "cuda" and not torch.cuda.is_available()):
        raise ValueError(f"there is no device {str(device)!r} here; choose cpu, or cuda on a machine with a GPU")
    backend = {"backend": "gloo"} if "LOCAL_RANK" in os.environ else {}  # a process alone has none
    return PartialState(cpu=kind == "cpu", timeout=timedelta(days=30), **backend)


def leave_processes() -> None:
    """Ends the threads by which processes tell each other; without it, Python aborts now and then where it ends.

    For the end of a command: a thread that lets go of the last message's tensors needs the interpreter.
    """
    if dist.is_available() and dist.is_initialized():
        gc.collect()  # whoever holds the group keeps its threads
        dist.destroy_process_group()
