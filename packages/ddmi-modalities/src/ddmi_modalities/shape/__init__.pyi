from .data.furniture import Furniture as Furniture
from .items import ShapeItem as ShapeItem
from .modality import ShapeModality as ShapeModality
from .view import ShapeRendering as ShapeRendering
from .view import ShapeRenderOptions as ShapeRenderOptions
