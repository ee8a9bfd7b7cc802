"""Radiance fields: needs the extra `ddmi-modalities[nerf]`.

The modality, its cameras and its data are here.  What brings heavy libraries is in its own module: `rendering`,
`evaluation`, `report`, `visual_hull`, `prepare`.
"""

from importlib.util import find_spec as _find_spec

if _missing := [name for name in ("embreex", "nerfacc", "kornia", "av") if _find_spec(name) is None]:
    raise ImportError(
        f"ddmi_modalities.nerf needs {_missing[0]!r}; install the extra: pip install 'ddmi-modalities[nerf]'"
    )

from ddmi_modalities.nerf.cameras import Cameras
from ddmi_modalities.nerf.modality import RadianceEvaluation, RadianceModality, RayQuery
from ddmi_modalities.nerf.opacity import OpacityConfig
from ddmi_modalities.nerf.read_out import RadianceReadOut
from ddmi_modalities.nerf.scenes import SceneItem, Views
from ddmi_modalities.nerf.view import RadianceArtefact, RadianceView

__all__ = [
    "Cameras",
    "OpacityConfig",
    "RadianceArtefact",
    "RadianceEvaluation",
    "RadianceModality",
    "RadianceReadOut",
    "RadianceView",
    "RayQuery",
    "SceneItem",
    "Views",
]
