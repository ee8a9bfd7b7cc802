"""PSNR, SSIM, bicubic enlargement and the Fréchet distance against independent computations."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor, nn

from ddmi_modalities.metrics.pairs import bicubic, psnr, ssim
from ddmi_modalities.metrics.sets import frechet_distance


@pytest.fixture
def pair() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    smooth = torch.nn.functional.interpolate(torch.rand(3, 3, 6, 6, generator=generator), (40, 48), mode="bicubic")
    true = (smooth.clamp(0, 1) * 255).byte()
    noise = torch.randint(-20, 21, true.shape, generator=generator)
    noise[1] //= 4
    return (true.int() + noise).clamp(0, 255).byte(), true


def test_psnr_and_ssim_equal_scikit_image(pair: tuple[Tensor, Tensor]) -> None:
    made, true = pair
    for index in range(3):
        a, b = (images[index].permute(1, 2, 0).numpy() for images in pair)
        assert psnr(made, true)[index].item() == pytest.approx(peak_signal_noise_ratio(b, a), abs=1e-4)
        wanted = structural_similarity(
            b, a, channel_axis=-1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
        )
        assert ssim(made, true)[index].item() == pytest.approx(wanted, abs=1e-4)
    assert psnr(made, true)[1] > psnr(made, true)[0] + 5


def test_equal_images() -> None:
    image = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    assert psnr(image, image).isinf().all()
    assert torch.allclose(ssim(image, image), torch.ones(2))


def test_metric_messages() -> None:
    small, other = (torch.zeros(1, 3, size, size, dtype=torch.uint8) for size in (8, 12))
    with pytest.raises((ValueError, TypeError), match=r"wanted pairs of one size|Type-check"):
        psnr(small, other)
    with pytest.raises(ValueError, match="smaller than its window of 11"):
        ssim(small, small)
    with pytest.raises(ValueError, match="at least one"):
        ssim(small[:0], small[:0])


def test_bicubic_is_pillows() -> None:
    # far from 0 and 255: Pillow rounds and clips between its two passes
    image = torch.randint(64, 192, (3, 9, 11), dtype=torch.uint8)
    wanted = Image.fromarray(image.permute(1, 2, 0).numpy()).resize((33, 20), Image.Resampling.BICUBIC)
    got = bicubic(image[None], (20, 33))[0].permute(1, 2, 0).int()
    assert (got - torch.from_numpy(np.array(wanted)).int()).abs().max() <= 1


def slow_frechet(a: Tensor, b: Tensor) -> float:
    """The textbook formula with scipy's matrix root."""
    (mean_a, cov_a), (mean_b, cov_b) = ((x.mean(0), np.cov(x, rowvar=False)) for x in (a.numpy(), b.numpy()))
    root = scipy.linalg.sqrtm(cov_a @ cov_b)
    return float(((mean_a - mean_b) ** 2).sum() + np.trace(cov_a + cov_b - 2 * root.real))


def features(count: int, width: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(width, width, generator=generator, dtype=torch.float64)
    return torch.randn(count, width, generator=generator, dtype=torch.float64) @ mixing + seed


def test_frechet_equals_the_slow_formula() -> None:
    a, b = features(400, 12, 1), features(300, 12, 2)
    assert frechet_distance(a, b) == pytest.approx(slow_frechet(a, b), rel=1e-9)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-12)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a.float(), b.float()) == pytest.approx(slow_frechet(a, b), rel=1e-4)


def test_frechet_of_known_gaussians() -> None:
    # axis-aligned: sum of (mean difference)^2 + (std difference)^2, exactly, with whitened samples
    raw = features(500, 4, 3)
    raw = raw - raw.mean(0)
    white = raw @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(raw.T))).T
    std_a, std_b = (torch.tensor(std, dtype=torch.float64) for std in ([1.0, 2, 3, 0], [2.0, 2, 1, 1]))
    shift = torch.tensor([3.0, 0, 0, 4], dtype=torch.float64)
    wanted = (shift.square() + (std_a - std_b).square()).sum().item()
    assert frechet_distance(white * std_a, white * std_b + shift) == pytest.approx(wanted, rel=1e-9)


def test_fewer_images_than_features() -> None:
    # appended zero features change nothing, and fewer rows than columns takes the other path
    a, b = features(20, 8, 4), features(25, 8, 5)
    wide = torch.zeros(1, 72, dtype=torch.float64)
    padded = [torch.cat([x, wide.expand(len(x), -1)], 1) for x in (a, b)]
    rotation = torch.linalg.qr(features(80, 80, 6)).Q
    assert frechet_distance(padded[0] @ rotation, padded[1] @ rotation) == pytest.approx(slow_frechet(a, b), rel=1e-8)


def test_frechet_equals_torchmetrics() -> None:
    from torchmetrics.image.fid import FrechetInceptionDistance

    class Columns(nn.Module):
        """Twelve pixels as features."""

        def forward(self, images: Tensor) -> Tensor:
            return images.flatten(1)[:, :12].float()

    network = Columns()
    network.num_features = 12  # type: ignore[assignment]
    metric = FrechetInceptionDistance(feature=network, normalize=False)
    metric.set_dtype(torch.float64)
    a, b = (torch.randint(0, high, (200, 3, 8, 8), dtype=torch.uint8) for high in (256, 200))
    metric.update(a, real=True)
    metric.update(b, real=False)
    assert frechet_distance(network(a), network(b)) == pytest.approx(metric.compute().item(), rel=1e-6)


def test_frechet_messages() -> None:
    good = features(5, 3, 0)
    with pytest.raises(ValueError, match="at least 2 a side"):
        frechet_distance(good[:1], good)
    with pytest.raises((ValueError, TypeError), match=r"from one network|Type-check"):
        frechet_distance(good, good[:, :2])
    with pytest.raises(ValueError, match="not finite"):
        frechet_distance(good, good * float("nan"))
