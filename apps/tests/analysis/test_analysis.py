"""Spectra of fields that are known, scales that are off, ways between samples, and copies that are found."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from ddmi import DDMI
from ddmi.analysis.chart import COLOURS, Line, log_charts
from ddmi.analysis.interpolation import interpolated, slerp
from ddmi.analysis.latent_spectra import LatentSpectrum, along_plane, latent_spectra
from ddmi.analysis.neighbours import KnownItems, nearest
from ddmi.analysis.run import Analysis, analyze_run
from ddmi.analysis.scales import without_scale
from ddmi.analysis.spectra import basis_spectra, power_spectrum
from ddmi.cli import main
from ddmi.experiment.alternatives.pixels import PixelReadOut
from ddmi.registry import make_experiment
from ddmi_fields import BasisField, CoarseToFineReadOut, ImplicitFunction, PlaneLayout
from ddmi_modalities import Split
from ddmi_modalities.files.pixels import to_float
from ddmi_modalities.image import ImageModality, ImageRendering, ImageRenderOptions
from ddmi_modalities.plain_exploration import picture_of
from ddmi_vae import D2CVAE


def waves(rows: int, columns: int, along_rows: float, along_columns: float, phase: float = 0.3) -> Tensor:
    """A sinusoid of so many cycles along each side, about 5, in two channels."""
    y, x = ((torch.arange(n) + 0.5) / n for n in (rows, columns))
    angle = 2 * math.pi * (along_rows * y[:, None] + along_columns * x[None]) + phase
    return (5 + torch.sin(angle)).expand(1, 2, rows, columns)


@pytest.mark.parametrize(("rows", "columns", "cycles"), [(32, 32, (0, 5)), (32, 32, (3, 4)), (16, 48, (0, 9))])
def test_a_sinusoid_has_its_peak_at_its_frequency(rows: int, columns: int, cycles: tuple[int, int]) -> None:
    power, share = power_spectrum(waves(rows, columns, *cycles))
    wanted = round(math.hypot(*cycles))
    assert len(power) == max(rows, columns) // 2
    assert int(share.argmax()) + 1 == wanted
    near = slice(max(wanted - 3, 0), wanted + 2)  # the window widens a line by one cycle in each direction
    assert share[near].sum() > 0.999
    assert share.sum() == pytest.approx(1, abs=1e-6)


def test_powers_of_modes_add_up_to_the_windowed_variance() -> None:
    plane = torch.randn(3, 4, 12, 20, generator=torch.Generator().manual_seed(0)).double()
    # by definition, mode by mode
    hann = [0.5 - 0.5 * torch.cos(2 * math.pi * torch.arange(n) / n) for n in (12, 20)]
    window = (hann[0][:, None] * hann[1][None]).double()
    centred = (plane - (plane * window).sum((2, 3), keepdim=True) / window.sum()) * window
    y, x = torch.arange(12), torch.arange(20)
    sums, counts, total = torch.zeros(11), torch.zeros(11), 0.0
    for fy in range(-6, 6):
        for fx in range(-10, 10):
            wave = torch.exp(-2j * math.pi * (fy * y[:, None] / 12 + fx * x[None] / 20)).to(torch.complex128)
            mode = ((centred * wave).sum((2, 3)).abs() ** 2).mean().item() / (240 * window.square().sum().item())
            ring, total = round(math.hypot(fy, fx)), total + mode
            if ring <= 10:
                sums[ring], counts[ring] = sums[ring] + mode, counts[ring] + 1
    power, share = power_spectrum(plane)
    torch.testing.assert_close(power, (sums / counts)[1:].double(), rtol=1e-4, atol=1e-9)
    torch.testing.assert_close(share, (sums / total)[1:].double(), rtol=1e-4, atol=1e-9)
    variance = (centred.square().sum((2, 3)) / window.square().sum()).mean().item()
    assert total == pytest.approx(variance, rel=1e-6)


def test_spectra_know_their_scale_and_plane_and_median() -> None:
    layout = PlaneLayout.triplane()
    coarse = [waves(16, 16, 0, 3)] * 3
    fine = [waves(32, 32, 0, 3), waves(32, 32, 0, 10), torch.zeros(1, 2, 1, 1)]
    spectra = basis_spectra(BasisField(layout, [coarse, fine]))
    assert [(one.scale, one.plane, one.size[0]) for one in spectra] == [
        (1, "xy", 16), (1, "yz", 16), (1, "xz", 16), (2, "xy", 32), (2, "yz", 32),
    ]  # fmt: skip
    assert [one.median for one in spectra] == pytest.approx([3, 3, 3, 3, 10], abs=0.6)
    (flat,) = basis_spectra(BasisField(PlaneLayout.image(), [[torch.full((1, 1, 8, 8), 2.0)]]))
    assert flat.median == 0
    assert flat.power.max() < 1e-20


def test_a_scale_that_is_off_has_no_embedding() -> None:
    fields = [[torch.rand(2, 3, 4, 4)], [torch.rand(2, 3, 8, 8)]]
    basis = BasisField(PlaneLayout.image(), fields)
    function = ImplicitFunction(basis, CoarseToFineReadOut(basis.channels, 3, width=8))
    off = without_scale(function, 2)
    coords = torch.rand(2, 5, 2) * 2 - 1
    embeddings = off.basis.embed(coords)
    torch.testing.assert_close(embeddings[0], basis.embed(coords)[0])
    assert embeddings[1].abs().max() == 0
    wanted = function.read_out([embeddings[0], torch.zeros_like(embeddings[1])], coords)
    torch.testing.assert_close(off(coords), wanted)
    assert fields[1][0].abs().min() > 0, "the function itself is left as it is"
    with pytest.raises(ValueError, match=r"scale 3 of 2; they count from 1"):
        without_scale(function, 3)


def test_slerp_keeps_the_length_of_noise() -> None:
    a, b = torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(1))
    way = slerp(a, b, 5)
    torch.testing.assert_close(way[0], a)
    torch.testing.assert_close(way[-1], b)
    lengths = way.flatten(1).norm(dim=1)
    assert lengths.min() > 0.98 * min(a.norm(), b.norm())
    unit = slerp(torch.tensor([1.0, 0]), torch.tensor([0.0, 1]), 3)
    torch.testing.assert_close(unit[1], torch.tensor([0.5, 0.5]).sqrt())
    torch.testing.assert_close(slerp(a, a, 3)[1], a)
    with pytest.raises(ValueError, match="at least 2 parts; got 1"):
        slerp(a, b, 1)


def test_the_ends_of_a_way_are_the_samples(tiny_run: Path) -> None:
    model = DDMI.from_pretrained(tiny_run)
    way = model.decode(interpolated(model, model.noise([1, 3], seed=4), 3, seed=4)).grid((16, 16))
    samples = model.sample(4, seed=4).grid((16, 16))
    torch.testing.assert_close(way[0], samples[1], atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(way[2], samples[3], atol=1e-3, rtol=1e-3)


class Colours:
    """Mean colours as features."""

    name = "mean colours"

    def __call__(self, images: Tensor) -> Tensor:
        return images.float().mean((2, 3)) + 1


PALETTE = ((250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0), (0, 250, 250))


@dataclass(frozen=True)
class Flag:
    """An image of one colour."""

    number: int
    caption = None

    @property
    def name(self) -> str:
        return str(self.number)

    def pixels(self, size: int) -> Tensor:
        return torch.tensor(PALETTE[self.number], dtype=torch.uint8)[:, None, None].expand(3, size, size)

    def window(self, size: int, top: int, left: int, side: int) -> Tensor:
        return self.pixels(side)


@dataclass(frozen=True, kw_only=True)
class Flags(ImageModality):
    """Images of one colour."""

    def dataset(self, split: Split) -> list[Flag]:
        return [Flag(number) for number in range(5)]


def flags(*numbers: int) -> ImplicitFunction:
    """Functions that show them."""
    plane = to_float(torch.stack([Flag(number).pixels(2) for number in numbers]))
    return ImplicitFunction(BasisField(PlaneLayout.image(), [[plane]]), PixelReadOut())


def test_copies_are_found() -> None:
    options = ImageRenderOptions(resolution=16)
    found = KnownItems(Flags(), options, Colours(), training=5).look_at_all().nearest(flags(3, 1), 2)
    for number, one in zip((3, 1), found, strict=True):
        assert len(one.nearest) == len(one.distances) == 2
        assert one.picture.getpixel((8, 8)) == one.nearest[0].getpixel((8, 8)) == PALETTE[number]
        assert one.nearest[1].getpixel((8, 8)) != PALETTE[number]
        assert one.distances[0] == pytest.approx(0, abs=1e-6)
        assert one.distances[1] > 0.01


def test_nearest_equals_a_slow_search() -> None:
    made, true = torch.randn(4, 7), torch.randn(9, 7)
    distances, positions = nearest(made, true, 3)
    for row in range(4):
        slow = sorted((1 - torch.cosine_similarity(made[row], true[i], dim=0).item(), i) for i in range(9))[:3]
        assert positions[row].tolist() == [i for _, i in slow]
        assert distances[row].tolist() == pytest.approx([d for d, _ in slow], abs=1e-5)
    with pytest.raises(ValueError, match="asked for 10 of 9 items"):
        nearest(made, true, 10)


def test_charts_show_positive_points_only() -> None:
    lines = [Line(label="a", x=[1.0, 2.0, 4.0], y=[1.0, 0.1, 0.01]), Line(label="b", x=[1.0, 2.0], y=[0.0, 0.5])]
    chart = log_charts({"left": lines, "right": lines[:1]}, x_label="x", y_label="y")
    assert chart.width == 2 * log_charts({"one": lines}, x_label="x", y_label="y").width
    seen = {colour for _, colour in chart.getcolors(chart.width * chart.height) or []}
    first = tuple(int(COLOURS[0][i : i + 2], 16) for i in (1, 3, 5))
    assert first in seen
    with pytest.raises(ValueError, match="no point is positive"):
        log_charts({"none": [Line(label="z", x=[1.0], y=[0.0])]}, x_label="x", y_label="y")


def test_a_picture_is_of_one_function() -> None:
    with pytest.raises(ValueError, match="wanted a rendering of one function, got 2"):
        picture_of(ImageRendering(torch.zeros(2, 3, 4, 4, dtype=torch.uint8)))


def test_analyze_draws_everything(tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = ["--items", "2", "--shown", "2", "--ways", "1", "--parts", "3", "--samples", "2", "--training", "3"]
    out = tmp_path / "drawn"
    assert main(["analyze", str(tiny_run), "--out", str(out), *few]) == 0
    names = {path.name for path in out.iterdir()}
    assert names == {"spectra.csv", "spectra.png", "latents.png", "scales.png", "interpolations.png", "neighbours.png"}
    rows = list(csv.DictReader((out / "spectra.csv").read_text().splitlines()))
    assert {row["plane"] for row in rows} == {"xy"}
    scales = len(DDMI.from_pretrained(tiny_run).reconstruct((torch.zeros(1, 3, 16, 16),)).basis.fields)
    assert {int(row["scale"]) for row in rows} == set(range(1, scales + 1))
    assert "half below" in capsys.readouterr().err
    for name in names - {"spectra.csv"}:
        with Image.open(out / name) as picture:
            assert len(picture.convert("RGB").getcolors(10**7) or []) > 20, f"{name} is not empty"


@pytest.mark.parametrize(("recipe", "planes"), [("furniture", "xy yz xz"), ("moving-openmoji", "xy yt xt")])
def test_tri_planes_are_analyzed_alike(recipe: str, planes: str, tmp_path: Path) -> None:
    experiment = make_experiment(recipe, "test", None)
    torch.manual_seed(0)
    model = DDMI(experiment, experiment.vae.build(experiment.modality.layout)).eval().requires_grad_(False)
    written = analyze_run(model, experiment.modality, tmp_path, Analysis(items=2, shown=1))
    # there is no second stage; points have no spectrum to compare the latents with
    names = ["spectra.csv", "spectra.png", *(["latents.png"] if recipe == "moving-openmoji" else []), "scales.png"]
    assert [path.name for path in written] == names
    rows = list(csv.DictReader((tmp_path / "spectra.csv").read_text().splitlines()))
    assert {row["plane"] for row in rows} == set(planes.split())


def test_analysis_counts_from_one() -> None:
    with pytest.raises(ValueError, match="shown is at least 1, got 0"):
        Analysis(shown=0)
    with pytest.raises(ValueError, match="parts is at least 2, got 1"):
        Analysis(parts=1)


def test_slices_along_a_plane_keep_its_axes() -> None:
    clip = torch.arange(2.0 * 3 * 4 * 5 * 6).reshape(2, 3, 4, 5, 6)  # t, y, x
    layout = PlaneLayout.video()
    assert torch.equal(along_plane(clip, layout, "xy")[4 + 1], clip[1, :, 1])
    assert torch.equal(along_plane(clip, layout, "yt")[6 + 2], clip[1, :, :, :, 2])
    assert torch.equal(along_plane(clip, layout, "xt")[3], clip[0, :, :, 3])
    image = torch.rand(2, 3, 5, 6)
    assert torch.equal(along_plane(image, PlaneLayout.image(), "xy"), image)


def test_a_latent_that_falls_off_as_the_data_do_has_no_divergence() -> None:
    parts, other = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.3, 0.5])
    assert LatentSpectrum(plane="xy", latent=parts, data=parts).divergence == pytest.approx(0)
    wanted = 0.5 * math.log(2.5) + 0.2 * math.log(0.4)
    assert LatentSpectrum(plane="xy", latent=other, data=parts).divergence == pytest.approx(wanted, rel=1e-6)


def test_the_latent_is_compared_with_the_data_ring_by_ring() -> None:
    """An encoder that only shrinks keeps the frequencies; one that shows what is high as low does not."""

    class Shrink(D2CVAE):
        def __init__(self, flip: bool) -> None:
            torch.nn.Module.__init__(self)
            self.weight, self.flip = torch.nn.Parameter(torch.ones(())), flip

        def encode(self, inputs: tuple[Tensor, ...]) -> Any:
            small = torch.nn.functional.interpolate(inputs[0], (16, 16), mode="area")
            checks = 1 - 2 * ((torch.arange(16)[:, None] + torch.arange(16)) % 2)
            return SimpleNamespace(mean=(small * checks if self.flip else small,))

    modality = make_experiment("openmoji", "demo").modality
    held_out = modality.dataset("test")
    items = [held_out[i] for i in range(4)]
    (like,), (unlike,) = (latent_spectra(Shrink(flip), modality, items) for flip in (False, True))
    assert len(like.latent) == len(like.data) == 8
    assert like.latent.sum() == pytest.approx(1)
    assert like.divergence < 0.05
    assert unlike.divergence > 10 * like.divergence
    shapes = make_experiment("furniture", "test")
    cloud = shapes.modality.dataset("test")
    assert latent_spectra(shapes.vae.build(shapes.modality.layout), shapes.modality, [cloud[0]]) == []
