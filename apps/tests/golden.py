"""The golden tensors of the reference implementation, and how close to them is close enough."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from ddmi_modalities.geometry.cameras import OPENGL, Cameras

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

    def numbers(self, prefix: str) -> list[int]:
        """The numbers that follow `prefix` in names of tensors: 0 to k where there are in.t0 to in.tk, say."""
        found = [re.fullmatch(re.escape(prefix) + r"(\d+)", name) for name in self.tensors]
        numbers = sorted(int(match[1]) for match in found if match)
        assert numbers, f"no tensors {prefix}0, {prefix}1 and so on"
        return numbers


def read_golden(name: str) -> Golden:
    """`name`.safetensors; skips the test where the folder is absent."""
    default = Path(__file__).resolve().parents[2].parent / "shared" / "golden"
    path = Path(os.environ.get("DDMI_GOLDEN", default)) / f"{name}.safetensors"
    if not path.exists():
        pytest.skip(f"no golden tensors at {path}: set DDMI_GOLDEN to their folder to compare with the reference")
    with safe_open(path, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        return Golden(tensors, json.loads(file.metadata()["config"]))


def mesh_box(golden: Golden) -> float:
    """World coordinate at the border of the padded cube that `mesh.logits` covers."""
    return (1 + float(golden.config["pointnet"]["padding"])) / 2


def mesh_nodes(golden: Golden) -> Tensor:
    """World coordinates (x, y, z, 3) of the nodes of `mesh.logits`."""
    half = mesh_box(golden)
    lines = [torch.linspace(-half, half, count) for count in golden["mesh.logits"].shape]
    return torch.stack(torch.meshgrid(*lines, indexing="ij"), dim=-1)


def view_camera(golden: Golden) -> Cameras:
    """Of the view.  Their pixel i is at i, ours at i + 0.5: the same camera has its centre half a pixel further."""
    intrinsics, pose = golden["in.K"].double().numpy(), golden["in.pose"].double().numpy()
    focal, centre = intrinsics[[0, 1], [0, 1]], intrinsics[:2, 2] + 0.5
    return Cameras((pose @ OPENGL)[None], focal[None], centre[None], *golden["in.rays_d"].shape[:2])


def view_depths(golden: Golden) -> Tensor:
    """Depths of the samples along every ray of the view, as multiples of its direction."""
    return torch.linspace(golden.metadata["near"], golden.metadata["far"], golden.config["N_samples"])


def assert_close(ours: Tensor, theirs: Tensor, tolerance: float = FORWARD) -> None:
    """The largest difference is at most `tolerance` times the largest magnitude of `theirs`."""
    assert ours.shape == theirs.shape
    error = float((ours.detach().double() - theirs.double()).abs().max() / theirs.double().abs().max())
    print(f"{error:.1e} of the largest magnitude, {tolerance:.0e} allowed")  # pytest -rP shows it
    assert error <= tolerance, f"largest difference {error:.2e} of the largest magnitude, {tolerance:.0e} allowed"
