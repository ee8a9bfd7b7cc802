"""The reference implementation's YAML files: one for a stage, and, of point clouds, one that it names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

import yaml  # type: ignore[import-untyped]

from ddmi.reference.options import Domain
from ddmi_modalities.files.text import read_text

_EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")
"""Numbers to OmegaConf, which the reference implementation reads its files with, and words to YAML 1.1."""


@dataclass(frozen=True)
class Settings:
    """What a file says, section by section, in the names of the reference implementation."""

    path: Path
    """The file, for errors."""
    domain: Domain
    """`data.domain`."""
    model: Mapping[str, Any]
    """`model`, whose `params` hold `ddconfig`, `mlpconfig` and, in the second stage, `unetconfig` and `ddpmconfig`."""
    data: Mapping[str, Any]
    """`data`."""
    points: Mapping[str, Any]
    """Of occupancy and NeRF, the file `data.conv_config`."""

    def autoencoder(self) -> dict[str, Any]:
        """What the functions `image_vae`, `occupancy_vae`, `video_vae` and `nerf_vae` take."""
        params = _section(self.path, self.model, "model.params")
        chosen: dict[str, Any] = {name: _section(self.path, params, f"model.params.{name}") for name in _PARTS}
        chosen["embed_dim"] = _field(self.path, self.model, "model.embed_dim")
        if self.domain == "video":
            chosen["frames"] = _field(self.path, self.data, "data.frames")
        if self.points:
            chosen["pointnet"] = self._point_network()
        if self.domain == "nerf":
            rays = _section(self.path, _section(self.path, self.points, "conv_config: model"), "conv_config: model.TN")
            for name in ("multires", "multires_views"):
                chosen[name] = _field(self.path, rays, f"conv_config: model.TN.{name}")
        return chosen

    def _point_network(self) -> dict[str, Any]:
        model = _section(self.path, self.points, "conv_config: model")
        data = self.points.get("data") or {}
        # its defaults are those of its other file, convocc/configs/default.yaml
        return {
            "dim": data.get("dim", 3),
            "padding": data.get("padding", 0.1),
            "c_dim": _field(self.path, model, "conv_config: model.c_dim"),
            **_section(self.path, model, "conv_config: model.encoder_kwargs"),
        }

    def diffusion(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """`unetconfig` and `ddpmconfig`.  ValueError for a configuration of the first stage, and for a transformer."""
        if self.model.get("DiT"):
            raise ValueError(f"{self.path}: model.DiT asks for a transformer, which has no counterpart here")
        params = _section(self.path, self.model, "model.params")
        unet, ddpm = (_section(self.path, params, f"model.params.{name}") for name in ("unetconfig", "ddpmconfig"))
        return unet, {"domain": self.domain, **ddpm}


_PARTS = ("ddconfig", "mlpconfig")


def read_settings(path: Path) -> Settings:
    """Reads a configuration.  Raises ValueError that names the file and the missing field."""
    path = Path(path)
    content = _read(path)
    model, data = (_section(path, content, name) for name in ("model", "data"))
    domain = _field(path, data, "data.domain")
    if domain not in get_args(Domain):
        raise ValueError(f"{path}: data.domain is {domain!r}, wanted one of {', '.join(get_args(Domain))}")
    points: Mapping[str, Any] = {}
    if domain in ("occupancy", "nerf"):
        points = _read(_beside(path, str(_field(path, data, "data.conv_config"))))
        if points.get("inherit_from"):
            raise ValueError(f"{path}: its conv_config inherits from {points['inherit_from']}; copy that into it")
    return Settings(path, cast(Domain, domain), model, data, points)


def _beside(path: Path, named: str) -> Path:
    """The file that a configuration names as seen from the reference implementation's folder, or from its own."""
    for folder in path.resolve().parents:
        if (folder / named).is_file():
            return folder / named
    raise ValueError(
        f"{path}: data.conv_config names {named}, which is neither in its folder nor in one above; copy it there"
    )


class _WithoutAliases(yaml.SafeLoader):  # type: ignore[misc]
    """Plain values, each written out: a few hundred bytes of aliases can stand for more than memory holds."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.YAMLError(f"line {mark.line + 1} refers to an anchor; write its value out")
        return super().compose_node(parent, index)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = _numbers(yaml.load(read_text(path), Loader=_WithoutAliases))
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: cannot be read as YAML ({reason}); name the file of the training") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: is no configuration, which has the sections model and data; name another file")
    return content


def _numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _numbers(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_numbers(one) for one in value]
    return float(value) if isinstance(value, str) and _EXPONENT.fullmatch(value) else value


def _field(path: Path, section: Mapping[str, Any], name: str) -> Any:
    """The field of which `name` is the whole path, in the section that holds it."""
    last = re.split(r"[. ]", name)[-1]
    if section.get(last) is None:
        raise ValueError(f"{path}: {name} is missing; name the file that the checkpoint was trained with")
    return section[last]


def _section(path: Path, section: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = _field(path, section, name)
    if not isinstance(found, dict):
        raise ValueError(f"{path}: {name} is {found!r}, wanted a section with fields")
    return found
