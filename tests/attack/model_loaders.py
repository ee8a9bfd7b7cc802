"""Every reader of what runs and models are kept in, with a function that writes what is sound and one that reads it."""

from __future__ import annotations

import json
import shutil
from argparse import Namespace
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import torch

from .loader import Loader, check

# --- models ------------------------------------------------------------------------------------------------------


@cache
def tiny_model() -> Any:
    """Both stages, a guide and a mean flow, untrained."""
    import dataclasses

    from ddmi.pipeline import DDMI
    from ddmi.registry import make_experiment
    from ddmi_diffusion import LatentSpace

    torch.manual_seed(0)
    experiment = make_experiment("openmoji", "test", None)
    diffusion = dataclasses.replace(experiment.diffusion, guide_after=0.5, num_steps=2)
    experiment = dataclasses.replace(experiment, diffusion=diffusion)
    vae = experiment.vae.build(experiment.modality.layout).eval()
    item = torch.zeros(1, 3, experiment.modality.size, experiment.modality.size)
    with torch.no_grad():
        shapes = [tuple(plane.shape[1:]) for plane in vae.encode((item,)).mean]
    space = LatentSpace.identity(shapes, diffusion.packing)
    built, guide = (diffusion.build(shapes, space.shape) for _ in range(2))
    mean_flow = diffusion.of_mean_flow.build(shapes, space.shape)
    return DDMI(experiment, vae, space, built, guide=guide, mean_flow=mean_flow)


def _write_model(folder: Path) -> None:
    tiny_model().save_pretrained(folder / "model")


def _write_unlisted_model(folder: Path) -> None:
    """As of a time before manifests, so that weights are looked at."""
    _write_model(folder)
    (folder / "model" / "manifest.json").unlink()


def _read_model(folder: Path) -> object:
    from ddmi.pipeline import DDMI
    from ddmi.serialization import experiment_text

    model = DDMI.from_pretrained(folder / "model")
    json.loads(experiment_text(model.experiment))
    parts = [model.vae, model.diffusion, model.guide, model.mean_flow]
    return [weight for part in parts if part is not None for weight in part.state_dict().values()]


def _read_configuration(folder: Path) -> object:
    from ddmi.commands.settings import named_experiment
    from ddmi.serialization import experiment_text, read_experiment_file

    experiment = named_experiment("", "", None, folder / "config.json")
    text = experiment_text(experiment)
    (folder / "again.json").write_text(text)
    check(read_experiment_file(folder / "again.json") == experiment, "a configuration that is another one once saved")
    return None


def _write_networks(folder: Path) -> None:
    model = tiny_model()
    model.vae.save_pretrained(folder / "vae")
    model.diffusion.save_pretrained(folder / "diffusion")


def _read_networks(folder: Path) -> object:
    from ddmi_diffusion import LatentDiffusion
    from ddmi_vae import D2CVAE

    parts = [D2CVAE.from_pretrained(folder / "vae"), LatentDiffusion.from_pretrained(folder / "diffusion")]
    return [weight for part in parts for weight in part.state_dict().values()]


def _write_configuration(folder: Path) -> None:
    from ddmi.serialization import experiment_text

    (folder / "config.json").write_text(experiment_text(tiny_model().experiment))


# --- runs --------------------------------------------------------------------------------------------------------


def _trainer(folder: Path, steps: int, save_every: int = 1) -> Any:
    from ddmi_diffusion import Trainer, TrainerConfig

    config = TrainerConfig(
        steps=steps, batch_size=4, learning_rate=1e-2, precision="fp32", device="cpu", tracker="none",
        save_every=save_every, ema_decay=0.9, keep=2,
    )  # fmt: skip
    data = list(torch.randn(8, 4, generator=torch.Generator().manual_seed(0)))
    return Trainer(_regression(), data, lambda items, rng: {"x": torch.stack(items)}, config, folder / "run")


def _regression() -> Any:
    from ddmi_diffusion.objective import Objective

    class Regression(Objective):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.net = torch.nn.Linear(4, 4)

        def forward(self, batch: Any, *, step: int, rng: Any) -> dict[str, Any]:
            return {"loss": (self.net(batch["x"]) - 1).square().mean()}

    return Regression()


def _write_checkpoints(folder: Path) -> None:
    _trainer(folder, 2).fit()


def _write_one_checkpoint(folder: Path) -> None:
    """Of before checksums of state.json, so that what it says is looked at; there is none before it."""
    _trainer(folder, 2, save_every=0).fit()
    (state,) = folder.rglob("state.json")
    content = json.loads(state.read_bytes())
    del content["crc32"]
    state.write_text(json.dumps(content))


def _read_checkpoints(folder: Path) -> object:
    trainer = _trainer(folder, 3)
    trainer.fit(resume=True)
    return list(trainer.objective.state_dict().values())


def _write_latents(folder: Path) -> None:
    from ddmi_diffusion.latent_cache import LatentCache

    planes = torch.randn(6, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    LatentCache.build(folder / "train.npy", "key", 6, [((planes,), (planes.exp(),))])


def _read_latents(folder: Path) -> object:
    from ddmi_diffusion.latent_cache import LatentCache

    LatentCache.opened(folder / "train.npy", "key")
    cache_ = LatentCache(folder / "train.npy", "key")
    batch = cache_.batch([cache_[number] for number in range(len(cache_))])
    check(len(cache_) == 6 and batch.mean[0].shape == (6, 2, 3, 3), "a cache's shape")
    return [*batch.mean, *batch.std]


def _write_evaluations(folder: Path) -> None:
    (folder / "evaluations").mkdir()
    for name in ("offline", "fid-10k"):
        record = {
            "protocol": name, "metrics": {"fid": 3.5, "count": 10}, "sha256_checkpoint": {"vae.safetensors": "00"},
            "deviations": ["fewer samples"], "comparable_with": "a paper", "conditions": {"resolution": 64},
            "recipe": "openmoji",
        }  # fmt: skip
        (folder / "evaluations" / f"{name}.json").write_text(json.dumps(record))


def _read_evaluations(folder: Path) -> object:
    from ddmi.evaluation.table import markdown_table

    table = markdown_table([folder])
    check(all(line.isprintable() for line in table.splitlines()), "a table with control characters")
    return None


def _write_finished(folder: Path) -> None:
    from ddmi.sampling.finished_batches import FinishedBatches

    for name in ("000.png", "001.png"):
        (folder / name).write_bytes(name.encode())
    FinishedBatches(folder, "key").add(range(2), [folder / "000.png", folder / "001.png"])


def _read_finished(folder: Path) -> object:
    from ddmi.sampling.finished_batches import FinishedBatches

    batches = FinishedBatches(folder, "key")
    batches.others()
    batches.begin(resume=True)
    missing = [number for run in batches.missing(3, 2) for number in run]
    whole = all((folder / name).read_bytes() == name.encode() for name in ("000.png", "001.png"))
    check(whole or missing == [0, 1, 2], "a damaged file counts as whole")
    return None


# --- the reference implementation --------------------------------------------------------------------------------

REFERENCE: dict[str, Any] = {
    "model": {
        "embed_dim": 2,
        "params": {
            "ddconfig": {
                "double_z": True, "z_channels": 2, "resolution": 16, "in_channels": 3, "out_ch": 4, "ch": 8,
                "ch_mult": [1, 2], "num_res_blocks": 1, "attn_resolutions": [], "hdbf_resolutions": [8],
                "dropout": 0.0, "attn_type": "vanilla",
            },
            "mlpconfig": {"in_ch": 2, "out_ch": 3, "ch": 16, "latent_dim": 4},
            "unetconfig": {
                "image_size": 8, "in_channels": 2, "out_channels": 2, "model_channels": 8, "num_res_blocks": 1,
                "attention_resolutions": [2], "channel_mult": [1, 2], "num_head_channels": 4, "use_fp16": False,
            },
            "ddpmconfig": {
                "timesteps": 1000, "image_size": 8, "channels": 2, "mixed_prediction": True, "mixed_init": -6,
                "sampling_timesteps": 3, "ddim_sampling_eta": 0.0,
            },
        },
    },
    "data": {"domain": "image", "batch_size": 4, "data_dir": "/data"},
}  # fmt: skip


@cache
def _reference_weights() -> dict[str, Any]:
    from ddmi.reference import image_sources, image_vae, latent_diffusion, latent_diffusion_sources

    torch.manual_seed(0)
    params = REFERENCE["model"]["params"]
    vae = image_vae({"ddconfig": params["ddconfig"], "mlpconfig": params["mlpconfig"], "embed_dim": 2})
    ours = vae.state_dict()
    first = {source.name: torch.randn(ours[name].shape) for name, source in image_sources(vae).items()}
    model = latent_diffusion(params["unetconfig"], params["ddpmconfig"])
    ours = model.state_dict()
    second = {source.name: torch.randn(ours[name].shape) for name, source in latent_diffusion_sources(model).items()}
    second |= {"diffusion.betas": model.noise.betas.float()}

    def part(state: dict[str, Any], name: str) -> dict[str, Any]:
        return {key.removeprefix(f"{name}."): one for key, one in state.items() if key.startswith(f"{name}.")}

    last = part(second, "diffusion")
    ema = {"initted": torch.tensor(True)} | {f"ema_model.{name}": one for name, one in last.items()}
    return {
        "step": 7, "vaemodel": part(first, "vaemodel"), "mlp": part(first, "mlp"), "diffusion": last, "ema": ema,
        "opt": {"param_groups": [{"lr": 1e-4, "betas": (0.9, 0.99)}]}, "args": Namespace(exp="ldm", seed=777),
    }  # fmt: skip


def _write_reference(folder: Path) -> None:
    import yaml

    (folder / "model.yaml").write_text(yaml.safe_dump(REFERENCE))
    torch.save(_reference_weights(), folder / "ldm-last.pt")


def _read_reference(folder: Path) -> object:
    from ddmi.importing.reference import import_reference

    shutil.rmtree(folder / "imported", ignore_errors=True)
    model = import_reference(folder / "ldm-last.pt", folder / "model.yaml", folder / "imported")
    return list(model.vae.state_dict().values())


def model_loaders() -> Iterable[Loader]:
    yield Loader("model", _write_model, _read_model)
    yield Loader("model-config", _write_model, _read_model, "config.json")
    yield Loader("model-unlisted", _write_unlisted_model, _read_model, "*.safetensors")
    yield Loader("networks", _write_networks, _read_networks)
    yield Loader("network-configs", _write_networks, _read_networks, "config.json")
    yield Loader("configuration", _write_configuration, _read_configuration)
    yield Loader("checkpoints", _write_checkpoints, _read_checkpoints)
    yield Loader("checkpoint-states", _write_checkpoints, _read_checkpoints, "state.json")
    yield Loader("one-checkpoint", _write_one_checkpoint, _read_checkpoints, "state.json")
    yield Loader("latents", _write_latents, _read_latents)
    yield Loader("evaluations", _write_evaluations, _read_evaluations)
    yield Loader("finished-batches", _write_finished, _read_finished)
    yield Loader("reference-yaml", _write_reference, _read_reference, "*.yaml")
    yield Loader("reference-pt", _write_reference, _read_reference, "*.pt")
