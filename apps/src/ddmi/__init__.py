"""DDMI: domain-agnostic latent diffusion for implicit neural representations."""

from importlib.metadata import version

import lazy_loader

__version__ = version("ddmi")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
