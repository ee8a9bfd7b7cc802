"""The adversarial term of stage 1: discriminators of patches, hinge losses and VQGAN's adaptive weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from ddmi_modalities.losses.diff_augment import DiffAugment
from ddmi_modalities.losses.picture_query import PictureQuery
from ddmi_vae import Randomness


class PatchDiscriminator(nn.Module):
    """PatchGAN (Isola et al. 2017): one logit for each patch of the image, above 0 for real.

    GroupNorm takes the place of its batch norm, so that an image's logits do not depend on the others of its batch.

    Args:
        width: Channels of the first layer; doubled by each further one up to 8 times.
        layers: Layers of stride 2.  With 3 a logit sees 70 x 70 pixels; use 2 (34 x 34) for images of 64 pixels.
    """

    def __init__(self, width: int = 64, layers: int = 3) -> None:
        super().__init__()
        if width % 8 or layers < 1:
            raise ValueError(f"PatchDiscriminator: width {width} must be a multiple of 8, layers {layers} at least 1")
        body: list[nn.Module] = [nn.Conv2d(3, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        channels = width
        for layer in range(1, layers + 1):
            wider = width * min(2**layer, 8)
            stride = 2 if layer < layers else 1
            body += [nn.Conv2d(channels, wider, 4, stride, 1, bias=False), nn.GroupNorm(8, wider), nn.LeakyReLU(0.2)]
            channels = wider
        self.smallest = 2 ** (layers + 2)
        self.body = nn.Sequential(*body, nn.Conv2d(channels, 1, 4, 1, 1))

    def forward(self, images: Float[Tensor, "batch 3 rows columns"]) -> Float[Tensor, "batch 1 _ _"]:
        """Logits per patch of images in [-1, 1]."""
        if min(images.shape[-2:]) < self.smallest:
            raise ValueError(
                f"PatchDiscriminator: images of {tuple(images.shape[-2:])} pixels are too small for its layers; "
                f"it needs {self.smallest}, or fewer layers"
            )
        return self.body(images)


def hinge_discriminator(real: Tensor, made: Tensor) -> Float[Tensor, ""]:
    """`(mean max(0, 1 - D(real)) + mean max(0, 1 + D(made))) / 2` (Lim and Ye 2017)."""
    return (F.relu(1 - real).mean() + F.relu(1 + made).mean()) / 2


def hinge_generator(made: Tensor) -> Float[Tensor, ""]:
    """`-mean D(made)`."""
    return -made.mean()


def adaptive_weight(
    nll: Float[Tensor, ""], adversarial: Float[Tensor, ""], last_layer: Tensor, *, limit: float = 1e4
) -> Float[Tensor, ""]:
    """`|grad nll| / (|grad adversarial| + 1e-6)` at the last layer, at most `limit` (Esser et al. 2021, eq. 7).

    With it both terms pull on the last layer with equal force, whatever their units.
    """
    (pull,) = torch.autograd.grad(nll, last_layer, retain_graph=True)
    (push,) = torch.autograd.grad(adversarial, last_layer, retain_graph=True)
    return (pull.norm() / (push.norm() + 1e-6)).clamp(0, limit).detach()


class AdversarialTerm:
    """The generator's side, in the form that the stage-1 objective takes; 0 before the step `start`.

    Args:
        discriminator: The one that `DiscriminatorObjective` trains.  This term's gradients do not reach its weights.
        weight: Factor of the adaptively weighted term.
        start: First step at which it counts: before, the images are blurs that any discriminator tells from real ones.
        augment: The augmentation that `DiscriminatorObjective` uses, if any.
    """

    def __init__(
        self,
        discriminator: nn.Module,
        *,
        weight: float = 0.5,
        start: int = 0,
        augment: DiffAugment | None = None,
    ) -> None:
        self.discriminator, self.weight, self.start, self.augment = discriminator, weight, start, augment

    def __call__(
        self,
        prediction: Float[Tensor, "batch query 3"],
        query: PictureQuery,
        nll: Float[Tensor, ""],
        last_layer: Tensor,
        step: int,
        rng: Randomness,
    ) -> Float[Tensor, ""]:
        if step < self.start:
            return nll.new_zeros(())
        images = query.pictures(prediction)
        if self.augment is not None:
            images = self.augment(images, rng)
        frozen = {name: weight.detach() for name, weight in self.discriminator.named_parameters()}
        loss = hinge_generator(functional_call(self.discriminator, frozen, (images,)))
        return self.weight * adaptive_weight(nll, loss, last_layer) * loss


class DiscriminatorObjective(nn.Module):
    """The discriminator's side: the trainer's second objective.

    Its batch is what the trainer hands on: `{"batch": Batch, "aux": {"prediction": ...}}`.
    """

    def __init__(self, discriminator: nn.Module, *, start: int = 0, augment: DiffAugment | None = None) -> None:
        super().__init__()
        self.discriminator, self.start, self.augment = discriminator, start, augment

    def forward(self, batch: dict[str, Any], *, step: int, rng: Randomness) -> dict[str, Any]:
        """`loss`, and the mean logits of real and made images."""
        if step < self.start:
            # every weight takes part, with a gradient of 0: distributed training waits for all of them
            return {"loss": sum(weight.sum() * 0 for weight in self.parameters())}
        data = batch["batch"]
        real = data.query.pictures(data.target)
        made = data.query.pictures(batch["aux"]["prediction"]).to(real.dtype)
        if self.augment is not None:
            real, made = self.augment(real, rng), self.augment(made, rng)
        real_logits, made_logits = self.discriminator(real), self.discriminator(made)
        return {
            "loss": hinge_discriminator(real_logits.float(), made_logits.float()),
            "logits_real": real_logits.detach().mean(),
            "logits_made": made_logits.detach().mean(),
        }


class AdversarialTerms:
    """The sum of several adversarial terms."""

    def __init__(self, parts: Sequence[AdversarialTerm]) -> None:
        self.parts = tuple(parts)

    def __call__(
        self, prediction: Tensor, query: Any, nll: Tensor, last_layer: Tensor, step: int, rng: Randomness
    ) -> Float[Tensor, ""]:
        total = nll.new_zeros(())
        for part in self.parts:
            total = total + part(prediction, query, nll, last_layer, step, rng)
        return total


class DiscriminatorObjectives(nn.Module):
    """The sum of the losses of several discriminators; what else they report is named after them."""

    def __init__(self, parts: Mapping[str, DiscriminatorObjective]) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(parts)

    def forward(self, batch: dict[str, Any], *, step: int, rng: Randomness) -> dict[str, Any]:
        results = {name: part(batch, step=step, rng=rng) for name, part in self.parts.items()}
        named = {f"{name}_{key}": value for name, one in results.items() for key, value in one.items() if key != "loss"}
        return {"loss": sum(one["loss"] for one in results.values()), **named}


def adversarial_pair(
    discriminators: Mapping[str, nn.Module], *, weight: float, start: int, augment: DiffAugment | None
) -> tuple[AdversarialTerm | AdversarialTerms, DiscriminatorObjective | DiscriminatorObjectives]:
    """What stage 1 adds to its loss, and the second objective, of one discriminator or of several by name."""
    terms = [AdversarialTerm(one, weight=weight, start=start, augment=augment) for one in discriminators.values()]
    objectives = {
        name: DiscriminatorObjective(one, start=start, augment=augment) for name, one in discriminators.items()
    }
    if len(terms) == 1:
        return terms[0], next(iter(objectives.values()))
    return AdversarialTerms(terms), DiscriminatorObjectives(objectives)
