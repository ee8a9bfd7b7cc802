"""What is compared: the method with one part taken away, and two alternatives to it, each as large as the method."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import torch

from ddmi.ablation.pixels import PixelVAEConfig
from ddmi.ablation.weights import WeightVAEConfig
from ddmi.experiment import Experiment, VAEConfig
from ddmi.networks import ReadOutConfig
from ddmi_fields import PlaneLayout
from ddmi_modalities.image import ImageModality


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One row of the comparison."""

    summary: str
    make: Callable[[Experiment, int], Experiment]
    """From the recipe's experiment and a width that is free, to the variant."""
    step: int | None = 8
    """The free width is a multiple of this; None: nothing is free."""


def _shared(experiment: Experiment) -> dict[str, Any]:
    """What any autoencoder takes over from the recipe's: encoder, latent and the weights of its objective."""
    own = ("decoder", "read_out")
    return {f.name: getattr(experiment.vae, f.name) for f in dataclasses.fields(VAEConfig) if f.name not in own}


def _read_out(experiment: Experiment) -> ReadOutConfig:
    vae = experiment.vae
    if type(vae) is not VAEConfig or not isinstance(vae.read_out, ReadOutConfig):
        raise ValueError(f"ablate: recipe {experiment.recipe!r} has a read-out of its own; choose one of images")
    return vae.read_out


def _one_scale(experiment: Experiment, width: int) -> Experiment:
    decoder, read_out = replace(experiment.vae.decoder, scales=1), replace(_read_out(experiment), width=width)
    return replace(experiment, vae=replace(experiment.vae, decoder=decoder, read_out=read_out))


def _all_at_the_input(experiment: Experiment, width: int) -> Experiment:
    read_out = replace(_read_out(experiment), kind="concat", width=width)
    return replace(experiment, vae=replace(experiment.vae, read_out=read_out))


def _weights(experiment: Experiment, width: int) -> Experiment:
    read_out = _read_out(experiment)
    vae = WeightVAEConfig(
        **_shared(experiment), decoder_width=width, out_channels=read_out.out_channels, native=read_out.native
    )
    return replace(experiment, vae=vae)


def _pixels(experiment: Experiment, width: int) -> Experiment:
    modality = experiment.modality
    if not isinstance(modality, ImageModality):
        raise ValueError(f"ablate: pixels are of images, recipe {experiment.recipe!r} is none")
    decoder = replace(experiment.vae.decoder, width=width)
    return replace(
        experiment,
        vae=PixelVAEConfig(
            **_shared(experiment), decoder=decoder, out_channels=_read_out(experiment).out_channels
        ),
        modality=replace(
            modality, target_sizes=(modality.size,), target_weights=(1.0,), points=0, crop=modality.size
        ),
    )  # fmt: skip


VARIANTS: Mapping[str, Variant] = MappingProxyType(
    {
        "pe": Variant(summary="one basis field (PE)", make=_one_scale),
        "pe-hdbf": Variant(summary="three scales, all at the input (PE+HDBF)", make=_all_at_the_input),
        "pe-hdbf-cfc": Variant(
            summary="three scales, coarse to fine (PE+HDBF+CFC): the recipe", make=lambda whole, _: whole, step=None
        ),
        "weights": Variant(summary="fixed encoding, the decoder emits weights", make=_weights),
        "pixels": Variant(summary="the decoder emits pixels, enlarged bicubically", make=_pixels, step=4),
    }
)


def decoding_parameters(vae: VAEConfig, layout: PlaneLayout) -> int:
    """Numbers that an autoencoder learns, without its encoder's."""
    with torch.device("meta"):
        model = vae.build(layout)
    return sum(p.numel() for part in (model.decoder, model.read_out) for p in part.parameters())


def make_variant(name: str, experiment: Experiment) -> Experiment:
    """The recipe's experiment as this variant, with as nearly as many parameters after the latent as a width allows.

    ValueError for an unknown name, or one that does not fit the recipe.
    """
    if name not in VARIANTS:
        raise ValueError(f"there is no variant {name!r}; choose among {', '.join(VARIANTS)}")
    variant, layout = VARIANTS[name], experiment.modality.layout
    _read_out(experiment)
    if variant.step is None:
        return variant.make(experiment, 0)
    target = decoding_parameters(experiment.vae, layout)

    def count(steps: int) -> int:
        return decoding_parameters(variant.make(experiment, steps * variant.step).vae, layout)  # type: ignore[operator]

    low, high = 1, 2
    while count(high) < target:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) < target else (low, middle)
    nearest = min((low, high), key=lambda steps: abs(count(steps) - target))
    return variant.make(experiment, nearest * variant.step)
