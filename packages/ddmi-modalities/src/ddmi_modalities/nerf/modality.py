"""The modality of radiance fields: coloured points in, density and colour of the space around them out."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ddmi_fields import ImplicitFunction, PlaneLayout
from ddmi_modalities.extent import Extent
from ddmi_modalities.modality import Batch, DataSet, FunctionSource
from ddmi_modalities.nerf.cameras import Cameras
from ddmi_modalities.nerf.prepare import ScenePreparation
from ddmi_modalities.nerf.rendering import Pictures, coloured_mesh, depth_picture, render_views
from ddmi_modalities.nerf.scenes import SceneItem
from ddmi_modalities.nerf.sources import open_scenes, read_scene
from ddmi_modalities.nerf.view import RadianceArtefact, RadianceView
from ddmi_modalities.nerf.volume import render_rays
from ddmi_modalities.splits import Split
from ddmi_vae import Randomness, gaussian_nll, laplace_nll


@dataclass(frozen=True)
class RayQuery:
    """Rays of each scene of a batch, in field coordinates."""

    origins: Float[Tensor, "batch ray 3"]
    directions: Float[Tensor, "batch ray 3"]
    """Of unit length."""
    jitter: Float[Tensor, "batch ray sample"]
    """Where in its interval each sample of a ray lies, in [0, 1)."""


@dataclass(frozen=True, kw_only=True)
class RadianceEvaluation:
    """How much of a model is measured, and with what."""

    scenes: int = 32
    """Held-out scenes of PSNR and SSIM, from all of their held-out views; 0: these are not measured."""
    count: int = 100
    """Scenes a side of Frechet and kernel distances; 0: these are not measured."""
    poses: int = 4
    """Fixed cameras from which each of them is seen: those of the test scenes where these are photographs from the same
    poses and enough of them (SRN Cars: --count 704 --poses 251, SSDNeRF's protocol), otherwise on a circle."""
    weights: Path | None = None
    """Weights of Inception, for the usual FID and KID; without them, features of EfficientNet-Lite0."""
    lpips_weights: Path | None = None
    """Weights of VGG for LPIPS."""

    def __post_init__(self) -> None:
        if min(self.scenes, self.count) < 0 or max(self.scenes, self.count) == 0 or self.poses < 1:
            raise ValueError(
                f"RadianceEvaluation: scenes {self.scenes} and count {self.count} must not be negative, nor both 0, "
                f"and poses {self.poses} must be positive"
            )


@dataclass(frozen=True, kw_only=True)
class RadianceModality:
    """Configuration and behaviour of radiance fields; an implementation of `ddmi_modalities.Modality`.

    The world is a cube around the origin, y up.  Prediction and target have four channels, the last of which is the
    opacity of the ray; the likelihood is that of the first three.
    """

    source: str = "turntable"
    """'turntable', or a folder: SRN Cars, scenes as NPZ files, or scenes with a transforms.json."""
    items: int = 1000
    """Training scenes of 'turntable', which is unlimited."""
    size: int = 64
    """Pixels a side of the views."""
    half: float = 0.55
    """Half the side of the scene's cube in world units: field coordinates [-1, 1]."""
    scale: float = 1.0
    """World units per unit of a folder's cameras, so that its objects fill the unit cube."""
    hold_out: int = 5
    """Of so many views of a folder's scene one is held out, where the data do not say which."""
    cloud: int = 2048
    """Coloured points that the encoder sees."""
    noise: float = 0.005
    """Standard deviation of the noise on their places in training, in world units."""
    rays: int = 512
    """Of each scene in a step, drawn over all of its given views."""
    foreground: float = 0.5
    """Part of them that is drawn from the object's pixels, the others anywhere."""
    samples: int = 48
    """Read-outs along each ray in training, at random places of equal intervals."""
    importance: int = 0
    """Further ones, where a first pass finds something."""
    likelihood: Literal["gaussian", "laplace"] = "gaussian"
    """Gaussian is the squared distance, Laplace is L1, which on a white background may settle on nothing at all."""
    background: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """RGB in [0, 1] behind everything, as in the data."""
    align_corners: bool = False
    """True for imported models: planes have values at the border of the cube."""
    cache: Path | None = None
    """Folder for rendered views; default $XDG_CACHE_HOME/ddmi or ~/.cache/ddmi."""

    def __post_init__(self) -> None:
        if min(self.items, self.size, self.cloud, self.rays, self.samples) < 1 or self.importance < 0:
            raise ValueError(
                "RadianceModality: items, size, cloud, rays and samples count from 1 and importance from 0, got "
                f"{self.items}, {self.size}, {self.cloud}, {self.rays}, {self.samples} and {self.importance}"
            )
        if not 0 <= self.foreground <= 1 or self.noise < 0 or self.half <= 0:
            raise ValueError(
                "RadianceModality: foreground is a part from 0 to 1, noise is not negative and half is positive; got "
                f"{self.foreground}, {self.noise} and {self.half}"
            )
        if not all(0 <= value <= 1 for value in self.background):
            raise ValueError(f"RadianceModality: background is (red, green, blue) in [0, 1], got {self.background}")

    @property
    def layout(self) -> PlaneLayout:
        return PlaneLayout.triplane(align_corners=self.align_corners)

    @property
    def View(self) -> type[RadianceView]:
        return RadianceView

    @property
    def Evaluation(self) -> type[RadianceEvaluation]:
        return RadianceEvaluation

    @property
    def Preparation(self) -> type[ScenePreparation]:
        return ScenePreparation

    @cached_property
    def extent(self) -> Extent:
        """The map between world and field coordinates."""
        return Extent.cube(self.half)

    def dataset(self, split: Split) -> DataSet[SceneItem]:
        """The split of `source`; ValueError where there is none."""
        return open_scenes(
            self.source, split, items=self.items, size=self.size, cache=self.cache,
            hold_out=self.hold_out, scale=self.scale,
        )  # fmt: skip

    def captions(self, item: SceneItem) -> tuple[str, ...]:
        return item.captions

    def inputs(self, items: Sequence[SceneItem]) -> tuple[Float[Tensor, "batch point 6"]]:
        """Coloured points of every item in field coordinates, colours in [-1, 1]; which ones, its name decides."""
        draws = [np.random.default_rng(zlib.crc32(item.name.encode())) for item in items]
        return self._points([item.cloud(self.cloud, rng) for item, rng in zip(items, draws, strict=True)])

    def _points(self, clouds: Sequence[np.ndarray]) -> tuple[Float[Tensor, "batch point 6"]]:
        points = torch.from_numpy(np.stack(clouds))
        return (torch.cat((self.extent.to_field(points[..., :3]), points[..., 3:] * 2 - 1), dim=-1),)

    def collate(self, items: Sequence[SceneItem], rng: Randomness) -> Batch[RayQuery]:
        """Noisy coloured points for the encoder; rays of all given views, half of them on the object."""
        clouds, origins, directions, targets = [], [], [], []
        for item, seed in zip(items, rng.integers(2**31, 1).flatten().tolist(), strict=True):
            draws = np.random.default_rng(seed)
            cloud = item.cloud(self.cloud, draws)
            cloud[:, :3] += draws.normal(0, self.noise, (self.cloud, 3))
            clouds.append(cloud)
            views = item.views("given", self.size)
            view, row, column = np.unravel_index(self._pixels(views.masks, draws), views.masks.shape)
            start, towards = views.cameras.rays(view, row, column)
            seen = views.images[view, row, column].astype(np.float32) / 255
            origins.append(start)
            directions.append(towards)
            targets.append(np.concatenate([seen, views.masks[view, row, column, None].astype(np.float32)], axis=1))
        return Batch(
            inputs=self._points(clouds),
            query=RayQuery(
                self.extent.to_field(torch.from_numpy(np.stack(origins))),
                torch.from_numpy(np.stack(directions)),
                rng.uniform(self.rays, self.samples),
            ),
            target=torch.from_numpy(np.stack(targets)),
        )

    def _pixels(self, masks: np.ndarray, draws: np.random.Generator) -> np.ndarray:
        """Flat indices of pixels over all views; none is on the object where there is no object."""
        near = np.flatnonzero(masks)
        wanted = round(self.rays * self.foreground) if len(near) else 0
        anywhere = draws.integers(masks.size, size=self.rays - wanted)
        return np.concatenate([draws.choice(near, wanted) if wanted else near[:0], anywhere])

    def predict(self, function: ImplicitFunction, query: RayQuery) -> Float[Tensor, "batch ray 4"]:
        """Rendered colour and opacity of the rays."""
        seen = render_rays(
            function, query.origins, query.directions, samples=self.samples, importance=self.importance,
            jitter=query.jitter, background=torch.tensor(self.background),
        )  # fmt: skip
        return torch.cat((seen.colour, seen.opacity), dim=-1)

    def nll(
        self, prediction: Float[Tensor, "batch ray 4"], target: Float[Tensor, "batch ray 4"]
    ) -> Float[Tensor, " batch"]:
        likelihoods = {"laplace": laplace_nll, "gaussian": gaussian_nll}
        return likelihoods[self.likelihood](prediction[..., :3], target[..., :3])

    @torch.no_grad()
    def render(self, function: ImplicitFunction, view: RadianceView) -> RadianceArtefact:
        """Pictures from the view's cameras, with what else it asks for."""
        away = view.distance * self.half

        def see(one: ImplicitFunction, cameras: Cameras) -> Pictures:
            background = torch.tensor(self.background)
            return render_views(one, cameras, self.extent, samples=view.samples, background=background, cull=view.cull)

        seen = [see(one, view.cameras(self.half)) for one in function]
        near, far = away - self.half * 3**0.5, away + self.half * 3**0.5
        depth = [
            torch.stack([depth_picture(d, o, near, far) for d, o in zip(one.depth, one.opacity, strict=True)])
            for one in seen
            if view.depth
        ]
        return RadianceArtefact(
            torch.stack([one.colour for one in seen]),
            view,
            torch.stack(depth) if depth else None,
            tuple(see(one, view.orbit_cameras(self.half)).colour for one in function) if view.orbit else (),
            tuple(coloured_mesh(one, self.extent, view.mesh_resolution) for one in function) if view.mesh else (),
        )

    def truth(self, items: Sequence[SceneItem], view: RadianceView) -> RadianceArtefact:
        """The scenes themselves from the view's cameras.  ValueError for photographs: none was taken from there."""
        cameras = view.cameras(self.half)
        return RadianceArtefact(torch.stack([torch.from_numpy(item.pictures(cameras)) for item in items]), view)

    def read(self, path: Path) -> tuple[Float[Tensor, "1 point 6"]]:
        """A scene's folder or NPZ file, or a coloured point cloud (PLY), as the encoder's input.

        Raises ValueError naming the file.
        """
        return self._points([read_scene(Path(path), self.cloud, self.half, self.scale)])

    def view_of(self, path: Path, view: RadianceView) -> RadianceView:
        return view

    def evaluate(
        self,
        model: FunctionSource,
        settings: RadianceEvaluation,
        *,
        seed: int = 0,
        note: Callable[[str], None] = lambda _: None,
    ) -> dict[str, float]:
        """PSNR and SSIM of unseen views of unseen scenes, and distances between sets: see `evaluation`."""
        from ddmi_modalities.nerf.evaluation import evaluate_scenes

        return evaluate_scenes(self, model, settings, seed=seed, note=note)

    def report(
        self,
        model: FunctionSource,
        directory: Path,
        *,
        seed: int = 0,
        note: Callable[[str], None] = lambda _: None,
    ) -> list[Path]:
        """Unseen views of unseen scenes, generated scenes, one of them turning: see `report_scenes`."""
        from ddmi_modalities.nerf.report import report_scenes

        return report_scenes(self, model, directory, seed=seed, note=note)

    def metrics(self, made: RadianceArtefact, true: RadianceArtefact) -> dict[str, float]:
        """PSNR in dB and SSIM of all pictures, each per scene, then the mean."""
        from ddmi_modalities.image.metrics import psnr, ssim

        shape = made.pictures.shape[:2]
        pairs = made.pictures.flatten(0, 1), true.pictures.flatten(0, 1)
        return {
            "psnr": psnr(*pairs).unflatten(0, shape).mean(1).mean().item(),
            "ssim": ssim(*pairs).unflatten(0, shape).mean(1).mean().item(),
        }
