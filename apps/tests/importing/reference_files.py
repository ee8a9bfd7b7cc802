"""Checkpoints and configurations as the reference implementation writes them, made from tensors under its names."""

from __future__ import annotations

import argparse
import sys
import types
from collections import OrderedDict, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

State = Mapping[str, Tensor]


def part(state: State, name: str) -> OrderedDict[str, Tensor]:
    """The tensors of one of its modules, under the names that the module itself gives them."""
    prefix = f"{name}."
    return OrderedDict((key.removeprefix(prefix), one) for key, one in state.items() if key.startswith(prefix))


def stage_one(state: State, domain: str) -> dict[str, Any]:
    """What its `model-last.pt` holds."""
    points = {"pointnet": part(state, "pointnet")} if domain in ("occupancy", "nerf") else {}
    return {
        "step": 7,
        "current_iters": 70,
        **points,
        ("model" if domain == "image" else "vaemodel"): part(state, "vaemodel"),
        "mlp": part(state, "mlp"),
        "opt": {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 1e-4, "betas": (0.9, 0.99)}]},
        "scaler": None,
        "opt_sched": {"T_max": 194, "base_lrs": [1e-4]},
        "sn": None,
    }


def stage_two(state: State, domain: str, average: State, last: State) -> dict[str, Any]:
    """What its `ldm-last.pt` holds, but for its arguments: see `arguments`."""
    points = {"pointnet": part(state, "pointnet")} if domain in ("occupancy", "nerf") else {}
    average, last = part(average, "diffusion"), part(last, "diffusion")
    ema: dict[str, Tensor] = {"initted": torch.tensor(True), "step": torch.tensor([70])}
    ema |= {f"online_model.{name}": one for name, one in last.items()}
    ema |= {f"ema_model.{name}": one for name, one in average.items()}
    first = {"vaemodel": part(state, "vaemodel"), "mlp": part(state, "mlp")} if state else {}
    return {"step": 7, "current_iters": 70, **points, **first, "diffusion": last, "ema": OrderedDict(ema)}


def arguments(monkeypatch: pytest.MonkeyPatch) -> argparse.Namespace:
    """Its command line, with configurations in classes of a package that is not installed, as OmegaConf nests them."""
    module = types.ModuleType("omegaconf.dictconfig")
    for name in ("DictConfig", "AnyNode", "ContainerMetadata"):
        setattr(module, name, type(name, (), {"__module__": module.__name__}))
    monkeypatch.setitem(sys.modules, "omegaconf", types.ModuleType("omegaconf"))
    monkeypatch.setitem(sys.modules, module.__name__, module)

    def node(kind: str, **state: Any) -> Any:
        made = getattr(module, kind)()
        made.__dict__.update(state)
        return made

    metadata = node("ContainerMetadata", ref_type=Any, object_type=dict, resolver_cache=defaultdict(dict))
    config = node("DictConfig", _metadata=metadata, _content={})
    config._content["ch"] = node("AnyNode", _parent=config, _val=32)
    return argparse.Namespace(exp="ldm", seed=777, ddconfig=config)


def write_config(
    folder: Path, config: Mapping[str, Any], domain: str, *, threshold: float = 0.2, **second: Mapping[str, Any]
) -> Path:
    """Its YAML file, and that of the point clouds, in the folders in which they are there.

    Args:
        folder: to write to.
        config: `ddconfig`, `mlpconfig`, `embed_dim` and what belongs elsewhere in its files, as golden files list them.
        domain: image, occupancy, video or nerf.
        threshold: probability of occupancy at the surface of a shape.
        second: `unetconfig` and `ddpmconfig` of a second stage.
    """
    data: dict[str, Any] = {"domain": domain, "mode": "train", "batch_size": 4, "save_pth": "./results"}
    if domain == "video":
        data["frames"] = config["frames"]
    if "pointnet" in config:
        data["conv_config"] = "convocc/configs/points.yaml"
        point = dict(config["pointnet"])
        points = {
            "data": {"dim": point.pop("dim"), "path": "/data/shapes", "pointcloud_n": 300},
            "model": {
                "c_dim": point.pop("c_dim"),
                "encoder_kwargs": {k: v for k, v in point.items() if k != "padding"},
            },
            "test": {"threshold": threshold},
        }
        if domain == "nerf":
            points["model"]["TN"] = {"multires": config["multires"], "multires_views": config["multires_views"]}
        path = folder / "convocc" / "configs" / "points.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(yaml.safe_dump(points))
    params = {"lossconfig": {"epochs": 200}, "ddconfig": config["ddconfig"], "mlpconfig": config["mlpconfig"], **second}
    model = {"resume": False, "lr": 1e-4, "DiT": False, "embed_dim": config["embed_dim"], "params": params}
    path = folder / "configs" / "ldm" / "model.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(yaml.safe_dump({"model": model, "data": data}))
    return path
