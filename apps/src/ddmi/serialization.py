"""Typed configurations as JSON and back, through one explicit table of node types."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any, TypeVar

from ddmi import experiment as e
from ddmi import networks as n
from ddmi.ablation.pixels import PixelVAEConfig
from ddmi.ablation.weights import WeightVAEConfig
from ddmi.reference.latent_config import RowUNetConfig
from ddmi.reference.modalities import OccupancyModality
from ddmi.reference.vae_config import ReferenceVAEConfig
from ddmi_diffusion import NoiseConfig, OptimizerConfig, TrainerConfig
from ddmi_modalities.image import ImageModality
from ddmi_modalities.image.terms import EfficientNetPerceptualConfig, LPIPSConfig, PatchAdversaryConfig
from ddmi_modalities.nerf import OpacityConfig, RadianceModality
from ddmi_modalities.shape import ShapeModality
from ddmi_modalities.text import TextTowerConfig
from ddmi_modalities.video import VideoModality
from ddmi_modalities.video.terms import ClipAdversaryConfig

NODES: dict[str, type] = {
    "experiment": e.Experiment,
    "vae": e.VAEConfig,
    "encoder/planes": n.EncoderConfig,
    "encoder/points": n.PointEncoderConfig,
    "encoder/space-time": n.SpaceTimeEncoderConfig,
    "decoder/planes": n.DecoderConfig,
    "read-out": n.ReadOutConfig,
    "read-out/radiance": n.RadianceReadOutConfig,
    "diffusion": e.DiffusionConfig,
    "denoiser/unet": n.UNetConfig,
    "denoiser/dit": n.DiTConfig,
    "text": TextTowerConfig,
    "noise": NoiseConfig,
    "trainer": TrainerConfig,
    "optimizer": OptimizerConfig,
    "adversarial": e.AdversarialConfig,
    "modality/image": ImageModality,
    "modality/shape": ShapeModality,
    "modality/video": VideoModality,
    "modality/radiance": RadianceModality,
    "opacity": OpacityConfig,
    "perceptual/efficientnet-lite0": EfficientNetPerceptualConfig,
    "perceptual/lpips": LPIPSConfig,
    "adversary/patch": PatchAdversaryConfig,
    "adversary/clip": ClipAdversaryConfig,
    "vae/weights": WeightVAEConfig,
    "vae/pixels": PixelVAEConfig,
    "vae/reference": ReferenceVAEConfig,
    "denoiser/reference-row": RowUNetConfig,
    "modality/reference-shape": OccupancyModality,
}
"""A file names a node's type by these words; nothing is ever imported by a name from a file."""

_NAMES = {node: name for name, node in NODES.items()}
T = TypeVar("T")


def to_json(value: Any) -> Any:
    """Dataclasses become objects with a 'type' from `NODES`, tuples become lists, dictionaries stay as they are."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value) if f.init}
        return {"type": _NAMES[type(value)], **fields}
    if isinstance(value, tuple | list):
        return [to_json(one) for one in value]
    if isinstance(value, dict):
        return {name: to_json(one) for name, one in value.items()}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


def from_json(data: Any, wanted: type[T], where: str = "config.json") -> T:
    """The inverse of `to_json`.  Raises ValueError that names the field."""
    return typing.cast(T, _read(data, wanted, where))


def _read(data: Any, wanted: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if origin is typing.Union or origin is types.UnionType:
        return _read_union(data, arguments, where)
    if origin is typing.Literal:
        if data not in arguments:
            raise ValueError(f"{where}: {data!r} is not one of {', '.join(map(repr, arguments))}")
        return data
    if origin is tuple:
        if not isinstance(data, list):
            raise ValueError(f"{where}: wanted a list, got {data!r}")
        kinds = [arguments[0]] * len(data) if arguments[-1] is Ellipsis else list(arguments)
        if len(kinds) != len(data):
            raise ValueError(f"{where}: wanted {len(kinds)} values, got {data!r}")
        return tuple(_read(one, kind, f"{where}[{i}]") for i, (one, kind) in enumerate(zip(data, kinds, strict=True)))
    if origin is dict:
        if not isinstance(data, dict):
            raise ValueError(f"{where}: wanted an object, got {data!r}")
        return data
    if dataclasses.is_dataclass(wanted):
        return _read_node(data, wanted, where)
    if wanted is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if isinstance(wanted, type) and issubclass(wanted, int | float | str):
        if not isinstance(data, wanted) or (isinstance(data, bool) and wanted is not bool):
            raise ValueError(f"{where}: wanted {wanted.__name__}, got {data!r}")
        return data
    return wanted(data)


def _read_union(data: Any, arguments: tuple[Any, ...], where: str) -> Any:
    if data is None and type(None) in arguments:
        return None
    choices = [a for a in arguments if a is not type(None)]
    if isinstance(data, dict):
        node: Any = NODES.get(str(data.get("type")))
        if any(_extends(node, choice) for choice in choices):
            return _read_node(data, node, where)
    errors = []
    for choice in choices:
        try:
            return _read(data, choice, where)
        except (ValueError, TypeError) as error:
            errors.append(str(error))
    raise ValueError("; or ".join(errors))


def _read_node(data: Any, wanted: Any, where: str) -> Any:
    if not isinstance(data, dict):
        raise ValueError(f"{where}: wanted an object of type {_NAMES.get(wanted, wanted.__name__)!r}, got {data!r}")
    given = data.get("type", _NAMES.get(wanted))
    named: Any = NODES.get(str(given))
    if not _extends(named, wanted):
        raise ValueError(f"{where}: type {given!r} does not belong here, wanted {_NAMES[wanted]!r}")
    hints = typing.get_type_hints(named)
    names = {f.name for f in dataclasses.fields(named) if f.init}
    unknown = sorted(set(data) - names - {"type"})
    if unknown:
        raise ValueError(f"{where}: unknown field {unknown[0]!r} of {given!r}; it has {', '.join(sorted(names))}")
    required = {
        f.name
        for f in dataclasses.fields(named)
        if f.init and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    }
    missing = sorted(required - set(data))
    if missing:
        raise ValueError(f"{where}: field {missing[0]!r} of {given!r} is missing")
    values = {name: _read(data[name], hints[name], f"{where}: {name}") for name in names & set(data)}
    try:
        return named(**values)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _extends(node: Any, wanted: Any) -> bool:
    """Whether a node may stand where `wanted` is asked for: it is that type, or a special case of it."""
    return isinstance(node, type) and isinstance(wanted, type) and issubclass(node, wanted)
