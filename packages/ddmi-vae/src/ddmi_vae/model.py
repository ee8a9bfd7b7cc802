"""D2C-VAE: discrete data in, continuous functions out."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ddmi_fields import BasisField, ImplicitFunction, ReadOut
from ddmi_vae.posterior import Planes, Posterior


class D2CVAE(nn.Module):
    """Discrete-to-continuous VAE (DDMI section 3.1): `z ~ q(z | x)`, `Xi = D(z)`, `w(c) = read_out(phi(c; Xi))`.

    Args:
        encoder: `encoder(inputs) -> Planes` of 2C-channel moments; what `inputs` are is the encoder's affair.
        decoder: `decoder(Planes) -> BasisField`.
        read_out: values from embeddings.
    """

    is_chain = True
    """To an optimiser that treats the ends of a network otherwise: encoder and decoder meet at features."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, read_out: ReadOut) -> None:
        super().__init__()
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
