"""LPIPS (Zhang et al. 2018) with the backbone's weights from a file.

torchmetrics' public LPIPS downloads them.  The private class behind it does not have to; everything that depends on its
insides is in this file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ddmi_modalities.files.pretrained_weights import load_exactly, read_weights

Loss = TypeVar("Loss", bound="LPIPSLoss")

SOURCES = {
    "vgg": "torchvision's vgg16-397923af.pth, https://download.pytorch.org/models/vgg16-397923af.pth",
    "alex": "torchvision's alexnet-owt-7be5be79.pth, https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
}


class LPIPSLoss(nn.Module):
    """The learned perceptual distance; frozen, in float32.

    Args:
        weights: torchvision's state dict of the backbone; its sha256 is printed.  The small learned weights of the
            distance itself come with torchmetrics.
        network: "vgg", as the reference trains with, or "alex".

    Raises:
        ValueError: The file is absent or holds other weights.
        RuntimeError: This torchmetrics has another inside.
    """

    def __init__(self, weights: Path | str, network: Literal["vgg", "alex"] = "vgg") -> None:
        super().__init__()
        if network not in SOURCES:
            raise ValueError(f"LPIPS: there is no network {network!r}; choose 'vgg' or 'alex'")
        purpose, source = f"LPIPS ({network})", SOURCES[network]
        state = read_weights(weights, purpose=purpose, source=source)
        try:
            from torchmetrics.functional.image.lpips import _LPIPS

            # pnet_rand: the backbone without its download; pretrained: the learned distance, from torchmetrics' wheel
            model = _LPIPS(pretrained=True, net=network, pnet_rand=True)
            # "slice2.4.weight" is torchvision's "features.4.weight"
            features = {f"net.{key}": state.get(_torchvision(key)) for key in model.net.state_dict()}
        except (ImportError, TypeError, AttributeError, FileNotFoundError) as error:
            raise RuntimeError(
                f"LPIPS: this torchmetrics is built otherwise inside ({error}); install torchmetrics 1.6 to 1.9, "
                "or train with EfficientNetPerceptual"
            ) from error
        own = {key: value for key, value in model.state_dict().items() if not key.startswith("net.")}
        found = {key: value for key, value in features.items() if value is not None}
        load_exactly(model, {**own, **found}, purpose=purpose, source=source)
        self.model = model.requires_grad_(False).eval()

    def train(self: Loss, mode: bool = True) -> Loss:
        """Stays in evaluation mode: the learned distance has dropout."""
        return super().train(False)

    def forward(
        self, made: Float[Tensor, "batch 3 rows columns"], true: Float[Tensor, "batch 3 rows columns"]
    ) -> Float[Tensor, " batch"]:
        """One distance per image pair in [-1, 1]; gradients flow to both images."""
        with torch.autocast(made.device.type, enabled=False):
            return self.model(made.float(), true.float()).flatten()


def _torchvision(key: str) -> str:
    return "features." + key.split(".", 1)[1]
