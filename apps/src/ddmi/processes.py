"""The processes of one command, where `accelerate launch` started several."""

from __future__ import annotations

import os
from datetime import timedelta

import torch
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
