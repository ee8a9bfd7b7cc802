"""From which poses sets of scenes are compared: miniatures of photographs, and scenes of which all is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ddmi_fields import ImplicitFunction
from ddmi_modalities.geometry.cameras import Cameras
from ddmi_modalities.nerf import NerfModality, NerfRenderOptions, evaluation
from ddmi_modalities.nerf.evaluation import NerfEvaluation, evaluate_nerf, fixed_poses
from ddmi_modalities.nerf.render.views import Pictures

from .miniature_scenes import sampled_arrays, write_sampled_file
from .test_modality import Balls

VIEWS = 5


def photographs(folder: Path, *, shared: bool = True) -> NerfModality:
    """Two training and two test scenes of five views each; the poses of the second test scene may be its own."""
    for split in ("train", "test"):
        for scene in ("a", "b"):
            arrays = sampled_arrays(VIEWS, size=16)
            if split == "train" or (scene == "b" and not shared):
                arrays["cam_poses"] = np.roll(arrays["cam_poses"], 1, axis=0)
            write_sampled_file(folder / f"cars_{split}" / "sampled" / f"{scene}.npz", **arrays)
    return NerfModality(source=str(folder), size=16, half=0.8, cloud=8)


def positions_of(modality: NerfModality) -> np.ndarray:
    return modality.dataset("test")[0].views("all").cameras.positions


@pytest.mark.parametrize("poses", [5, 3])
def test_photographed_scenes_are_seen_from_their_own_poses(tmp_path: Path, poses: int) -> None:
    modality = photographs(tmp_path)
    cameras, shared = fixed_poses(modality, modality.dataset("test"), poses)
    assert shared
    assert (cameras.rows, cameras.columns) == (16, 16)
    order = {5: [0, 1, 2, 3, 4], 3: [0, 2, 3]}[poses]
    np.testing.assert_array_equal(cameras.positions, positions_of(modality)[order])


@pytest.mark.parametrize(("shared", "poses"), [(True, VIEWS + 1), (False, 2)])
def test_too_few_or_different_poses_give_a_circle(tmp_path: Path, shared: bool, poses: int) -> None:
    modality = photographs(tmp_path, shared=shared)
    cameras, own = fixed_poses(modality, modality.dataset("test"), poses)
    assert not own
    wanted = NerfRenderOptions(views=poses, resolution=16).cameras(modality.half)
    np.testing.assert_array_equal(cameras.to_world, wanted.to_world)


def test_scenes_with_true_pictures_are_seen_from_a_circle(tmp_path: Path) -> None:
    modality = NerfModality(items=2, size=16, cloud=8, cache=tmp_path)
    cameras, own = fixed_poses(modality, modality.dataset("test"), 2)
    assert not own
    assert len(cameras) == 2


def test_generated_scenes_are_rendered_there_and_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    modality = photographs(tmp_path)
    seen_from: list[np.ndarray] = []
    render = evaluation.render_views

    def recorded(function: ImplicitFunction, cameras: Cameras, *rest: object, **options: object) -> Pictures:
        seen_from.append(cameras.positions)
        return render(function, cameras, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(evaluation, "render_views", recorded)
    settings = NerfEvaluation(scenes=1, count=2, poses=VIEWS)
    result = evaluate_nerf(modality, Balls(), settings).metrics
    of_sets = [at for at in seen_from if len(at) == VIEWS]
    assert len(of_sets) == 6  # two reconstructions, two samples and two draws from the prior
    assert all(np.array_equal(at, positions_of(modality)) for at in of_sets)
    assert result["poses/frechet"] == result["poses/of_test_scenes"] == VIEWS
    assert "poses: 5 that the test scenes share" in said
    assert result["fd/samples"] == pytest.approx(result["fd/reconstructions"], rel=1e-3)  # they are the same balls
    assert result["fd/real"] < 0.1 * result["fd/samples"]  # the same pictures in another order
