"""Hashes that tell whether weights and settings are those of before."""

from __future__ import annotations

import hashlib
import json

import torch
from torch import nn


def weights_sha256(module: nn.Module) -> str:
    """Of all parameters and buffers with their names, wherever they came from."""
    key = hashlib.sha256()
    for name, value in module.state_dict().items():
        key.update(f"{name} {value.dtype} {tuple(value.shape)} ".encode())
        key.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return key.hexdigest()


def fingerprint(*content: object) -> str:
    """16 digits that are others as soon as anything in the content is.  What is not JSON counts as its text."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]
