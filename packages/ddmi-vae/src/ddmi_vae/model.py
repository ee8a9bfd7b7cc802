"""D2C-VAE: discrete data in, continuous functions out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ddmi_fields import BasisField, CoarseToFineReadOutConfig, ImplicitFunction, PlaneLayout, ReadOut, ReadOutConfig
from ddmi_vae.planes import EncoderConfig, PlaneDecoderConfig, PlaneEncoderConfig
from ddmi_vae.posterior import Planes, Posterior
from ddmi_vae.pretrained import describe_settings, described_settings, read_folder, write_folder


class D2CVAE(nn.Module):
    """Discrete-to-continuous VAE (DDMI section 3.1): `z ~ q(z | x)`, `Xi = D(z)`, `w(c) = read_out(phi(c; Xi))`.

    Args:
        encoder: `encoder(inputs) -> Planes` of 2C-channel moments; what `inputs` are is the encoder's affair.
        decoder: `decoder(Planes) -> BasisField`.
        read_out: values from embeddings.
        built_by: settings and layout of which `AutoencoderConfig.build` made it, so that folders can hold it.
    """

    is_chain = True
    """To an optimiser that treats the ends of a network otherwise: encoder and decoder meet at features."""

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        read_out: ReadOut,
        *,
        built_by: tuple[AutoencoderConfig, PlaneLayout] | None = None,
    ) -> None:
        super().__init__()
        self.built_by = built_by
        self.encoder = encoder
        self.decoder = decoder
        self.read_out = read_out

    def encode(self, inputs: Any) -> Posterior:
        return Posterior.from_moments(self.encoder(inputs))

    def decode(self, latent: Planes) -> BasisField:
        return self.decoder(latent)

    def function(self, latent: Planes) -> ImplicitFunction:
        """The batch of continuous functions that latent planes (not whitened) stand for."""
        return ImplicitFunction(self.decode(latent), self.read_out)

    @property
    def last_layer(self) -> Tensor:
        """Weight of the read-out's last layer, where adversarial and likelihood gradients are balanced."""
        return self.read_out.last_layer

    def save_pretrained(self, folder: Path | str) -> None:
        """Writes config.json and model.safetensors, each whole or not at all; other files of the folder stay.

        ValueError for an autoencoder that was put together by hand, for a folder whose config.json is of something
        else, and where it cannot be written.
        """
        if self.built_by is None:
            raise ValueError(
                "D2CVAE: put together by hand, it cannot be built again from a folder; make it by VAEConfig(...)"
                ".build(layout), or save its state_dict"
            )
        config, layout = self.built_by
        description = {"layout": describe_settings(layout), "config": describe_settings(config)}
        write_folder(Path(folder), D2CVAE.__name__, description, self)

    @staticmethod
    def from_pretrained(folder: Path | str) -> D2CVAE:
        """The autoencoder that `save_pretrained` wrote, on the CPU and in evaluation mode.

        ValueError that names the file and the remedy: not there, damaged, of another network, or of settings whose
        module has not been imported.
        """

        def build(description: dict[str, Any]) -> D2CVAE:
            config = described_settings(description["config"], AutoencoderConfig)  # type: ignore[type-abstract]
            return config.build(described_settings(description["layout"], PlaneLayout))

        return read_folder(Path(folder), D2CVAE.__name__, build)


@dataclass(frozen=True, kw_only=True)
class AutoencoderConfig(ABC):
    """The architecture of stage 1."""

    @abstractmethod
    def build(self, layout: PlaneLayout) -> D2CVAE:
        """Randomly initialised."""


@dataclass(frozen=True, kw_only=True)
class VAEConfig(AutoencoderConfig):
    """The D2C-VAE."""

    encoder: EncoderConfig = field(default_factory=PlaneEncoderConfig)
    """Data to moments."""
    decoder: PlaneDecoderConfig = field(default_factory=PlaneDecoderConfig)
    """Latent planes to basis fields."""
    read_out: ReadOutConfig = field(default_factory=CoarseToFineReadOutConfig)
    """Embeddings to values."""
    latent_channels: int = 64
    """C of a latent plane."""

    def build(self, layout: PlaneLayout) -> D2CVAE:
        decoder = self.decoder.build(layout, self.latent_channels)
        read_out = self.read_out.build(layout, self.decoder.embedding_channels(layout))
        encoder = self.encoder.build(layout, self.latent_channels)
        return D2CVAE(encoder, decoder, read_out, built_by=(self, layout))
