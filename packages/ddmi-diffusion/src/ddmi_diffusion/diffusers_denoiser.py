"""Denoisers of diffusers, in the place of ours."""

from __future__ import annotations

import inspect

from jaxtyping import Float
from torch import Tensor, nn

from ddmi_diffusion.conditioning import Conditioning


class DiffusersDenoiser(nn.Module):
    """A `Denoiser` that is a model of diffusers, whose forward returns an object with `.sample`.

    Latents are packed as "grid": the model's channels are theirs, and their sides divide by its down-sampling.

    Args:
        model: such as `UNet2DModel` or, with a condition, `UNet2DConditionModel`.

    Examples:
        >>> from diffusers import UNet2DModel  # doctest: +SKIP
        >>> from ddmi_diffusion import LatentDiffusion, NoiseConfig
        >>> unet = UNet2DModel(in_channels=4, out_channels=4)  # doctest: +SKIP
        >>> diffusion = LatentDiffusion(
        ...     DiffusersDenoiser(unet), NoiseConfig(prediction="v"), (4, 32, 32)
        ... )  # doctest: +SKIP
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.attends = "encoder_hidden_states" in inspect.signature(model.forward).parameters

    def forward(
        self,
        z: Float[Tensor, "batch channel rows columns"],
        t: Float[Tensor, " batch"],
        cond: Conditioning | None = None,
    ) -> Float[Tensor, "batch channel rows columns"]:
        """The prediction at noisy latents `z` and times `t` in [0, 1000).

        ValueError for a condition where the model attends to none, and for none where it needs one.
        """
        if self.attends == (cond is None):
            name = type(self.model).__name__
            raise ValueError(
                f"DiffusersDenoiser: {name} attends to a condition, and got none; pass cond, of the model's width"
                if self.attends
                else f"DiffusersDenoiser: got a condition, and {name} attends to none; take a UNet2DConditionModel"
            )
        if cond is None:
            return self.model(z, t).sample
        return self.model(z, t, encoder_hidden_states=cond.tokens, encoder_attention_mask=cond.mask).sample
