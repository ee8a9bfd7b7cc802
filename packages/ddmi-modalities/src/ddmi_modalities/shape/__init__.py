"""3D shapes as occupancy functions: needs the extra `ddmi-modalities[shape]`."""

import lazy_loader

from ddmi_modalities.extras import require_extra

require_extra("shape", "manifold3d", "scipy", "trimesh")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
