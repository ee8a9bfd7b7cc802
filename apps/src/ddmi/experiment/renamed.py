"""What settings were called before: for saved configurations, and for one minor version on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

VERSION = 3
"""Of saved configurations.  Those without a version are of version 1."""

TYPES: Mapping[str, str] = MappingProxyType(
    {
        "vae": "vae/d2c",
        "read-out/radiance": "read-out/nerf",
        "modality/radiance": "modality/nerf",
        "adversarial": "gan",
        "adversary/patch": "discriminator/patch",
        "adversary/clip": "discriminator/clip",
        "opacity": "opacity/mask",
        "text": "text/open-clip",
    }
)
"""Words of types."""

FIELDS: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        ("trainer", "sheet_every"): "preview_every",
        ("diffusion", "guidance"): "guidance_scale",
        ("diffusion", "sampling_steps"): "num_steps",
        ("diffusion", "min_snr"): "min_snr_gamma",
        ("modality/image", "points"): "num_queries",
        ("modality/video", "points"): "num_queries",
        ("modality/shape", "queries"): "num_queries",
        ("modality/reference-shape", "queries"): "num_queries",
        ("modality/nerf", "rays"): "num_queries",
    }
)
"""(type, field) to field."""

VALUES: Mapping[tuple[str, str], tuple[str, Mapping[Any, Any]]] = MappingProxyType(
    {("trainer", "tensorboard"): ("tracker", MappingProxyType({True: "auto", False: "none"}))}
)
"""(type, field) to field, and to what its values are called there."""

MOVED: Mapping[str, str] = MappingProxyType(
    {
        **{f"vae.{name}": f"losses.{name}" for name in ("kl_weight", "kl_start", "kl_ramp")},
        **{f"vae.{name}": f"losses.{name}" for name in ("spectral_weight", "spectral_start", "perceptual", "opacity")},
        "gan.adversary": "losses.discriminator",
    }
)
"""Paths in an experiment, to where what they name is now."""

PRESETS: Mapping[str, str] = MappingProxyType({"ours": "recommended"})
"""Presets of recipes."""

_LOSSES = {"modality/image": "losses/pictures", "modality/video": "losses/pictures", "modality/nerf": "losses/nerf"}


def upgraded(data: Mapping[str, Any], version: int) -> dict[str, Any]:
    """An experiment of an earlier version as this one has it."""
    new: dict[str, Any] = _restructured(data) if version == 1 else dict(data)
    return _revalued(new)


def _restructured(data: Mapping[str, Any]) -> dict[str, Any]:
    """An experiment of version 1 as version 2 has it."""
    new: dict[str, Any] = _upgraded(data)
    new["gan"] = new.get("gan") or {"type": "gan"}
    kind = new["modality"].get("type", "")
    new["losses"] = {"type": _LOSSES.get(kind, "losses/plain"), "discriminator": None}
    for old, path in MOVED.items():
        part, name = old.split(".")
        if name in new[part]:
            new["losses"][path.removeprefix("losses.")] = new[part].pop(name)
    for name, of in (("perceptual", "losses/pictures"), ("opacity", "losses/nerf")):
        if new["losses"].get(name) is None and new["losses"]["type"] != of:
            new["losses"].pop(name, None)
    if new.get("preset") in PRESETS:
        new["preset"] = PRESETS[new["preset"]]
    return new


def _revalued(value: Any) -> Any:
    """With new words for the values of fields, throughout."""
    if isinstance(value, list):
        return [_revalued(one) for one in value]
    if not isinstance(value, Mapping):
        return value
    new = {}
    for name, one in value.items():
        field, words = VALUES.get((value.get("type", ""), name), (name, None))
        new[field] = _revalued(one) if words is None else words[one]
    return new


def _upgraded(value: Any) -> Any:
    """With new words for types and fields, throughout."""
    if isinstance(value, list):
        return [_upgraded(one) for one in value]
    if not isinstance(value, Mapping):
        return value
    if "type" not in value:
        return {name: _upgraded(one) for name, one in value.items()}
    kind = TYPES.get(value["type"], value["type"])
    new = {FIELDS.get((kind, name), name): _upgraded(one) for name, one in value.items()} | {"type": kind}
    if kind == "read-out":
        new["type"] = f"read-out/{new.pop('kind', 'coarse-to-fine')}"
        if new["type"] == "read-out/concat":
            new.pop("fusion", None)
    if kind == "denoiser/dit" and "heads" in new:
        new["head_channels"] = new["width"] // new.pop("heads")
    return new
