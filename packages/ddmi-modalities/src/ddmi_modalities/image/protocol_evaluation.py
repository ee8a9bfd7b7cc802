"""A model measured by one of the named protocols, with everything that a reader of the number has to know."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from ddmi_fields import ImplicitFunction
from ddmi_modalities.array_cache import default_cache
from ddmi_modalities.image.feature_cache import cached_features, digest
from ddmi_modalities.image.features import extract
from ddmi_modalities.image.items import ImageItem
from ddmi_modalities.image.lpips import LPIPSLoss
from ddmi_modalities.image.modality import ImageModality
from ddmi_modalities.image.protocols import ImageProtocol, PairProtocol, SetProtocol
from ddmi_modalities.image.set_distances import spread
from ddmi_modalities.image.view import ImageView
from ddmi_modalities.modality import DataSet, FunctionSource
from ddmi_modalities.pixels import to_float


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


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The numbers of a protocol, and under which conditions they were measured."""

    metrics: dict[str, float]
    conditions: dict[str, object]
    """What a reader has to know: counts, resolution, network, sha256 of its weights and of the real images."""


WINDOWS_AT = 1024
PAIRS_FROM = 16
"""Pixels a side that LPIPS needs: its network halves images four times."""


def measure(
    modality: ImageModality,
    model: FunctionSource,
    protocol: ImageProtocol,
    settings: ImageProtocolSettings,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    note: Callable[[str], None] = lambda _: None,
) -> Measured:
    """One protocol's numbers.

    Args:
        seed: of the samples, the windows and the statistic's subsets.
        device: of the feature network, and of the model, which is there already.

    Raises:
        ValueError: There are no weights, no second stage for samples, or images smaller than the windows or than a
            network takes.
    """
    if settings.weights is None:
        raise ValueError(f"this protocol needs the weights of its network: give --weights FILE with {protocol.weights}")
    if isinstance(protocol, PairProtocol):
        return _measure_pairs(modality, model, protocol, settings, settings.weights, device, note)
    assert isinstance(protocol, SetProtocol)
    return _measure_sets(modality, model, protocol, settings, settings.weights, seed, device, note)


def _measure_sets(
    modality: ImageModality,
    model: FunctionSource,
    protocol: SetProtocol,
    settings: ImageProtocolSettings,
    weights: Path,
    seed: int,
    device: torch.device | str,
    note: Callable[[str], None],
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
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    real = modality.dataset(protocol.real)
    chosen = list(range(len(real)))
    if settings.count is not None and settings.count < len(chosen):
        chosen = spread(len(real), settings.count)
    wanted = protocol.count or len(chosen)
    count = min(wanted, settings.count or wanted)
    if protocol.window is not None:
        chosen = [chosen[i % len(chosen)] for i in range(count)]
    if min(count, len(chosen)) < 2:
        raise ValueError(f"this protocol compares sets of images; there are {len(chosen)} real and {count} made ones")
    drawing = _Drawing(modality, resolution, protocol.window, seed, settings.batch)

    note(f"features of {len(chosen)} real images at {resolution} x {resolution} ({network.name})")
    folder = (modality.cache or default_cache()) / "features"
    reference, key = cached_features(
        lambda: drawing.real(real, chosen), len(chosen), network, f"{network.name} {sha256}", folder
    )
    note(f"features of {count} {protocol.made}")

    def make(start: int, size: int) -> ImplicitFunction:
        if protocol.made == "samples":
            return model.sample(size, seed=seed, start=start)
        inputs = modality.inputs([real[i] for i in chosen[start : start + size]])
        return model.reconstruct(tuple(one.to(device) for one in inputs))

    made = extract(network, drawing.made(make, count, note))
    metrics = protocol.statistic(made, reference, seed)
    return Measured(
        metrics=metrics,
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
    note: Callable[[str], None],
) -> Measured:
    from ddmi_modalities.image.metrics import psnr, ssim  # torchmetrics takes seconds to import

    resolution = settings.resolution or modality.size
    if resolution < PAIRS_FROM:
        raise ValueError(
            f"this protocol compares images of at least {PAIRS_FROM} pixels a side, got {resolution}; "
            f"give --resolution {PAIRS_FROM} or more"
        )
    distance = LPIPSLoss(weights, protocol.network).to(device)
    held_out = modality.dataset("test")
    chosen = spread(len(held_out), settings.count or len(held_out))
    if not chosen:
        raise ValueError("this protocol compares held-out images, and the data hold out none")
    drawing = _Drawing(modality, resolution, None, 0, settings.batch)
    note(f"reconstructions of {len(chosen)} held-out images at {resolution} x {resolution}")

    def make(start: int, size: int) -> ImplicitFunction:
        inputs = modality.inputs([held_out[i] for i in chosen[start : start + size]])
        return model.reconstruct(tuple(one.to(device) for one in inputs))

    rows = []
    for true, made in zip(drawing.real(held_out, chosen), drawing.made(make, len(chosen), note), strict=True):
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
            "sha256_weights": hashlib.sha256(weights.read_bytes()).hexdigest(),
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

    def corner(self, side: int, number: int) -> tuple[int, int]:
        """(top, left) of a window: a function of the seed, the side (0 real, 1 made) and the image's number."""
        assert self.window is not None
        rng = np.random.default_rng([self.seed, side, number])
        top, left = rng.integers(self.resolution - self.window + 1, size=2).tolist()
        return top, left

    def real(self, data: DataSet[ImageItem], chosen: Sequence[int]) -> Iterator[UInt8[Tensor, "_ 3 _ _"]]:
        for start in range(0, len(chosen), self.batch):
            part = list(enumerate(chosen))[start : start + self.batch]
            yield torch.stack([self._pixels(data[index], number) for number, index in part])

    def _pixels(self, item: ImageItem, number: int) -> UInt8[Tensor, "3 rows columns"]:
        if self.window is None:
            return item.pixels(self.resolution)
        return item.window(self.resolution, *self.corner(0, number), self.window)

    def made(
        self, make: Callable[[int, int], ImplicitFunction], count: int, note: Callable[[str], None]
    ) -> Iterator[UInt8[Tensor, "_ 3 _ _"]]:
        for start in range(0, count, self.batch):
            functions = make(start, min(self.batch, count - start))
            if start and start % (20 * self.batch) == 0:
                note(f"  {start} of {count}")
            if self.window is None:
                yield self.modality.render(functions, ImageView(resolution=self.resolution)).images
                continue
            for number, function in enumerate(functions, start=start):
                top, left = self.corner(1, number)
                crop = ((top, top + self.window), (left, left + self.window))
                yield self.modality.render(function, ImageView(resolution=self.resolution, crop=crop)).images
