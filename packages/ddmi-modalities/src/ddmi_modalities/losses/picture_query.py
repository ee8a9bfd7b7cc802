"""What perceptual and adversarial terms ask of a query: its values as pictures."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor


@runtime_checkable
class PictureQuery(Protocol):
    """A query of windows.  Every item of the batch has as many pictures as another, one after the other."""

    def pictures(self, values: Float[Tensor, "batch query 3"]) -> Float[Tensor, "_ 3 rows columns"]:
        """Values at the query as pictures.  ValueError where the query is of single points."""
