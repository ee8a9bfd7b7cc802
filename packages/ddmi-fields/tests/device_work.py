"""What a computation would ask of a GPU, counted without one: under fake tensors, operations and transfers."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class DeviceWork(TorchDispatchMode):
    """Operations that compute (no views), and tensors that go between the host and a device or are waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: Counter[str] = Counter()
        self.transfers: Counter[str] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        name = str(function).removeprefix("aten.")
        result = function(*arguments, **(options or {}))
        if not function.is_view and not name.startswith(("prim.", "promote_types", "_unsafe_view", "detach")):
            self.operations[name] += 1
        given = {one.device.type for one in arguments if isinstance(one, torch.Tensor) and one.ndim}
        made = {result.device.type} if isinstance(result, torch.Tensor) else set()
        if len(given | made) > 1 or name.startswith(("_local_scalar_dense", "nonzero", "item")):
            self.transfers[name] += 1
        return result
