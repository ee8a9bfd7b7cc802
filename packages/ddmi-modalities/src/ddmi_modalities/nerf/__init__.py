"""Radiance fields: needs the extra `ddmi-modalities[nerf]`."""

import lazy_loader

from ddmi_modalities.extras import require_extra

require_extra("nerf", "embreex", "nerfacc", "kornia", "av")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
