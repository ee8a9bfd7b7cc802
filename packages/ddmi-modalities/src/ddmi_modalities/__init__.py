"""What DDMI knows of each kind of signal: data, queries, likelihoods, pictures, metrics.

Importing this package is light: names are imported when they are first used, and a modality's own libraries come with
its sub-package (`ddmi_modalities.image`).
"""

from importlib.metadata import version

import lazy_loader

__version__ = version("ddmi-modalities")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
