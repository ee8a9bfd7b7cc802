"""The processes of one command, where `accelerate launch` started several."""

from __future__ import annotations

import gc
import os
from datetime import timedelta

import torch
import torch.distributed as dist
from accelerate import PartialState


def find_device(name: torch.device | str) -> torch.device:
    """The device of this name; "auto" is cuda, mps or cpu, the first that is there.

    Raises ValueError for one that does not exist.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, available in there.items() if available))
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or not there.get(device.type, False):
        known = ", ".join(kind for kind, available in there.items() if available)
        raise ValueError(f"there is no device {str(name)!r} here; choose auto, or one of {known}")
    return device


def join_processes(device: torch.device) -> PartialState:
    """This process among those of its command.  To be called before "cuda" is used: each process gets a GPU for it.

    They tell each other little, and one may measure for hours while the others wait: messages go by gloo, which keeps
    no GPU busy meanwhile, and have a month's time.
    """
    backend = {"backend": "gloo"} if "LOCAL_RANK" in os.environ else {}  # a process alone has none
    return PartialState(cpu=device.type == "cpu", timeout=timedelta(days=30), **backend)


def leave_processes() -> None:
    """Ends the threads by which processes tell each other; without it, Python aborts now and then where it ends.

    For the end of a command: a thread that lets go of the last message's tensors needs the interpreter.
    """
    if dist.is_available() and dist.is_initialized():
        gc.collect()  # whoever holds the group keeps its threads
        dist.destroy_process_group()
