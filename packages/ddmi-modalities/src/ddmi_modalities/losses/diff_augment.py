"""Differentiable augmentation of what a discriminator sees (Zhao et al. 2020), composed of kornia's operations."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from kornia.color import rgb_to_grayscale
from kornia.enhance import adjust_brightness
from kornia.geometry.bbox import bbox_to_mask
from kornia.geometry.transform import translate
from torch import Tensor

from ddmi_vae import Randomness


@dataclass(frozen=True, kw_only=True)
class DiffAugment:
    """Colour, translation and cutout, drawn anew for each image; gradients flow through all of them.

    Use it on real and made images alike, in the discriminator's step and in the generator's: the generator then never
    learns to make augmented images.
    """

    colour: bool = True
    """Brightness by up to 1/4 of the range, saturation by up to twice, contrast by up to half."""
    translation: float = 0.125
    """Largest shift as a part of the side; what comes in is mid-grey (0).  0 switches it off."""
    cutout: float = 0.5
    """Side of the mid-grey square as a part of the image's.  0 switches it off."""

    def __post_init__(self) -> None:
        if not (0 <= self.translation < 1 and 0 <= self.cutout < 1):
            raise ValueError(
                f"DiffAugment: translation {self.translation} and cutout {self.cutout} are parts of the image's side; "
                "give numbers from 0 to below 1"
            )

    def __call__(
        self, images: Float[Tensor, "batch 3 rows columns"], rng: Randomness
    ) -> Float[Tensor, "batch 3 rows columns"]:
        """The augmented images, in [-1, 1] but for colour, which may leave it."""
        images = images.float()  # positions of pixels are not exact in bfloat16
        draws = rng.uniform(7).to(images)
        draws = draws.repeat_interleave(len(images) // len(draws), 0)  # all frames of a clip alike
        if self.colour:
            images = _colour(images, draws[:, :3])
        side = images.new_tensor([images.shape[-1], images.shape[-2]])  # x first, as kornia wants it
        if self.translation:
            # whole pixels: interpolation would blur, and the discriminator would see it
            shift = ((draws[:, 3:5] * 2 - 1) * self.translation * side).round()
            images = translate(images, shift, mode="nearest", padding_mode="zeros")
        if self.cutout:
            half = (self.cutout * side / 2).round()
            centre = (draws[:, 5:7] * side).floor()
            images = images * (1 - _square(centre, half, images.shape[-2:]))
        return images


def _colour(images: Tensor, draws: Tensor) -> Tensor:
    saturation, contrast = (part[:, None, None, None] for part in draws[:, 1:].T)
    # kornia's saturation and contrast clamp to [0, 1], which would cut off the gradient of white paper: blend here
    images = adjust_brightness(images, draws[:, 0] - 0.5, clip_output=False)
    images = torch.lerp(rgb_to_grayscale(images), images, 2 * saturation)
    return torch.lerp(images.mean((1, 2, 3), keepdim=True), images, contrast + 0.5)


def _square(centre: Tensor, half: Tensor, size: torch.Size) -> Float[Tensor, "batch 1 rows columns"]:
    """1 in the square [centre - half, centre + half), cut off at the border, 0 elsewhere."""
    first, last = centre - half, centre + half - 1
    corners = torch.stack(
        [first, torch.stack([last[:, 0], first[:, 1]], -1), last, torch.stack([first[:, 0], last[:, 1]], -1)], dim=1
    )
    return bbox_to_mask(corners, width=size[1], height=size[0])[:, None]
