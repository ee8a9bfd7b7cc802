"""docs/conventions.md, line by line: `test_NN_...` pins line NN."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ddmi_diffusion import LatentSpace, NoiseConfig, StepRandom, save_checkpoint, seeded_normal
from ddmi_diffusion.checkpoint import latest_checkpoint
from ddmi_fields import (
    BasisField,
    CoarseToFineReadOut,
    ImplicitFunction,
    PlaneLayout,
    ReadOut,
    cell_centres,
    grid_coordinates,
)
from ddmi_modalities.extent import Extent
from ddmi_modalities.files.pixels import to_bytes, to_float
from ddmi_modalities.geometry.cameras import Cameras
from ddmi_modalities.geometry.extraction import extract_surface
from ddmi_modalities.geometry.sphere_grid import SphereGrid, unit_vectors
from ddmi_modalities.metrics.pairs import psnr
from ddmi_modalities.nerf.read_out import RadianceField
from ddmi_modalities.nerf.render.views import render_views
from ddmi_modalities.shape import ShapeModality
from ddmi_modalities.sphere import SphereModality
from ddmi_vae import Posterior, laplace_nll

ROOT = Path(__file__).resolve().parent.parent


class Coordinates(ReadOut):
    """Returns what it is given: the coordinate, and the condition as one more channel."""

    native = 8

    def forward(self, embeddings: list[Tensor], coords: Tensor, condition: Tensor | float | None = None) -> Tensor:
        scale = torch.full_like(coords[..., :1], 1.0 if condition is None else float(condition))
        return torch.cat((coords, scale), dim=-1)


def coordinate_function(layout: PlaneLayout) -> ImplicitFunction:
    planes = [torch.zeros(1, 1, 2, 2) for _ in layout.planes]
    return ImplicitFunction(BasisField(layout, [planes]), Coordinates())


def test_every_line_has_a_test() -> None:
    lines = re.findall(r"^(\d+)\. ", (ROOT / "docs" / "conventions.md").read_text(), re.MULTILINE)
    tests = {int(name.split("_")[1]) for name in globals() if re.match(r"test_\d+_", name)}
    assert [int(line) for line in lines] == list(range(1, len(lines) + 1))
    assert tests == set(map(int, lines))


def test_01_axis_order() -> None:
    marked = torch.tensor([[[0.1, 0.2, 0.3]]])
    assert torch.equal(coordinate_function(PlaneLayout.video())(marked)[..., :3], marked)


def test_02_x_to_the_right_y_down() -> None:
    grid = coordinate_function(PlaneLayout.image()).grid((4, 6))[0]
    assert (grid[0].diff(dim=-1) > 0).all()
    assert (grid[1].diff(dim=-2) > 0).all()
    assert grid[:2].abs().max() < 1


def test_03_first_named_axis_is_the_last_dimension() -> None:
    plane = torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]])
    basis = BasisField(PlaneLayout.image(), [[plane]])
    corners = torch.tensor([[[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]]])
    assert basis.embed(corners)[0].flatten().tolist() == [0.0, 1.0, 2.0, 3.0]


def test_04_values_sit_at_cell_centres() -> None:
    assert cell_centres(3).tolist() == pytest.approx([-2 / 3, 0.0, 2 / 3])
    plane = torch.tensor([[[[0.0, 1.0, 2.0]]]])
    points = torch.tensor([[[-2 / 3, 0.0], [0.0, 0.0]]])
    assert BasisField(PlaneLayout.image(), [[plane]]).embed(points)[0].flatten().tolist() == pytest.approx([0.0, 1.0])
    corners = BasisField(PlaneLayout("xy", ("xy",), align_corners=True), [[plane]])
    assert corners.embed(torch.tensor([[[-1.0, 0.0], [1.0, 0.0]]]))[0].flatten().tolist() == [0.0, 2.0]


def test_05_look_ups_clamp_and_read_outs_see_the_coordinate() -> None:
    far = torch.tensor([[[5.0, -7.0]]])
    function = coordinate_function(PlaneLayout.image())
    assert torch.equal(function(far)[..., :2], far)
    basis = BasisField(PlaneLayout.image(), [[torch.randn(1, 3, 4, 4)]])
    assert torch.equal(basis.embed(far)[0], basis.embed(torch.tensor([[[1.0, -1.0]]]))[0])


def test_06_grids_are_in_reverse_axis_order() -> None:
    volume = coordinate_function(PlaneLayout.triplane()).grid((2, 3, 4))
    assert volume.shape == (1, 4, 2, 3, 4)
    assert volume[0, 0, 0, 0].tolist() == pytest.approx(cell_centres(4).tolist())
    assert volume[0, 2, :, 0, 0].tolist() == pytest.approx(cell_centres(2).tolist())
    part = coordinate_function(PlaneLayout.triplane()).grid((2, 3, 4), crop=((1, 2), (0, 3), (2, 4)))
    assert torch.equal(part, volume[:, :, 1:2, :, 2:4])


def test_07_scale_is_native_over_rows_of_the_full_grid() -> None:
    function = coordinate_function(PlaneLayout.image())
    assert function.grid((32, 16), crop=((0, 4), (0, 4)))[0, 2, 0, 0] == 8 / 32
    assert function(torch.zeros(1, 1, 2))[0, 0, 2] == 1
    assert CoarseToFineReadOut([4], 3, width=8, native=64).native == 64


def test_08_images_are_floats_inside_and_bytes_outside() -> None:
    assert to_float(torch.tensor([0, 255], dtype=torch.uint8)).tolist() == [-1.0, 1.0]
    assert to_bytes(torch.tensor([-1.0, 1.0, 9.0])).tolist() == [0, 255, 255]


def test_09_units_of_the_objective() -> None:
    a, b = torch.rand(2, 5, 3), torch.rand(2, 5, 3)
    slow = sum(abs(float(a[1, q, c] - b[1, q, c])) for q in range(5) for c in range(3)) / 5
    assert laplace_nll(a, b)[1].item() == pytest.approx(slow, rel=1e-5)
    one = Posterior((torch.ones(2, 3, 4, 4),), (torch.zeros(2, 3, 4, 4),))
    assert one.kl().tolist() == pytest.approx([0.5 * 48] * 2)


def test_10_posterior_is_clamped_and_float32() -> None:
    moments = torch.tensor([0.0, 1000.0, 0.0, -1000.0], dtype=torch.bfloat16).reshape(2, 2, 1, 1)
    posterior = Posterior.from_moments((moments,))
    assert posterior.log_variance[0].flatten().tolist() == [20.0, -30.0]
    assert posterior.kl().dtype == torch.float32


def test_11_latents_are_whitened() -> None:
    torch.manual_seed(0)
    z = (5 + 3 * torch.randn(500, 2, 4, 4),)
    white = LatentSpace.fit([(z, (torch.zeros_like(z[0]),))]).pack(z)
    assert white.mean().item() == pytest.approx(0, abs=0.01)
    assert white.std().item() == pytest.approx(1, abs=0.01)


def test_12_latents_are_tuples_of_planes_in_layout_order() -> None:
    space = LatentSpace.identity([(2, 3, 4), (2, 5, 4)], "row")
    planes = (torch.zeros(1, 2, 3, 4), torch.ones(1, 2, 5, 4))
    back = space.unpack(space.pack(planes))
    assert isinstance(back, tuple)
    assert [tuple(p.shape) for p in back] == [(1, 2, 3, 4), (1, 2, 5, 4)]
    assert space.pack(planes)[0, 0].tolist() == [0.0] * 12 + [1.0] * 20


def test_13_times_are_in_zero_to_a_thousand() -> None:
    uniform = torch.tensor([0.0, 0.9999])
    assert NoiseConfig().sample_times(uniform).tolist() == [0.0, 999.0]
    _, sigma = NoiseConfig(prediction="flow").coefficients(torch.tensor([250.0]), torch.zeros(1, 1))
    assert sigma.item() == 0.25


def test_14_psnr_is_per_image_then_mean() -> None:
    true = torch.zeros(2, 3, 16, 16, dtype=torch.uint8)
    made = true.clone()
    made[0] += 51  # 0.2 of the range: 13.98 dB
    made[1] += 5
    assert psnr(made, true).tolist() == pytest.approx([13.979, 34.151], abs=0.01)


def test_15_prior_is_normal_in_the_whitened_space() -> None:
    space = LatentSpace(((1, 4, 4),), (torch.tensor([3.0]),), (torch.tensor([0.5]),))
    (drawn,) = space.unpack(seeded_normal(0, range(500), *space.shape))
    assert drawn.mean().item() == pytest.approx(3, abs=0.02)
    assert drawn.std().item() == pytest.approx(0.5, abs=0.02)


def test_16_randomness_does_not_know_the_process() -> None:
    whole = StepRandom(7, 3, range(6)).normal(2)
    assert torch.equal(whole[4:], StepRandom(7, 3, [4, 5]).normal(2))
    assert torch.equal(seeded_normal(0, range(5), 2)[3:], seeded_normal(0, [3, 4], 2))


def test_17_files_are_safetensors_and_json(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, 1, {"model": {"w": torch.ones(2)}}, {}, keep=1)
    assert {file.suffix for file in path.iterdir()} == {".safetensors", ".json"}
    (path / "state.json").unlink()
    assert latest_checkpoint(tmp_path) is None
    sources = [*(ROOT / "packages").glob("*/src/**/*.py"), *(ROOT / "apps" / "src").glob("**/*.py")]
    loads = [m for s in sources for m in re.findall(r"torch\.load\(.*", s.read_text())]
    assert all("weights_only=True" in load for load in loads)


def test_18_edges_between_packages() -> None:
    allowed = {
        "ddmi_fields": set(),
        "ddmi_vae": {"ddmi_fields"},
        "ddmi_diffusion": set(),
        "ddmi_modalities": {"ddmi_fields", "ddmi_vae"},
    }
    for package, may in allowed.items():
        folder = ROOT / "packages" / package.replace("_", "-") / "src"
        imports = set()
        for source in folder.glob("**/*.py"):
            imports |= set(re.findall(r"^\s*(?:from|import) (ddmi\w*)", source.read_text(), re.MULTILINE))
        assert imports - {package} <= may, package


def test_19_shapes_in_the_unit_cube_y_up() -> None:
    modality = ShapeModality(items=3, cloud=400)
    assert modality.extent.to_world(torch.tensor([[-1.0, 0.0, 1.0]])).tolist() == [pytest.approx([-0.55, 0, 0.55])]
    items = [modality.dataset("test")[i] for i in range(8)]
    (clouds,) = modality.inputs(items)
    assert clouds.abs().max() <= 0.5 / 0.55 + 1e-6
    for item in items:
        if item.label == "table":  # the top is the highest part, and wider than what it stands on
            points, _ = item.surface(2000, np.random.default_rng(0))
            upper = points[points[:, 1] > points[:, 1].max() - 0.02]
            assert np.ptp(upper[:, 0]) >= np.ptp(points[:, 0]) - 0.05


def test_20_logits_above_zero_are_inside_and_normals_point_outwards() -> None:
    def ball(coords: Tensor) -> Tensor:
        return 0.5 - coords.norm(dim=-1, keepdim=True)

    mesh = extract_surface(ball, extent=Extent.cube(), resolution=32).mesh
    assert mesh.volume > 0  # negative where faces are wound inwards
    assert ShapeModality().nll(torch.full((1, 1, 1), 9.0), torch.ones(1, 1, 1)) < 1e-3


def test_21_cameras_look_along_z_and_pixels_are_centred_at_halves() -> None:
    camera = Cameras.orbit(1, elevation=0.0, distance=2.0, field_of_view=90.0, size=2, start_azimuth=0.0)
    assert camera.positions[0] == pytest.approx([0, 0, 2])  # in front, on +z
    right, down, forward = camera.to_world[0, :3, :3].T
    assert right == pytest.approx([1, 0, 0])
    assert down == pytest.approx([0, -1, 0])
    assert forward == pytest.approx([0, 0, -1])
    _, directions = camera.image_rays(0)
    assert directions[0] * 6**0.5 == pytest.approx([-1, 1, -2])  # the upper left quarter's centre
    (at,), _ = camera.project(np.array([[-1.0, 1.0, 0.0]]))
    assert at[0] == pytest.approx([0.5, 0.5])


def test_22_density_is_per_field_unit_and_depth_in_the_world() -> None:
    class Wall(RadianceField):
        """As dense everywhere."""

        def density(self, embeddings: list[Tensor], coords: Tensor) -> Tensor:
            return torch.full_like(coords[..., :1], 0.7)

        def forward(self, embeddings: list[Tensor], coords: Tensor, condition: Tensor | float | None = None) -> Tensor:
            return torch.cat((coords * 0 + 0.25, self.density(embeddings, coords)), dim=-1)

    planes = [[torch.zeros(1, 1, 1, 1)] * 3]
    function = ImplicitFunction(BasisField(PlaneLayout.triplane(), planes), Wall())
    camera = Cameras.orbit(1, elevation=0.0, distance=3.0, field_of_view=10.0, size=1, start_azimuth=0.0)
    for half in (0.5, 2.0):  # through the cube, which is 2 field units deep however large the world is
        seen = render_views(function, camera, Extent.cube(half), samples=256, cull=False)
        assert seen.opacity.item() == pytest.approx(1 - np.exp(-0.7 * 2), abs=1e-3)
        assert (seen.colour[0, :, 0, 0] / 255).tolist() == pytest.approx([1 - 0.75 * seen.opacity.item()] * 3, abs=4e-3)
        assert 3 - half < seen.depth.item() < 3


def test_23_frames_sit_at_centres_of_the_time_axis() -> None:
    function = coordinate_function(PlaneLayout.video())
    times = function.grid((4, 1, 1))[0, 2, :, 0, 0]
    torch.testing.assert_close(times, torch.tensor([(2 * k + 1) / 4 - 1 for k in range(4)]))
    finer = function.grid((8, 1, 1))[0, 2, :, 0, 0]
    torch.testing.assert_close(finer.unflatten(0, (4, 2)).mean(1), times)


def test_24_unit_vectors_of_the_sphere() -> None:
    found = unit_vectors(np.array([0.0, 0, 90]), np.array([0.0, 90, 77]))
    torch.testing.assert_close(found, torch.eye(3), atol=1e-7, rtol=0)
    assert torch.equal(unit_vectors(np.array(30.0), np.array(-180.0)), unit_vectors(np.array(30.0), np.array(180.0)))
    assert torch.equal(unit_vectors(np.array(-90.0), np.array(12.0)), torch.tensor([0.0, 0, -1]))


def test_25_grids_and_units_of_the_sphere() -> None:
    grid = SphereGrid.even(4)
    assert grid.latitude.tolist() == [67.5, 22.5, -22.5, -67.5]
    assert grid.longitude[[0, 1, -1]].tolist() == [-157.5, -112.5, 157.5]
    modality = SphereModality(variables=("t", "p", "q", "s"), units=("K",) * 4, means=(280.0,) * 4, stds=(10.0,) * 4)
    function = coordinate_function(PlaneLayout.triplane())  # x, y, z and 1
    found = modality.on_grid(function, grid)
    assert found.shape == (1, 4, 4, 8)
    torch.testing.assert_close(found[0, :3], 280 + 10 * grid.points.movedim(-1, 0))


def test_grid_coordinates_are_the_grid_of_the_coordinates() -> None:
    points = grid_coordinates((3, 5)).transpose(1, 2).reshape(2, 3, 5)
    assert torch.equal(coordinate_function(PlaneLayout.image()).grid((3, 5))[0, :2], points)
