"""The weights in a checkpoint of the reference implementation: which stages it holds, and under which names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ddmi.importing.unpickling import read_checkpoint

_WRAPPERS = ("module.", "_orig_mod.")
"""What distributed training and compiling put before the name of every tensor."""


@dataclass(frozen=True)
class Checkpoint:
    """The content of `model-*.pt` (stage 1) or `ldm-*.pt` (stage 2, which may hold both)."""

    path: Path
    content: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> Checkpoint:
        """Raises ValueError that names the file: it cannot be read, asks to run code, or holds neither stage."""
        checkpoint = cls(Path(path), read_checkpoint(path))
        if not checkpoint.has_vae and not checkpoint.has_diffusion:
            raise ValueError(
                f"{path}: holds {', '.join(map(str, checkpoint.content)) or 'nothing'}, wanted the weights of an "
                "autoencoder (vaemodel or model, and mlp) or of a diffusion model (diffusion, ema)"
            )
        return checkpoint

    @property
    def has_vae(self) -> bool:
        return "mlp" in self.content and self._vae_name in self.content

    @property
    def has_diffusion(self) -> bool:
        return "diffusion" in self.content or "ema" in self.content

    @property
    def _vae_name(self) -> str:
        """Its first stage of images calls the autoencoder 'model', all others 'vaemodel'."""
        return "vaemodel" if "vaemodel" in self.content else "model"

    def vae(self) -> dict[str, Tensor]:
        """The autoencoder's tensors, with the prefixes 'pointnet.', 'vaemodel.' and 'mlp.'."""
        parts = {"vaemodel": self._vae_name, "mlp": "mlp"} | ({"pointnet": "pointnet"} if self._has("pointnet") else {})
        return {f"{part}.{key}": tensor for part, name in parts.items() for key, tensor in self._tensors(name).items()}

    def diffusion(self, *, raw: bool = False) -> dict[str, Tensor]:
        """The diffusion model's tensors with the prefix 'diffusion.': the moving average, or the weights themselves.

        Raises ValueError where the wanted ones are not there.
        """
        name, other = ("diffusion", "leave --raw out") if raw else ("ema", "take the weights themselves with --raw")
        if not self._has(name):
            raise ValueError(f"{self.path}: has no {name!r}; {other}")
        tensors = self._tensors(name)
        if not raw:
            average = "ema_model."
            tensors = {key.removeprefix(average): one for key, one in tensors.items() if key.startswith(average)}
            if not tensors:
                raise ValueError(f"{self.path}: its 'ema' has no tensors 'ema_model.*'; {other}")
        return {f"diffusion.{key}": tensor for key, tensor in _unwrapped(tensors).items()}

    def _has(self, name: str) -> bool:
        return self.content.get(name) is not None

    def _tensors(self, name: str) -> dict[str, Tensor]:
        state = self.content[name]
        if not isinstance(state, dict):
            raise ValueError(f"{self.path}: {name!r} is a {type(state).__name__}, wanted a dictionary of tensors")
        for key, value in state.items():
            dense = isinstance(value, Tensor) and value.layout == torch.strided and not value.is_quantized
            if not isinstance(key, str) or not dense:
                raise ValueError(f"{self.path}: {key!r} of {name!r} is a {type(value).__name__}, wanted a dense tensor")
        return _unwrapped(state)


def _unwrapped(state: dict[str, Tensor]) -> dict[str, Tensor]:
    for wrapper in _WRAPPERS:
        if state and _all_start(state, wrapper):
            state = {key.removeprefix(wrapper): tensor for key, tensor in state.items()}
    return state


def _all_start(names: Iterable[str], prefix: str) -> bool:
    return all(name.startswith(prefix) for name in names)
