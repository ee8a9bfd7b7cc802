from .data.fields import Channel as Channel
from .data.fields import Fields as Fields
from .data.fields import read_fields as read_fields
from .data.times import SphereItem as SphereItem
from .data.times import SphereTimes as SphereTimes
from .modality import SphereModality as SphereModality
from .view import SphereRendering as SphereRendering
from .view import SphereRenderOptions as SphereRenderOptions
