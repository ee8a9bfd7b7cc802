"""Trains and measures every variant with every seed, each in a directory of its own, and tabulates what there is."""

from __future__ import annotations

import json
import logging
import statistics
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ddmi.ablation.comparison_sheets import draw_pictures
from ddmi.ablation.table import ablation_table
from ddmi.ablation.variants import VARIANTS, decoding_parameters, make_variant
from ddmi.analysis.latent_spectra import latent_spectra
from ddmi.analysis.run import Analysis
from ddmi.evaluation.run import checkpoint_sha256, evaluate_run, read_evaluations
from ddmi.experiment.config import Experiment
from ddmi.pipeline import DDMI
from ddmi.training.run import start_run
from ddmi_diffusion import atomic_write_text
from ddmi_modalities.datasets.splits import evenly_spaced
from ddmi_modalities.files.text import read_json
from ddmi_modalities.spec import OFFLINE

logger = logging.getLogger("ddmi")

TABLE, FIGURES = "ablation.md", "ablation.json"
LATENTS = "latent_spectrum.json"


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """What is compared, and how it is measured."""

    experiment: Experiment
    """The recipe: both stages, whose settings all variants share."""
    evaluation: Any
    """The modality's own evaluation."""
    variants: tuple[str, ...] = tuple(VARIANTS)
    """By name, see `VARIANTS`."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of weights, data order and noise, in both stages; seeds differ only in these."""

    def __post_init__(self) -> None:
        for name, given in (("variants", self.variants), ("seeds", self.seeds)):
            if not given or len(set(given)) != len(given):
                raise ValueError(f"ablate: --{name} needs at least one, each once, got {given}")

    def planned(self, name: str, seed: int) -> Experiment:
        """The experiment of one run.  ValueError for a variant that does not exist, or not for this recipe."""
        variant = make_variant(name, self.experiment)
        return replace(
            variant,
            vae_training=replace(variant.vae_training, seed=seed),
            diffusion_training=replace(variant.diffusion_training, seed=seed),
        )


def ablate(ablation: Ablation, out: Path, device: torch.device | str = "cpu") -> list[Path]:
    """Trains what is not trained yet, measures what is not measured yet, and writes table, figures and pictures.

    OUT/VARIANT/SEED is a usual run.  Processes may share OUT as long as each has seeds, or variants, of its own.
    Stopped, it goes on where it was.  `device` is that of measuring.
    """
    planned = {
        (name, seed): ablation.planned(name, seed) for seed in ablation.seeds for name in ablation.variants
    }  # everything is made, and so checked, before anything is trained
    for (name, seed), experiment in planned.items():
        directory = out / name / str(seed)
        logger.info("%s, seed %d: %s", name, seed, VARIANTS[name].summary)
        with start_run(experiment, directory, fresh=False) as run:
            run.train(("vae", "diffusion"), resume=True)
        if not _measured(directory, ablation.evaluation):
            # seeds of samples are alike, so that runs differ by their training only
            evaluate_run(DDMI.from_pretrained(directory, device=device), directory, OFFLINE, ablation.evaluation)
            (directory / LATENTS).unlink(missing_ok=True)  # of other weights
        if _latents_of(directory) is None:
            _measure_latents(directory, device)
    figures = {
        name: {
            "summary": VARIANTS[name].summary,
            "parameters": decoding_parameters(experiment.vae, experiment.modality.layout),
            "metrics": {str(seed): _metrics(out / name / str(seed)) for seed in ablation.seeds},
        }
        for (name, _), experiment in planned.items()
    }
    atomic_write_text(out / FIGURES, json.dumps(figures, indent=2, sort_keys=True) + "\n")
    atomic_write_text(out / TABLE, ablation_table(figures))
    first = {name: out / name / str(ablation.seeds[0]) for name in ablation.variants}
    return [out / TABLE, out / FIGURES, *draw_pictures(first, out)]


def _measure_latents(directory: Path, device: torch.device | str) -> None:
    """How far the latents' spectra are from the data's, on average over the planes."""
    model = DDMI.from_pretrained(directory, device=device)
    modality = model.experiment.modality
    held_out = modality.dataset("test")
    items = [held_out[i] for i in evenly_spaced(len(held_out), Analysis.items)]
    divergences = [one.divergence for one in latent_spectra(model.vae, modality, items)]
    mean = {"kl/latent_spectrum": statistics.fmean(divergences)} if divergences else {}
    atomic_write_text(directory / LATENTS, json.dumps(mean) + "\n")


def _measured(directory: Path, settings: Any) -> bool:
    """Whether the weights that the run holds were evaluated with these settings."""
    wanted = OFFLINE, json.loads(json.dumps(asdict(settings), default=str)), checkpoint_sha256(directory)
    keys = "protocol", "settings", "sha256_checkpoint"
    return any(tuple(record[key] for key in keys) == wanted for record in read_evaluations(directory))


def _latents_of(directory: Path) -> dict[str, float] | None:
    """What `_measure_latents` wrote; None where there is nothing that can be read."""
    try:
        found = read_json(directory / LATENTS)
    except ValueError:
        return None
    numbers = isinstance(found, dict) and all(isinstance(one, int | float) for one in found.values())
    return found if numbers else None


def _metrics(directory: Path) -> dict[str, float]:
    (record,) = (one for one in read_evaluations(directory) if one["protocol"] == OFFLINE)
    metrics: dict[str, float] = record["metrics"]
    return metrics | (_latents_of(directory) or {})
