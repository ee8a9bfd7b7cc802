"""Continuous functions from generated or learned planes."""

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

__all__ = [
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
