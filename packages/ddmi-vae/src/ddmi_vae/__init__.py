"""Discrete-to-continuous VAE: planes in, continuous functions out."""

from ddmi_vae.likelihood import bernoulli_nll, gaussian_nll, laplace_nll
from ddmi_vae.model import D2CVAE
from ddmi_vae.objective import Ramp, Term, VAEBatch, VAEObjective, reconstruct
from ddmi_vae.planes import PlaneDecoder, PlaneEncoder
from ddmi_vae.posterior import Planes, Posterior, Randomness
from ddmi_vae.regularisation import SpectralRegulariser, convolution_matrices

__all__ = [
    "D2CVAE",
    "PlaneDecoder",
    "PlaneEncoder",
    "Planes",
    "Posterior",
    "Ramp",
    "Randomness",
    "SpectralRegulariser",
    "Term",
    "VAEBatch",
    "VAEObjective",
    "bernoulli_nll",
    "convolution_matrices",
    "gaussian_nll",
    "laplace_nll",
    "reconstruct",
]
