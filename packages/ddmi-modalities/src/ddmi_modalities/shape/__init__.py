"""3D shapes as occupancy functions: needs the extra `ddmi-modalities[shape]`.

The modality and its data are here.  What brings heavy libraries is in its own module: `extraction`, `rendering`,
`pair_metrics`, `set_metrics`, `evaluation`, `mesh_folder`.
"""

try:
    import manifold3d as _manifold3d
    import scipy as _scipy
    import trimesh as _trimesh
except ImportError as error:
    raise ImportError(
        f"ddmi_modalities.shape needs {error.name!r}; install the extra: pip install 'ddmi-modalities[shape]'"
    ) from error

from ddmi_modalities.shape.furniture import Furniture
from ddmi_modalities.shape.items import ShapeItem
from ddmi_modalities.shape.modality import ShapeModality
from ddmi_modalities.shape.point_encoder import LocalPoolPointNet, PointPlaneEncoder
from ddmi_modalities.shape.view import ShapeArtefact, ShapeView

__all__ = [
    "Furniture",
    "LocalPoolPointNet",
    "PointPlaneEncoder",
    "ShapeArtefact",
    "ShapeItem",
    "ShapeModality",
    "ShapeView",
]

del _manifold3d, _scipy, _trimesh
