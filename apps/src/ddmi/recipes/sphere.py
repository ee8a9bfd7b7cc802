"""Recipes of functions on the sphere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ddmi.recipes import recipe

if TYPE_CHECKING:
    from ddmi.experiment.config import Experiment

PRESETS = ("test", "demo", "evening", "small", "recommended")


def with_channels(experiment: Experiment) -> Experiment:
    """The experiment with the variables of its data and their statistics, and networks of as many channels."""
    from dataclasses import replace

    modality: Any = experiment.modality.with_statistics()  # type: ignore[attr-defined]
    vae: Any = experiment.vae
    count = len(modality.channels)
    vae = replace(
        vae,
        encoder=replace(vae.encoder, in_channels=3 + count),
        read_out=replace(vae.read_out, out_channels=count),
    )
    return replace(experiment, modality=modality, vae=vae)


@recipe(presets=PRESETS, needs_data=True, settle=with_channels)
def sphere(preset: str) -> Experiment:
    """your functions on the sphere: variables of a NetCDF file"""
    return sphere_experiment(preset)


@recipe(presets=PRESETS, needs_data=True, settle=with_channels)
def winds(preset: str) -> Experiment:
    """monthly winds of 1982 to 1992, from a package of Debian (`ddmi prepare winds`)"""
    return sphere_experiment(preset, variables=("UWND", "VWND"))


def sphere_experiment(preset: str, **data: Any) -> Experiment:
    """Functions on the sphere of any data set, in one of `PRESETS`; `data` are settings of `SphereModality`."""
    from ddmi.experiment.config import Experiment
    from ddmi.recipes.presets import (
        READ_OUT,
        diffusion,
        guide_after,
        mean_flow_training,
        plane_diffusion,
        point_vae,
        size_of,
        training,
        two_steps,
    )
    from ddmi_fields import CoarseToFineReadOutConfig
    from ddmi_modalities.sphere import SphereModality
    from ddmi_vae import Losses

    size = size_of(preset)
    sizes: dict[str, Any] = {
        "test": dict(points=64, num_queries=32),
        "demo": dict(points=2048, num_queries=1024),
    }.get(size, {})
    channels = max(1, len(data.get("variables", ())))
    first, second = {
        "test": (two_steps(), two_steps()),
        "demo": (
            training(steps=700, batch_size=4, learning_rate=4e-3, optimizer="muon"),
            training(steps=400, batch_size=16, learning_rate=1e-3),
        ),
        "evening": (
            training(steps=5000, batch_size=4, learning_rate=4e-3, optimizer="muon"),
            training(steps=3000, batch_size=16, learning_rate=1e-3),
        ),
        "small": (
            training(steps=40_000, batch_size=16, learning_rate=1e-3, optimizer="muon"),
            training(steps=60_000, batch_size=64, learning_rate=3e-4),
        ),
        "recommended": (
            training(steps=100_000, batch_size=32, learning_rate=1e-3, optimizer="muon"),
            training(steps=200_000, batch_size=128, learning_rate=2e-4),
        ),
    }[preset]
    return Experiment(
        modality=SphereModality(**{**sizes, **data}),
        vae=point_vae(
            size,
            CoarseToFineReadOutConfig(width=READ_OUT[size], out_channels=channels, coordinates=True),
            basis={"test": 4, "demo": 16, "small": 32, "recommended": 64}[size],
            encoder=dict(in_channels=3 + channels, direct=True, offsets=True),
            decoder=dict(reduction="product"),
        ),
        losses=Losses(kl_weight=1e-6, kl_start=1e-6),
        vae_training=first,
        # few items are learnt by heart, and by a small network later
        diffusion=diffusion(width=64, multipliers=(1, 2), steps=20, guide_after=guide_after(preset))
        if size == "demo"
        else plane_diffusion(size, guide_after=guide_after(preset)),
        diffusion_training=second,
        mean_flow_training=mean_flow_training(preset),
    )
