"""What a computation would ask of a GPU, counted without one: under fake tensors, operations and waits."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode


class DeviceWork(TorchDispatchMode):
    """Operations that compute (no views), transfers between the host and a device, and those that are waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: Counter[str] = Counter()
        self.transfers: Counter[str] = Counter()
        self.waits: Counter[str] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        name = str(function).removeprefix("aten.")
        result = function(*arguments, **(options or {}))
        if not function.is_view and not name.startswith(("prim.", "promote_types", "_unsafe_view", "detach")):
            self.operations[name] += 1
        given = {one.device.type for one in arguments if isinstance(one, torch.Tensor) and one.ndim}
        made = {result.device.type} if isinstance(result, torch.Tensor) else set()
        read = name.startswith(("_local_scalar_dense", "nonzero", "item"))
        if len(given | made) > 1 or read:
            self.transfers[name] += 1
            if read or "cpu" in made or not (options or {}).get("non_blocking"):
                self.waits[name] += 1
        return result


def put_on_a_gpu(module: nn.Module) -> None:
    """Replaces its tensors by ones of a GPU, under fake tensors."""
    for one in module.modules():
        for name, parameter in one._parameters.items():
            if parameter is not None:
                like = torch.empty(parameter.shape, dtype=parameter.dtype, device="cuda")
                one._parameters[name] = nn.Parameter(like, requires_grad=parameter.requires_grad)
        for name, buffer in one._buffers.items():
            if buffer is not None:
                one._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype, device="cuda")
