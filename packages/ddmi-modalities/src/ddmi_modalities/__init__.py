"""What DDMI knows of each kind of signal: data, queries, likelihoods, pictures, metrics.

Importing this package is light: a modality's own libraries come with its sub-package (`ddmi_modalities.image`).
"""

from ddmi_modalities.modality import Artefact, Batch, DataSet, FunctionSource, Modality
from ddmi_modalities.splits import Split, split_of

__all__ = ["Artefact", "Batch", "DataSet", "FunctionSource", "Modality", "Split", "split_of"]
