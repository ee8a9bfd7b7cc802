"""Batches, pictures and scores: the seam between scenes and functions, and that it learns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from torch import Tensor

from ddmi_fields import ImplicitFunction, PlaneLayout
from ddmi_modalities import Modality
from ddmi_modalities.files.album import Album
from ddmi_modalities.losses.configs import OpacityConfig
from ddmi_modalities.metrics.pairs import psnr
from ddmi_modalities.metrics.sets import kernel_distance
from ddmi_modalities.nerf import NerfItem, NerfModality, NerfReadOut, NerfRendering, NerfRenderOptions, RayQuery
from ddmi_modalities.nerf.evaluation import NerfEvaluation, evaluate_nerf, view_quality
from ddmi_modalities.nerf.render.views import coloured_mesh, depth_picture, render_views
from ddmi_modalities.nerf.report import report_nerf
from ddmi_modalities.networks.point_encoder import LocalPoolPointNet, PointPlaneEncoder
from ddmi_vae import D2CVAE, PlaneDecoder, PlaneDecoderConfig, PlaneEncoder, PlaneEncoderConfig, VAEObjective

from .render.test_volume import Ball, function_of


@pytest.fixture(scope="module")
def modality(tmp_path_factory: pytest.TempPathFactory) -> NerfModality:
    return NerfModality(
        items=4, size=24, cloud=200, num_queries=96, samples=16, cache=tmp_path_factory.mktemp("turntable")
    )


def test_it_is_a_modality(modality: NerfModality) -> None:
    one: Modality[NerfItem, RayQuery, NerfRenderOptions, NerfRendering] = modality
    assert one.RenderOptions is NerfRenderOptions
    assert one.layout == PlaneLayout.triplane()


def test_a_part_of_the_rays_is_on_the_object(modality: NerfModality, randomness: Callable[..., Any]) -> None:
    data = modality.dataset("train")
    items = [data[i] for i in range(3)]
    on_it = {}
    for part in (0.0, 0.5, 1.0):
        target = replace(modality, foreground=part).collate(items, randomness(3)).target
        assert target.shape == (3, 96, 4)
        on_it[part] = target[..., 3].mean().item()
    assert on_it[0.0] < 0.45 < 0.5 <= on_it[0.5] < on_it[1.0] == 1


def test_rays_of_a_batch_start_at_cameras_and_end_at_their_pixels(
    modality: NerfModality, randomness: Callable[..., Any]
) -> None:
    data = modality.dataset("train")
    items: list[Any] = [data[i] for i in range(3)]
    batch = modality.collate(items, randomness(3))
    query = batch.query
    assert batch.inputs[0].shape == (3, 200, 6)
    assert query.jitter.shape == (3, 96, 16)
    for i, item in enumerate(items):
        views = item.views("given", 24)
        world = modality.extent.to_world(query.origins[i]).numpy()
        camera = np.linalg.norm(world[:, None] - views.cameras.positions[None], axis=-1)
        assert camera.min(1).max() < 1e-5
        for ray in range(0, 96, 7):
            view = int(camera[ray].argmin())
            (at,), _ = views.cameras[np.array([view])].project((world + query.directions[i].numpy())[ray : ray + 1])
            column, row = (at[0] - 0.5).round().astype(int)
            seen = torch.from_numpy(views.images[view, row, column] / 255).float()
            torch.testing.assert_close(batch.target[i, ray, :3], seen)
            assert batch.target[i, ray, 3] == views.masks[view, row, column]
    assert (batch.target[..., 3].mean(1) >= 0.5).all()  # half are drawn from the object, others may hit it


def test_draws_depend_on_the_global_position_only(modality: NerfModality, randomness: Callable[..., Any]) -> None:
    data = modality.dataset("train")
    whole = modality.collate([data[i] for i in range(4)], randomness(4))
    part = modality.collate([data[2], data[3]], randomness([2, 3]))
    assert torch.equal(whole.query.directions[2:], part.query.directions)
    assert torch.equal(whole.query.jitter[2:], part.query.jitter)
    assert torch.equal(whole.inputs[0][2:], part.inputs[0])


def test_inputs_depend_on_the_item_only(modality: NerfModality) -> None:
    data = modality.dataset("test")
    (both,), (second,) = modality.inputs([data[0], data[1]]), modality.inputs([data[1]])
    assert torch.equal(both[1:], second)
    assert both.abs().max() <= 1


def test_the_likelihood_is_of_colours_and_the_term_of_opacity(modality: NerfModality) -> None:
    prediction, target = torch.zeros(1, 2, 4), torch.tensor([[[0.5, 0, 0, 1.0], [0, 0, 0, 1.0]]])
    assert modality.nll(prediction, target).item() == pytest.approx(0.125)
    term = OpacityConfig(weight=2.0, steps=10).build()
    assert [term(prediction, target, None, step).item() for step in (0, 5, 10, 20)] == [2, 1, 0, 0]
    with pytest.raises(ValueError, match="steps 0 count from 1"):
        OpacityConfig(steps=0).build()


def small_vae(layout: PlaneLayout) -> D2CVAE:
    planes: dict[str, Any] = dict(width=16, multipliers=(1, 1), blocks=1, mixing="tokens", shortcuts=True, groups=4)
    points = LocalPoolPointNet(layout, 6, 16, hidden=16, blocks=2, size=16)
    decoder = PlaneDecoder(layout, 8, PlaneDecoderConfig(channels=8, scales=2, reduction="concat", **planes))
    encoder = PointPlaneEncoder(
        points, PlaneEncoder(layout, 8, PlaneEncoderConfig(in_channels=16, **planes)), direct=True
    )
    return D2CVAE(encoder, decoder, NerfReadOut([24, 24], width=32))


@pytest.mark.slow
def test_two_scenes_are_learnt(modality: NerfModality, randomness: Callable[..., Any]) -> None:
    torch.manual_seed(0)
    vae = small_vae(modality.layout)
    data = modality.dataset("train")
    items = [data[i] for i in range(2)]
    objective = VAEObjective(
        vae, predict=modality.predict, nll=modality.nll, kl_weight=lambda step: 0.0,
        terms={"opacity": OpacityConfig(weight=1.0, steps=60).build()},
    )  # fmt: skip
    optimiser = torch.optim.Adam(vae.parameters(), lr=1e-2)
    for step in range(120):
        rng = randomness(2, step)
        loss = objective(modality.collate(items, rng), step=step, rng=rng)["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        functions = vae.function(vae.encode(modality.inputs(items)).mean)
    for item, function in zip(items, functions, strict=True):
        unseen = item.views("held_out", 24)
        true = torch.from_numpy(np.array(unseen.images)).permute(0, 3, 1, 2)
        made = render_views(function, unseen.cameras, modality.extent, samples=48)
        white = psnr(torch.full_like(true, 255), true).mean()
        assert psnr(made.colour, true).mean() > white + 3


class Balls:
    """A model that only knows balls."""

    can_sample, can_prompt = True, False

    def reconstruct(self, inputs: tuple[Tensor, ...]) -> ImplicitFunction:
        return function_of(Ball(20.0), batch=len(inputs[0]))

    def sample(self, count: int, *, seed: int, start: int = 0, prompts: Any = None, guidance_scale: Any = None) -> Any:
        return function_of(Ball(20.0), batch=count)

    prior = sample


def test_the_point_network_computes_in_float32_under_autocast() -> None:
    torch.manual_seed(0)
    network = LocalPoolPointNet(PlaneLayout.triplane(), 6, 8, hidden=8, blocks=2, size=4)
    points = torch.rand(2, 50, 6) * 2 - 1
    with torch.autocast("cpu", torch.bfloat16):
        planes = network(points)
    assert all(torch.equal(one, other) for one, other in zip(planes, network(points), strict=True))


def test_the_direct_path_carries_the_means_of_cells_to_the_latent() -> None:
    torch.manual_seed(0)
    layout = PlaneLayout.triplane()
    planes = PlaneEncoder(layout, 4, PlaneEncoderConfig(in_channels=8, width=8, multipliers=(1, 1), blocks=1, groups=4))
    encoder = PointPlaneEncoder(LocalPoolPointNet(layout, 6, 8, hidden=8, blocks=2, size=4), planes, direct=True)
    assert encoder.direct is not None
    points = torch.rand(1, 30, 6) * 2 - 1
    plain = encoder.planes(encoder.points(points))
    lower_left = (points[0, :, 0] < 0) & (points[0, :, 1] < 0)  # the first of 2 x 2 cells of the plane xy
    mean = encoder.direct(points[0, lower_left].mean(0)[None, :, None, None])[0, :, 0, 0]
    added = encoder((points,))[0] - plain[0]
    torch.testing.assert_close(added[0, :4, 0, 0], mean)
    assert torch.equal(added[:, 4:], torch.zeros_like(added[:, 4:]))


def test_scores_of_unseen_views(modality: NerfModality) -> None:
    data = modality.dataset("test")
    result = view_quality(modality, Balls(), [data[0]], modality.dataset("train"), NerfEvaluation())
    views = data[0].views("all", 24)
    images = torch.from_numpy(np.array(views.images)).permute(0, 3, 1, 2)
    given, unseen = images[:20], images[20:]
    towards = views.cameras.to_world[:, :3, 2]
    nearest = [int(np.argmax(towards[:20] @ towards[20 + k])) for k in range(4)]
    assert result["psnr/nearest_view"] == pytest.approx(psnr(given[nearest], unseen).mean().item(), abs=1e-4)
    function = Balls().reconstruct(modality.inputs([data[0]]))
    made = render_views(function, views.cameras[20:], modality.extent).colour
    assert result["psnr/unseen_views"] == pytest.approx(psnr(made, unseen).mean().item(), abs=1e-4)
    assert {"psnr/mean_image", "psnr/2x", "psnr_bicubic/2x", "ssim/unseen_views"} <= set(result)


def test_kernel_distance_is_the_sum_over_pairs() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(5, 3, generator=generator), torch.randn(4, 3, generator=generator) + 1

    def kernel(x: Tensor, y: Tensor) -> float:
        return float((x.double() @ y.double() / 3 + 1) ** 3)

    within = [np.mean([kernel(x[i], x[j]) for i in range(len(x)) for j in range(len(x)) if i != j]) for x in (a, b)]
    across = np.mean([kernel(p, q) for p in a for q in b])
    assert kernel_distance(a, b) == pytest.approx(sum(within) - 2 * across)
    with pytest.raises(ValueError, match="at least 2 images a side"):
        kernel_distance(a[:1], b)


def test_a_model_is_evaluated_and_reported(modality: NerfModality, tmp_path: Path) -> None:
    few = NerfEvaluation(scenes=1, count=2, poses=2)
    result = evaluate_nerf(modality, Balls(), few).metrics
    assert result["fd/samples"] == pytest.approx(result["fd/reconstructions"], rel=1e-3)  # they are the same balls
    assert result["fd/real"] < result["fd/samples"]
    album = Album(tmp_path)
    report_nerf(modality, Balls(), album)
    names = {path.name for path in album.paths}
    assert names == {"unseen_views.png", "samples.png", "depth.png", "orbit.mp4", "orbit.gif", "sample_0.glb"}
    assert all((tmp_path / name).stat().st_size > 0 for name in names)


def test_depth_and_mesh_are_in_world_units(modality: NerfModality) -> None:
    function = function_of(Ball(300.0))  # radius 0.5 in field units, which are 0.55 of the world's
    options = NerfRenderOptions(resolution=17, views=1, distance=4.0, elevation=0.0)
    seen = render_views(function, options.cameras(modality.half), modality.extent, samples=400)
    assert seen.depth[0, 8, 8].item() == pytest.approx(4 * 0.55 - 0.5 * 0.55, abs=0.01)
    assert torch.isinf(seen.depth[0, 0, 0])
    mesh = coloured_mesh(function, modality.extent, 32)
    assert mesh.bounds == pytest.approx(np.array([[-0.275] * 3, [0.275] * 3]), abs=0.02)
    colours = np.asarray(mesh.visual.vertex_colors)[:, :3]
    assert np.abs(colours - np.where(mesh.vertices > 0, 230, 26)).max() <= 1
    depth, opacity = torch.tensor([[1.0, 2.0], [3.0, torch.inf]]), torch.tensor([[1.0, 0.5], [0.9, 0.0]])
    assert depth_picture(depth, opacity, 1.0, 3.0)[0].tolist() == [[0, 102], [204, 255]]
    assert depth_picture(depth, opacity / 2, 1.0, 3.0)[0].tolist() == [[0, 255], [255, 255]]


def test_views_are_saved(modality: NerfModality, tmp_path: Path) -> None:
    options = NerfRenderOptions(
        views=3, resolution=16, depth=True, mesh=True, mesh_resolution=16, orbit=tmp_path / "o.mp4", frames=3
    )
    made = modality.render(function_of(Ball(50.0), batch=2), options)
    assert len(made) == 2
    paths = made.save(tmp_path / "out", start=4)
    assert [path.name for path in paths] == ["004.png", "005.png"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        f"00{i}{end}" for i in (4, 5) for end in (".png", "-depth.png", ".glb")
    }
    assert {path.name for path in tmp_path.glob("o*.*")} == {
        f"o-00{i}.{kind}" for i in (4, 5) for kind in ("mp4", "gif")
    }
    assert isinstance(trimesh.load(tmp_path / "out" / "004.glb", force="mesh"), trimesh.Trimesh)
    made.save_sheet(tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(views=0), "count from 1"),
        (dict(elevation=91.0), "an elevation from -90 to 90"),
        (dict(mesh_resolution=100), "a power of two of at least 8, got 100"),
        (dict(orbit=Path("a.avi")), "name it .mp4 or .gif; got 'a.avi'"),
    ],
)
def test_bad_views_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NerfRenderOptions(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(num_queries=0), "count from 1"),
        (dict(foreground=1.5), "a part from 0 to 1"),
        (dict(background=(2.0, 0.0, 0.0)), r"background is \(red, green, blue\) in \[0, 1\]"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NerfModality(**settings)
