"""Named protocols of images: their networks, statistics and bookkeeping, against other libraries and slow versions."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from ddmi_fields import BasisField, ImplicitFunction, PlaneLayout, ReadOut
from ddmi_modalities.image import ImageModality
from ddmi_modalities.image.protocol_evaluation import ImageProtocolSettings, measure
from ddmi_modalities.image.protocols import NAMED, PairProtocol, SetProtocol
from ddmi_modalities.metrics.feature_cache import cached_features, digest
from ddmi_modalities.metrics.features import InceptionFeatures
from ddmi_modalities.metrics.lpips import LPIPSLoss
from ddmi_modalities.metrics.pairs import ssim
from ddmi_modalities.metrics.pretrained_features import (
    PreparedInceptionFeatures,
    VGG16Features,
    bilinear_in_torch,
    clean,
    second_layer,
)
from ddmi_modalities.metrics.sets import precision_recall


def clouds(n: int, m: int, width: int = 6) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(n)
    return torch.randn(n, width, generator=rng), 0.8 * torch.randn(m, width, generator=rng) + 0.3


def slow_precision_recall(made: np.ndarray, real: np.ndarray, k: int) -> tuple[float, float]:
    """Point by point, as the paper writes it."""

    def covered(points: np.ndarray, centres: np.ndarray) -> float:
        radii = [
            sorted(np.linalg.norm(c - o) for j, o in enumerate(centres) if j != i)[k - 1] for i, c in enumerate(centres)
        ]
        inside = [any(np.linalg.norm(p - c) <= r for c, r in zip(centres, radii, strict=True)) for p in points]
        return float(np.mean(inside))

    return covered(made, real), covered(real, made)


@pytest.mark.parametrize("rows", [7, 1000])
def test_precision_and_recall_equal_the_slow_ones(rows: int) -> None:
    made, real = clouds(40, 30)
    with mock.patch("ddmi_modalities.metrics.sets.ROWS", rows):
        for k in (1, 3):
            wanted = slow_precision_recall(made.double().numpy(), real.double().numpy(), k)
            assert precision_recall(made.double(), real.double(), neighbours=k) == pytest.approx(wanted)
    assert 0 < wanted[0] < 1


def test_precision_and_recall_equal_torch_fidelity() -> None:
    from torch_fidelity.metric_prc import calculate_precision_recall_full

    made, real = clouds(60, 50)
    assert precision_recall(made, real) == pytest.approx(calculate_precision_recall_full(made, real, 3))


def test_precision_is_fidelity_and_recall_diversity() -> None:
    real = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    narrow = real[:50] * 0.1
    precision, recall = precision_recall(narrow, real)
    assert precision > 0.9
    assert recall < 0.2
    with pytest.raises(ValueError, match="wanted more than 3 images a side"):
        precision_recall(real[:3], real)


@pytest.mark.slow
def test_kernel_distance_equals_torchmetrics_and_torch_fidelity() -> None:
    from torch_fidelity.metric_kid import kid_features_to_metric
    from torchmetrics.image.kid import KernelInceptionDistance

    made, real = clouds(30, 30, 12)
    with pytest.warns(UserWarning, match="will save all extracted features"):
        metric = KernelInceptionDistance(feature=nn.Identity(), subsets=1, subset_size=30)
    metric.update(real, real=True)
    metric.update(made, real=False)
    got = NAMED["kid"].statistic(made, real, 0)
    assert got["kid"] == pytest.approx(metric.compute()[0].item(), rel=1e-4)
    assert got["kid_std"] == pytest.approx(0, abs=1e-9), "all subsets are the whole sets"
    theirs = kid_features_to_metric(made, real, kid_subsets=1, kid_subset_size=30, verbose=False)
    assert got["kid"] == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-4)
    more = clouds(2000, 1500, 3)
    assert NAMED["kid"].statistic(*more, 5) == NAMED["kid"].statistic(*more, 5), "subsets are seeded"
    assert NAMED["kid"].statistic(*more, 5) != NAMED["kid"].statistic(*more, 6)


def test_clean_resizing_is_pillows_in_floating_point() -> None:
    images = torch.randint(0, 256, (2, 3, 40, 31), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    large = torch.randint(0, 256, (1, 3, 400, 350), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    for batch in (images, large):
        got = clean(batch)
        for image, made in zip(batch, got, strict=True):
            for channel, one in zip(image.numpy(), made, strict=True):
                picture = Image.fromarray(channel.astype(np.float32)).resize((299, 299), Image.Resampling.BICUBIC)
                wanted = (np.asarray(picture).clip(0, 255) - 128) / 128
                np.testing.assert_allclose(one.numpy(), wanted, atol=2e-4)


def test_torchs_bilinear_sits_at_pixel_centres() -> None:
    image = torch.randint(0, 256, (1, 3, 13, 13), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    got, values = bilinear_in_torch(image)[0, 1], image[0, 1].double() / 127.5 - 1
    for row, column in ((0, 0), (150, 77), (298, 5), (40, 298)):
        y, x = (min(max((at + 0.5) * 13 / 299 - 0.5, 0), 12) for at in (row, column))
        top, left = int(y), int(x)
        below, right = min(top + 1, 12), min(left + 1, 12)
        upper = torch.lerp(values[top, left], values[top, right], x - left)
        lower = torch.lerp(values[below, left], values[below, right], x - left)
        assert got[row, column].item() == pytest.approx(torch.lerp(upper, lower, y - top).item(), abs=1e-5)


@pytest.fixture(scope="module")
def inception(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Inception with random weights."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3 as Inception

    folder = tmp_path_factory.mktemp("weights")
    torch.save({}, folder / "blank.pth")
    torch.manual_seed(0)
    with mock.patch.object(Inception, "load_state_dict"):  # its constructor cannot leave the weights random
        network = Inception("inception-v3-compat", ["2048"], str(folder / "blank.pth"))
    torch.save(network.state_dict(), folder / "inception.pth")
    return folder / "inception.pth"


def test_prepared_inception_is_the_same_network(inception: Path) -> None:
    plain = InceptionFeatures(inception)
    prepared = PreparedInceptionFeatures(inception, clean)
    image = torch.randint(0, 256, (1, 3, 299, 299), dtype=torch.uint8)  # no resize changes it
    torch.testing.assert_close(prepared(image), plain(image), rtol=1e-4, atol=1e-5)
    assert prepared.name.endswith("resize clean")
    other = NAMED["fid-10k"].network(inception, "cpu")
    assert other.name.endswith("resize bilinear_in_torch")
    torch.testing.assert_close(other(image), plain.network.eval()(image)[0], rtol=0.2, atol=0.05)


class SmallVGG(nn.Module):
    """The parts of a VGG that are used."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3, stride=8), nn.ReLU())
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        layers = [
            nn.Linear(4 * 49, 8),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(8, 16),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(16, 3),
        ]
        self.classifier = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def test_vgg_features_equal_torch_fidelity() -> None:
    from torch_fidelity.feature_extractor_vgg16 import FeatureExtractorVGG16

    torch.manual_seed(0)
    vgg = SmallVGG().eval()
    images = torch.randint(0, 256, (3, 3, 50, 60), dtype=torch.uint8)
    got = second_layer(vgg, images)
    assert got.shape == (3, 16)
    with mock.patch(f"{FeatureExtractorVGG16.__module__}.torchvision_load_pretrained_vgg16", return_value=vgg):
        theirs = FeatureExtractorVGG16("vgg16", ["fc2_relu"])
    torch.testing.assert_close(got, theirs(images)[0], rtol=1e-4, atol=1e-5)
    assert (got == 0).any(), "after the ReLU"


def test_vgg_messages(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"precision and recall \(VGG16\): cannot read weights .*get torchvision's vgg16"
    ):
        VGG16Features(tmp_path / "none.pth")
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"the weights have no 'features.0.weight'; these are not torchvision's"):
        VGG16Features(tmp_path / "other.pth")


class Pixels(ReadOut):
    """The embedding is the value."""

    def forward(self, embeddings: list[Tensor], coords: Tensor, condition: object = None) -> Tensor:
        return embeddings[0]


class Painter:
    """A model whose samples are noise and whose reconstructions are what it was given."""

    can_sample, can_prompt = True, False

    def __init__(self, size: int) -> None:
        self.size = size
        self.asked: list[tuple[int, int, int]] = []

    def _functions(self, images: Tensor) -> ImplicitFunction:
        return ImplicitFunction(BasisField(PlaneLayout.image(), [[images]]), Pixels())

    def reconstruct(self, inputs: tuple[Tensor, ...]) -> ImplicitFunction:
        return self._functions(inputs[0])

    def sample(self, count: int, *, seed: int, start: int = 0, **_: object) -> ImplicitFunction:
        self.asked.append((seed, start, count))
        return self._functions(self.images(range(start, start + count), seed))

    def images(self, numbers: range, seed: int) -> Tensor:
        streams = (torch.Generator().manual_seed(1000 * seed + number) for number in numbers)
        return torch.stack([torch.rand(3, self.size, self.size, generator=rng) * 2 - 1 for rng in streams])

    def prior(self, count: int, *, seed: int, start: int = 0) -> ImplicitFunction:
        raise AssertionError("no protocol needs the prior")


class Means:
    """Mean colours and their deviations; counts the images it has seen."""

    name = "means"
    seen = 0

    def __init__(self, weights: Path, device: object) -> None:
        pass

    def __call__(self, images: Tensor) -> Tensor:
        type(self).seen += len(images)
        pixels = images.float()
        return torch.cat([pixels.mean((2, 3)), pixels.std((2, 3))], dim=1)


@pytest.fixture
def folder(photographs: Path, tmp_path: Path) -> ImageModality:
    return ImageModality(source=str(photographs), size=16, cache=tmp_path / "cache")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    (tmp_path / "weights.pth").write_bytes(b"any")
    return tmp_path / "weights.pth"


def distance_of_means(made: Tensor, real: Tensor, seed: int) -> dict[str, float]:
    return {"gap": (made.mean(0) - real.mean(0)).norm().item(), "width": float(made.shape[1]), "made": float(len(made))}


PLAIN = SetProtocol(network=Means, weights="ANY", statistic=distance_of_means, citation="nothing", count=12)


def test_a_protocol_compares_what_it_says(folder: ImageModality, weights: Path) -> None:
    model = Painter(16)
    got = measure(folder, model, ImageProtocolSettings(weights=weights, batch=5), protocol=PLAIN, seed=3)
    assert model.asked == [(3, 0, 5), (3, 5, 5), (3, 10, 2)]
    training = folder.dataset("train")
    real = torch.stack([training[i].pixels(16) for i in range(len(training))])
    made = ((model.images(range(12), 3) + 1) * 127.5).round().byte()
    network = Means(weights, "cpu")
    wanted = distance_of_means(network(made), network(real), 0)
    assert got.metrics == pytest.approx(wanted, rel=1e-4)
    conditions = got.conditions
    assert (conditions["count_made"], conditions["count_real"], conditions["resolution"]) == (12, len(training), 16)
    assert conditions["sha256_weights"] == hashlib.sha256(b"any").hexdigest()
    few = measure(folder, model, ImageProtocolSettings(weights=weights, count=4), protocol=PLAIN)
    assert (few.conditions["count_made"], few.conditions["count_real"]) == (4, 4)


def test_real_features_are_kept_until_a_pixel_changes(folder: ImageModality, weights: Path, photographs: Path) -> None:
    settings = ImageProtocolSettings(weights=weights)
    first = measure(folder, Painter(16), settings, protocol=PLAIN)
    Means.seen = 0
    again = measure(folder, Painter(16), settings, protocol=PLAIN)
    assert Means.seen == 12 + 1, "the samples, and one image for the number of features"
    assert again == first
    training = folder.dataset("train")
    name = photographs / training[0].name
    Image.new("RGB", (32, 24), "white").save(name)
    changed = measure(folder, Painter(16), settings, protocol=PLAIN)
    assert changed.conditions["sha256_real_images"] != first.conditions["sha256_real_images"]
    assert changed.metrics["gap"] != pytest.approx(first.metrics["gap"], rel=1e-6)


def test_the_cache_tells_networks_and_shapes_apart(tmp_path: Path, weights: Path) -> None:
    images = torch.zeros(4, 3, 2, 6, dtype=torch.uint8)
    key = digest(lambda: iter([images]), "a")
    assert key != digest(lambda: iter([images]), "b")
    assert key != digest(lambda: iter([images.reshape(4, 3, 6, 2)]), "a")
    features, used = cached_features(lambda: iter(images.split(3)), 4, Means(weights, "cpu"), "a", tmp_path)
    assert features.shape == (4, 6)
    assert (tmp_path / f"{used[:32]}.npy").exists()


def test_reconstructions_are_compared_with_their_own_images(folder: ImageModality, weights: Path) -> None:
    protocol = replace(PLAIN, made="reconstructions", count=None, real="test")
    got = measure(folder, Painter(16), ImageProtocolSettings(weights=weights, batch=2), protocol=protocol)
    assert got.metrics["gap"] == pytest.approx(0, abs=1e-3), "this model is perfect"
    assert got.metrics["made"] == len(folder.dataset("test"))


class Fading(Painter):
    """A model whose reconstructions are darker than the images, each by another factor, and never below 0."""

    def reconstruct(self, inputs: tuple[Tensor, ...]) -> ImplicitFunction:
        return self._functions((inputs[0] + 1) * 0.75 - 1)


@pytest.fixture(scope="module")
def alexnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torchvision

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "alexnet.pth"
    torch.save(torchvision.models.alexnet(weights=None).state_dict(), path)
    return path


def test_reconstructions_are_compared_pair_by_pair(folder: ImageModality, alexnet: Path) -> None:
    large = replace(folder, size=64)
    protocol = replace(NAMED["reconstruction"], network="alex")
    got = measure(large, Fading(64), ImageProtocolSettings(weights=alexnet, batch=3), protocol=protocol)
    held_out, distance = large.dataset("test"), LPIPSLoss(alexnet, "alex")
    true = torch.stack([held_out[i].pixels(64) for i in range(len(held_out))])
    made = (0.75 * true.float()).round().byte()
    error = (made.double() - true.double()).square().mean((1, 2, 3)) / 255**2
    assert error.unique().numel() == len(true), "the mean of the PSNRs is not the PSNR of the mean"
    assert got.metrics["psnr"] == pytest.approx((-10 * error.log10()).mean().item(), abs=1e-2)
    assert got.metrics["ssim"] == pytest.approx(ssim(made, true).mean().item(), abs=1e-3)
    one_by_one = [distance(m[None] / 127.5 - 1, t[None] / 127.5 - 1) for m, t in zip(made, true, strict=True)]
    assert got.metrics["lpips"] == pytest.approx(torch.cat(one_by_one).mean().item(), rel=1e-2)
    assert set(got.metrics) == {"psnr", "ssim", "lpips"}
    conditions = got.conditions
    assert (conditions["count_made"], conditions["resolution"]) == (len(held_out), 64)
    assert conditions["network"] == "LPIPS (alex)"
    assert conditions["sha256_weights"] == hashlib.sha256(alexnet.read_bytes()).hexdigest()
    few = measure(large, Fading(64), ImageProtocolSettings(weights=alexnet, count=2), protocol=protocol)
    assert few.conditions["count_made"] == 2
    assert few.conditions["sha256_real_images"] != conditions["sha256_real_images"]


def test_reconstruction_says_what_is_missing(folder: ImageModality, alexnet: Path, tmp_path: Path) -> None:
    protocol = NAMED["reconstruction"]
    assert isinstance(protocol, PairProtocol)
    with pytest.raises(ValueError, match=r"LPIPS \(vgg\): cannot read weights .*get torchvision's vgg16"):
        measure(folder, Fading(16), ImageProtocolSettings(weights=tmp_path / "none.pth"), protocol=protocol)
    with pytest.raises(ValueError, match=r"these are not torchvision's vgg16"):
        measure(folder, Fading(16), ImageProtocolSettings(weights=alexnet), protocol=protocol)
    with pytest.raises(ValueError, match=r"images of at least 16 pixels.*got 8; give --resolution 16 or more"):
        measure(folder, Fading(16), ImageProtocolSettings(weights=alexnet, resolution=8), protocol=protocol)


def test_windows_are_cut_from_large_images(folder: ImageModality, weights: Path) -> None:
    protocol = replace(PLAIN, window=8, count=50)
    large = replace(folder, size=32)
    seen: list[Tensor] = []

    class Watching(Means):
        def __call__(self, images: Tensor) -> Tensor:
            seen.append(images)
            return super().__call__(images)

    protocol = replace(protocol, network=Watching)
    got = measure(large, Painter(32), ImageProtocolSettings(weights=weights, resolution=32), protocol=protocol)
    assert {tuple(images.shape[1:]) for images in seen} == {(3, 8, 8)}
    assert (got.conditions["count_made"], got.conditions["count_real"]) == (50, 50)
    windows = torch.cat(seen)[-50:]
    whole = ((Painter(32).images(range(50), 0) + 1) * 127.5).round().byte()
    for image, window in zip(whole, windows, strict=True):
        places = image.unfold(1, 8, 1).unfold(2, 8, 1).permute(1, 2, 0, 3, 4).flatten(0, 1)
        assert (places == window).flatten(1).all(1).sum() == 1, "each is a window of its own image"
    with pytest.raises(ValueError, match=r"windows of 8 pixels, which images of 4 do not hold; give --resolution 8"):
        measure(large, Painter(32), ImageProtocolSettings(weights=weights, resolution=4), protocol=protocol)


def test_what_is_missing_is_said(folder: ImageModality, weights: Path) -> None:
    for name, protocol in NAMED.items():
        with pytest.raises(
            ValueError, match=r"needs the weights of its network: give --weights FILE with (weights|torchv)"
        ):
            measure(folder, Painter(16), ImageProtocolSettings(), protocol=protocol)
        assert protocol.citation, name
    untrained = Painter(16)
    untrained.can_sample = False
    with pytest.raises(ValueError, match="train stage 2"):
        measure(folder, untrained, ImageProtocolSettings(weights=weights), protocol=PLAIN)
    for bad, text in (
        ({"count": 1}, "count is at least 2"),
        ({"batch": 0}, "batch"),
        ({"resolution": 0}, "resolution"),
    ):
        with pytest.raises(ValueError, match=text):
            ImageProtocolSettings(**bad)


class Bytes(torch.utils.data.Dataset[Tensor]):
    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return self.images[index]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fid-50k", "kid"])
def test_whole_protocols_equal_torch_fidelity(name: str, folder: ImageModality, inception: Path) -> None:
    import torch_fidelity

    settings = ImageProtocolSettings(weights=inception, count=6)
    got = measure(folder, Painter(16), settings, protocol=NAMED[name], seed=1)
    training = folder.dataset("train")
    chosen = [training[i * len(training) // 6].pixels(16) for i in range(6)]
    made = ((Painter(16).images(range(6), 1) + 1) * 127.5).round().byte()
    theirs = torch_fidelity.calculate_metrics(
        input1=Bytes(made), input2=Bytes(torch.stack(chosen)), fid=name == "fid-50k", kid=name == "kid", cuda=False,
        feature_extractor_weights_path=str(inception), kid_subset_size=6, kid_subsets=1, verbose=False, cache=False,
        batch_size=6, save_cpu_ram=True,
    )  # fmt: skip
    key, theirs_key = {
        "fid-50k": ("fid", "frechet_inception_distance"),
        "kid": ("kid", "kernel_inception_distance_mean"),
    }[name]
    assert got.metrics[key] == pytest.approx(theirs[theirs_key], rel=2e-3)
