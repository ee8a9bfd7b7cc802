from .data.folder import ImageFolder as ImageFolder
from .data.openmoji import OpenMoji as OpenMoji
from .items import ImageItem as ImageItem
from .modality import ImageModality as ImageModality
from .view import ImageRendering as ImageRendering
from .view import ImageRenderOptions as ImageRenderOptions
from .zoom import zoom_strip as zoom_strip
from .zoom import zoom_views as zoom_views
