"""What is compared: the method with one part taken away, and two alternatives to it, each as large as the method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import torch

from ddmi.experiment.alternatives.generated_weights import WeightVAEConfig
from ddmi.experiment.alternatives.pixels import PixelVAEConfig
from ddmi.experiment.config import Experiment
from ddmi_fields import CoarseToFineReadOutConfig, ConcatReadOutConfig, PlaneLayout
from ddmi_modalities.image import ImageModality
from ddmi_vae import AutoencoderConfig, VAEConfig


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One row of the comparison."""

    summary: str
    make: Callable[[Experiment, int], Experiment]
    """From the recipe's experiment and a width that is free, to the variant."""
    step: int | None = 8
    """The free width is a multiple of this; None: nothing is free."""


def _vae(experiment: Experiment) -> tuple[VAEConfig, CoarseToFineReadOutConfig]:
    """The recipe's autoencoder and its read-out.  ValueError where these are not the method's."""
    vae = experiment.vae
    if not isinstance(vae, VAEConfig) or not isinstance(vae.read_out, CoarseToFineReadOutConfig):
        raise ValueError(f"ablate: recipe {experiment.recipe!r} has a read-out of its own; choose one of images")
    return vae, vae.read_out


def _one_scale(experiment: Experiment, width: int) -> Experiment:
    vae, read_out = _vae(experiment)
    return replace(
        experiment,
        vae=replace(vae, decoder=replace(vae.decoder, scales=1), read_out=replace(read_out, width=width)),
    )


def _all_at_the_input(experiment: Experiment, width: int) -> Experiment:
    vae, it = _vae(experiment)
    read_out = ConcatReadOutConfig(
        out_channels=it.out_channels, width=width, coordinates=it.coordinates, native=it.native, layers=it.layers
    )
    return replace(experiment, vae=replace(vae, read_out=read_out))


def _weights(experiment: Experiment, width: int) -> Experiment:
    vae, read_out = _vae(experiment)
    weights = WeightVAEConfig(
        encoder=vae.encoder, latent_channels=vae.latent_channels, decoder_width=width,
        out_channels=read_out.out_channels, native=read_out.native,
    )  # fmt: skip
    return replace(experiment, vae=weights)


def _pixels(experiment: Experiment, width: int) -> Experiment:
    modality, (vae, read_out) = experiment.modality, _vae(experiment)
    if not isinstance(modality, ImageModality):
        raise ValueError(f"ablate: pixels are of images, recipe {experiment.recipe!r} is none")
    pixels = PixelVAEConfig(
        encoder=vae.encoder, latent_channels=vae.latent_channels, decoder=replace(vae.decoder, width=width),
        out_channels=read_out.out_channels,
    )  # fmt: skip
    whole = replace(modality, target_sizes=(modality.size,), target_weights=(1.0,), num_queries=0, crop=modality.size)
    return replace(experiment, vae=pixels, modality=whole)


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


def decoding_parameters(vae: AutoencoderConfig, layout: PlaneLayout) -> int:
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
    _vae(experiment)
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
