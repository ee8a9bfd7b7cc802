"""Variants of a recipe's training beside each other, paired: equal seeds, data order, noise and numbers of steps.

    python benchmarks/screening.py openmoji --stage vae --variants adamw muon
    python benchmarks/screening.py openmoji --stage diffusion --vae runs/screening/openmoji/vae/muon/0 --variants v flow

Stage `vae` trains both stages of each variant; stage `diffusion` trains the second of each on the autoencoder of
another run.  OUT/RECIPE/STAGE/VARIANT/SEED is a usual run.  Processes may share OUT, each with variants or seeds of its
own; what was measured is not trained again.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch

from ddmi.commands.settings import named_experiment, with_setting
from ddmi.evaluation.run import evaluate_run, find_protocol
from ddmi.experiment.config import Experiment
from ddmi.pipeline import DDMI
from ddmi.training.run import start_run
from ddmi_modalities.spec import OFFLINE

Settings = tuple[str, ...]

PLAIN = ("diffusion.guide_after=none",)
V = (*PLAIN, "diffusion.noise.times=uniform", "diffusion.noise.shift=1.0", "diffusion.noise.prediction=v")
VARIANTS: dict[str, Settings] = {
    "adamw": (*PLAIN, "vae_training.optimizer=adamw", "vae_training.learning_rate=2e-3"),
    "muon": (*PLAIN, "vae_training.optimizer=muon", "vae_training.learning_rate=4e-3"),
    "v": (*V, "diffusion.sampler=ddim"),
    "v-logit-normal": (*V, "diffusion.sampler=ddim", "diffusion.noise.times=logit-normal"),
    "flow": PLAIN,
    "flow-muon": (*PLAIN, "diffusion_training.optimizer=muon"),
    "flow-guide": ("diffusion.guide_after=0.3", "diffusion.guidance_scale=2.0"),
}
"""Settings of each; the first ones differ in stage 1, the others in stage 2 only."""
FEW = {"count": 300, "pairs": 60, "ratios": (1.0,)}
"""Of each kind of signal's evaluation, as far as it has them."""


@dataclass(frozen=True)
class Screening:
    """What is trained and how it is measured."""

    recipe: str
    stage: str
    out: Path
    vae: Path | None = None
    part: float = 0.25
    more: list[str] = field(default_factory=list)

    def experiment(self, name: str, seed: int) -> Experiment:
        """A variant, of a part of the preset's steps."""
        experiment = named_experiment(self.recipe, "demo", None, None)
        for setting in (*VARIANTS[name], *self.more):
            experiment = with_setting(experiment, setting)
        stages: dict[str, Any] = {
            stage: replace(
                getattr(experiment, stage), steps=int(self.part * getattr(experiment, stage).steps), seed=seed,
                device="cpu", preview_every=0, tracker="none",
            )
            for stage in ("vae_training", "diffusion_training")
        }  # fmt: skip
        return replace(experiment, **stages)

    def measured(self, name: str, seed: int) -> dict[str, float]:
        """Trains and measures a variant, where that was not done yet."""
        directory = self.out / self.recipe / self.stage / name / str(seed)
        done, experiment = directory / "screening.json", self.experiment(name, seed)
        if done.exists():
            return dict(json.loads(done.read_text()))
        with start_run(experiment, directory, fresh=False) as run:
            if self.vae is not None:
                run.take_vae(self.vae)
                if (self.vae / "latents").exists():
                    shutil.copytree(self.vae / "latents", directory / "latents", dirs_exist_ok=True)
            start = time.monotonic()
            run.train(("diffusion",) if self.vae is not None else ("vae", "diffusion"), resume=True)
            seconds = time.monotonic() - start
        settings = find_protocol(experiment.modality, OFFLINE).settings
        known = {one.name for one in fields(settings)}
        settings = replace(settings, **{key: value for key, value in FEW.items() if key in known})
        metrics = evaluate_run(DDMI.from_pretrained(directory), directory, OFFLINE, settings, num_steps=25)
        done.write_text(json.dumps({"seconds": seconds, **metrics}, indent=2) + "\n")
        return {"seconds": seconds, **metrics}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--stage", choices=("vae", "diffusion"), default="diffusion")
    parser.add_argument("--vae", type=Path, help="a run whose autoencoder and latents stage `diffusion` takes")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=["flow"])
    parser.add_argument("--part", type=float, default=0.25, help="of the preset's steps")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--out", type=Path, default=Path("runs/screening"))
    parser.add_argument("--set", nargs="*", default=[], help="PATH=VALUE of all variants")
    options = parser.parse_args()
    if (options.stage == "diffusion") != (options.vae is not None):
        parser.error("stage diffusion takes an autoencoder by --vae, stage vae trains its own")
    torch.set_num_threads(1)
    screening = Screening(options.recipe, options.stage, options.out, options.vae, options.part, options.set)
    for seed in options.seeds:
        for name in options.variants:
            print(name, seed, json.dumps(screening.measured(name, seed)), flush=True)


if __name__ == "__main__":
    main()
