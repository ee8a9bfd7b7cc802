"""Discrete-to-continuous VAE: planes in, continuous functions out."""

from importlib.metadata import version

from ddmi_vae.likelihood import LIKELIHOODS, Distance, bernoulli_nll, gaussian_nll, laplace_nll
from ddmi_vae.losses import DiscriminatorConfig, Losses, TermConfig
from ddmi_vae.model import D2CVAE, AutoencoderConfig, VAEConfig
from ddmi_vae.objective import AdversarialTerm, Ramp, Term, VAEBatch, VAEObjective, reconstruct
from ddmi_vae.planes import EncoderConfig, PlaneDecoder, PlaneDecoderConfig, PlaneEncoder, PlaneEncoderConfig
from ddmi_vae.posterior import Planes, Posterior, Randomness
from ddmi_vae.regularisation import SpectralRegulariser, convolution_matrices

__version__ = version("ddmi-vae")

__all__ = [
    "D2CVAE",
    "LIKELIHOODS",
    "AdversarialTerm",
    "AutoencoderConfig",
    "DiscriminatorConfig",
    "Distance",
    "EncoderConfig",
    "Losses",
    "PlaneDecoder",
    "PlaneDecoderConfig",
    "PlaneEncoder",
    "PlaneEncoderConfig",
    "Planes",
    "Posterior",
    "Ramp",
    "Randomness",
    "SpectralRegulariser",
    "Term",
    "TermConfig",
    "VAEBatch",
    "VAEConfig",
    "VAEObjective",
    "bernoulli_nll",
    "convolution_matrices",
    "gaussian_nll",
    "laplace_nll",
    "reconstruct",
]
