"""A model measured by one of the named protocols, with everything that a reader of the number has to know."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ddmi_fields import ImplicitFunction
from ddmi_modalities.datasets.array_cache import default_cache
from ddmi_modalities.datasets.splits import Split, evenly_spaced
from ddmi_modalities.files.checksums import sha256_file
from ddmi_modalities.files.pixels import to_float
from ddmi_modalities.image.items import ImageItem
from ddmi_modalities.image.modality import ImageModality
from ddmi_modalities.image.view import ImageRenderOptions
from ddmi_modalities.metrics.feature_cache import cached_features, digest
from ddmi_modalities.metrics.features import FeatureNetwork
from ddmi_modalities.metrics.lpips import LPIPSLoss
from ddmi_modalities.metrics.set_distances import FeatureSets
from ddmi_modalities.modality import DataSet, FunctionSource
from ddmi_modalities.progress import progress
from ddmi_modalities.spec import Measured

logger = logging.getLogger("ddmi")

WINDOWS_AT = 1024
PAIRS_FROM = 16
"""Pixels a side that LPIPS needs: its network halves images four times."""


Features = Float[Tensor, "_ feature"]
Network = Callable[[Path, torch.device | str], FeatureNetwork]
Statistic = Callable[[Features, Features, int], dict[str, float]]
"""Of features of made images, of real ones, and a seed."""


@dataclass(frozen=True, kw_only=True)
class ImageProtocol:
    """What is compared with what, as whom: a `SetProtocol` or a `PairProtocol`."""

    weights: str
    """Where a user gets the weights of the network."""
    citation: str
    """What the numbers may be compared with, in one line."""


@dataclass(frozen=True, kw_only=True)
class SetProtocol(ImageProtocol):
    """Two sets of images, by features of a network."""

    network: Network
    """From its weights and a device; it resizes images as its protocol says."""
    statistic: Statistic
    """What of the features."""
    made: Literal["samples", "reconstructions"] = "samples"
    """Which side the model makes."""
    count: int | None = 50_000
    """Made images; None: one for each real one."""
    real: Split = "train"
    """The other side: all images of this split."""
    window: int | None = None
    """Compare one window of so many pixels a side of each made image, at a random place, with as many of real ones;
    None: whole images."""


@dataclass(frozen=True, kw_only=True)
class PairProtocol(ImageProtocol):
    """Held-out images and their reconstructions, pair by pair: PSNR, SSIM and LPIPS, the mean of each."""

    network: Literal["vgg", "alex"] = "vgg"
    """The backbone of LPIPS."""


@dataclass(frozen=True, kw_only=True)
class ImageProtocolSettings:
    """What a named protocol of images leaves to its user."""

    weights: Path | None = None
    """Weights of the protocol's network; the message where they are missing says which."""
    count: int | None = None
    """A trial with this many images a side at most: the result says that it is no longer the protocol's."""
    resolution: int | None = None
    """Pixels a side at which images are drawn; default the run's own size, 1024 where windows are compared."""
    batch: int = 50
    """Images at once."""

    def __post_init__(self) -> None:
        for name, least in (("count", 2), ("resolution", 1), ("batch", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"evaluation: {name} is at least {least}, got {value}")


def measure(
    modality: ImageModality,
    model: FunctionSource,
    settings: ImageProtocolSettings,
    *,
    protocol: ImageProtocol,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Measured:
    """One protocol's numbers.

    Args:
        seed: of the samples, the windows and the statistic's subsets.
        device: of the feature network.

    Raises:
        ValueError: There are no weights, no second stage for samples, or images smaller than the windows or than a
            network takes.
    """
    if settings.weights is None:
        raise ValueError(f"this protocol needs the weights of its network: give --weights FILE with {protocol.weights}")
    if isinstance(protocol, PairProtocol):
        return _measure_pairs(modality, model, protocol, settings, settings.weights, device)
    assert isinstance(protocol, SetProtocol)
    return _measure_sets(modality, model, protocol, settings, settings.weights, seed, device)


def _measure_sets(
    modality: ImageModality,
    model: FunctionSource,
    protocol: SetProtocol,
    settings: ImageProtocolSettings,
    weights: Path,
    seed: int,
    device: torch.device | str,
) -> Measured:
    if protocol.made == "samples" and not model.can_sample:
        raise ValueError("this protocol needs samples; train stage 2 with `ddmi train ... --stage diffusion --resume`")
    resolution = settings.resolution or (WINDOWS_AT if protocol.window else modality.size)
    if protocol.window is not None and resolution < protocol.window:
        raise ValueError(
            f"this protocol compares windows of {protocol.window} pixels, which images of {resolution} do not hold; "
            f"give --resolution {protocol.window} or more"
        )
    network = protocol.network(weights, device)
    sha256 = sha256_file(weights)
    real = modality.dataset(protocol.real)
    chosen = list(range(len(real)))
    if settings.count is not None and settings.count < len(chosen):
        chosen = evenly_spaced(len(real), settings.count)
    wanted = protocol.count or len(chosen)
    count = min(wanted, settings.count or wanted)
    if protocol.window is not None:
        chosen = [chosen[i % len(chosen)] for i in range(count)]
    if min(count, len(chosen)) < 2:
        raise ValueError(f"this protocol compares sets of images; there are {len(chosen)} real and {count} made ones")
    drawing = _Drawing(modality, resolution, protocol.window, seed, settings.batch)

    logger.info("features of %d real images at %d x %d (%s)", len(chosen), resolution, resolution, network.name)
    folder = (modality.cache or default_cache()) / "features"
    reference, key = cached_features(
        lambda: drawing.real(real, chosen), len(chosen), network, f"{network.name} {sha256}", folder
    )
    logger.info("features of %d %s", count, protocol.made)
    sets = drawing.sets(model, network)
    made = (
        sets.of_samples(count)
        if protocol.made == "samples"
        else sets.of_reconstructions([real[i] for i in chosen[:count]])
    )
    return Measured(
        metrics=protocol.statistic(made, reference, seed),
        conditions={
            "made": protocol.made,
            "count_made": count,
            "real": f"split {protocol.real}",
            "count_real": len(chosen),
            "resolution": resolution,
            "window": protocol.window,
            "network": network.name,
            "weights": str(weights),
            "sha256_weights": sha256,
            "sha256_real_images": key,
        },
    )


@torch.no_grad()
def _measure_pairs(
    modality: ImageModality,
    model: FunctionSource,
    protocol: PairProtocol,
    settings: ImageProtocolSettings,
    weights: Path,
    device: torch.device | str,
) -> Measured:
    from ddmi_modalities.metrics.pairs import psnr, ssim  # torchmetrics takes seconds to import

    resolution = settings.resolution or modality.size
    if resolution < PAIRS_FROM:
        raise ValueError(
            f"this protocol compares images of at least {PAIRS_FROM} pixels a side, got {resolution}; "
            f"give --resolution {PAIRS_FROM} or more"
        )
    distance = LPIPSLoss(weights, protocol.network).to(device)
    held_out = modality.dataset("test")
    chosen = evenly_spaced(len(held_out), settings.count or len(held_out))
    if not chosen:
        raise ValueError("this protocol compares held-out images, and the data hold out none")
    drawing = _Drawing(modality, resolution, None, 0, settings.batch)
    what = f"reconstructions of {len(chosen)} held-out images at {resolution} x {resolution}"
    rows = []
    for start in progress(range(0, len(chosen), settings.batch), what=what):
        items = [held_out[i] for i in chosen[start : start + settings.batch]]
        true = drawing.pixels(items, start)
        made = drawing.render(model.reconstruct(modality.inputs(items)), start)
        lpips = distance(to_float(made).to(device), to_float(true).to(device))
        rows.append(torch.stack([psnr(made, true), ssim(made, true), lpips.cpu()]))
    means = torch.cat(rows, dim=1).mean(1).tolist()
    return Measured(
        metrics=dict(zip(("psnr", "ssim", "lpips"), means, strict=True)),
        conditions={
            "made": "reconstructions",
            "count_made": len(chosen),
            "real": "split test",
            "count_real": len(chosen),
            "resolution": resolution,
            "network": f"LPIPS ({protocol.network})",
            "weights": str(weights),
            "sha256_weights": sha256_file(weights),
            "sha256_real_images": digest(lambda: drawing.real(held_out, chosen), "pairs"),
        },
    )


@dataclass(frozen=True)
class _Drawing:
    """Whole images, or one random window of each, as batches of bytes."""

    modality: ImageModality
    resolution: int
    window: int | None
    seed: int
    batch: int

    def sets(self, model: FunctionSource, network: FeatureNetwork) -> FeatureSets[ImageItem]:
        return FeatureSets(
            model=model, network=network, inputs=self.modality.inputs, truth=lambda items: self.pixels(items, 0),
            render=self.render, seed=self.seed, chunk=self.batch,
        )  # fmt: skip

    def real(self, data: DataSet[ImageItem], chosen: Sequence[int]) -> Iterator[UInt8[Tensor, "_ 3 _ _"]]:
        starts = range(0, len(chosen), self.batch)
        for start in progress(starts, what=f"{len(chosen)} real images", delay=3):
            yield self.pixels([data[i] for i in chosen[start : start + self.batch]], start)

    def pixels(self, items: Sequence[ImageItem], start: int) -> UInt8[Tensor, "_ 3 rows columns"]:
        """Of real images, the first of which has the number `start`."""
        if self.window is None:
            return torch.stack([item.pixels(self.resolution) for item in items])
        return torch.stack(
            [
                item.window(self.resolution, *self._corner(0, number), self.window)
                for number, item in enumerate(items, start=start)
            ]
        )

    def render(self, functions: ImplicitFunction, start: int) -> UInt8[Tensor, "_ 3 rows columns"]:
        """Of functions, the first of which has the number `start`."""
        if self.window is None:
            exact = ImageRenderOptions(resolution=self.resolution, tolerance=None)
            return self.modality.render(functions, exact).images
        made = []
        for number, function in enumerate(functions, start=start):
            top, left = self._corner(1, number)
            crop = ((top, top + self.window), (left, left + self.window))
            exact = ImageRenderOptions(resolution=self.resolution, crop=crop, tolerance=None)
            made.append(self.modality.render(function, exact))
        return torch.cat([one.images for one in made])

    def _corner(self, side: int, number: int) -> tuple[int, int]:
        """(top, left) of a window: a function of the seed, the side (0 real, 1 made) and the image's number."""
        assert self.window is not None
        rng = np.random.default_rng([self.seed, side, number])
        top, left = rng.integers(self.resolution - self.window + 1, size=2).tolist()
        return top, left
