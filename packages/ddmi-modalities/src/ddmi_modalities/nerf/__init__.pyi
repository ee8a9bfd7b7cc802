from .items import NerfItem as NerfItem
from .items import RayQuery as RayQuery
from .items import Views as Views
from .modality import NerfModality as NerfModality
from .read_out import NerfReadOut as NerfReadOut
from .view import NerfRendering as NerfRendering
from .view import NerfRenderOptions as NerfRenderOptions
