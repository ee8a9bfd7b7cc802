"""The golden tensors of the reference implementation, and how close to them is close enough."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open
from torch import Tensor

FORWARD, GRADIENT, POWER_ITERATION = 1e-4, 1e-3, 1e-2
"""Tolerances, relative to the largest magnitude of a tensor; the end of the DDIM chain is like a gradient."""


@dataclass(frozen=True)
class Golden:
    """One file: `golden["out.net0"]`, its configuration, and the weights of some of its parts."""

    tensors: dict[str, Tensor]
    metadata: dict[str, Any]

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    @property
    def config(self) -> dict[str, Any]:
        return self.metadata["config"]

    def weights(self, *parts: str) -> dict[str, Tensor]:
        prefixes = tuple(f"{part}." for part in parts)
        return {name: tensor for name, tensor in self.tensors.items() if name.startswith(prefixes)}


def read_golden(name: str) -> Golden:
    """`name`.safetensors; skips the test where the folder is absent."""
    default = Path(__file__).resolve().parents[2].parent / "shared" / "golden"
    path = Path(os.environ.get("DDMI_GOLDEN", default)) / f"{name}.safetensors"
    if not path.exists():
        pytest.skip(f"no golden tensors at {path}: set DDMI_GOLDEN to their folder to compare with the reference")
    with safe_open(path, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        return Golden(tensors, json.loads(file.metadata()["config"]))


def assert_close(ours: Tensor, theirs: Tensor, tolerance: float = FORWARD) -> None:
    """The largest difference is at most `tolerance` times the largest magnitude of `theirs`."""
    assert ours.shape == theirs.shape
    error = float((ours.detach().double() - theirs.double()).abs().max() / theirs.double().abs().max())
    print(f"{error:.1e} of the largest magnitude, {tolerance:.0e} allowed")  # pytest -rP shows it
    assert error <= tolerance, f"largest difference {error:.2e} of the largest magnitude, {tolerance:.0e} allowed"
