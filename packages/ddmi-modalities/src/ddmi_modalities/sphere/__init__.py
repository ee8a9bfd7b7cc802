"""Functions on the sphere, such as fields of the weather: needs the extra `ddmi-modalities[sphere]`."""

import lazy_loader

from ddmi_modalities.extras import require_extra

require_extra("sphere", "xarray", "scipy", "h5netcdf", "PIL")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
