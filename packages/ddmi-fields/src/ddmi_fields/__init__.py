"""Continuous functions from generated or learned planes."""

import warnings
from importlib.metadata import version

with warnings.catch_warnings():
    # torch says where NumPy is missing, which this package does not need
    warnings.filterwarnings("ignore", message="Failed to initialize NumPy")
    import torch as _torch  # noqa: F401

from ddmi_fields.adaptive_grid import AdaptiveGrid
from ddmi_fields.basis_field import BasisField
from ddmi_fields.function import ImplicitFunction
from ddmi_fields.grids import cell_centres, grid_coordinates
from ddmi_fields.interpolation import sample_plane, sample_plane_on_grid, sample_plane_twice_differentiable
from ddmi_fields.layout import PlaneLayout
from ddmi_fields.plane_embedding import PlaneEmbedding
from ddmi_fields.read_out import (
    CoarseToFineReadOut,
    CoarseToFineReadOutConfig,
    ConcatReadOut,
    ConcatReadOutConfig,
    ReadOut,
    ReadOutConfig,
)

__version__ = version("ddmi-fields")

__all__ = [
    "AdaptiveGrid",
    "BasisField",
    "CoarseToFineReadOut",
    "CoarseToFineReadOutConfig",
    "ConcatReadOut",
    "ConcatReadOutConfig",
    "ImplicitFunction",
    "PlaneEmbedding",
    "PlaneLayout",
    "ReadOut",
    "ReadOutConfig",
    "cell_centres",
    "grid_coordinates",
    "sample_plane",
    "sample_plane_on_grid",
    "sample_plane_twice_differentiable",
]
